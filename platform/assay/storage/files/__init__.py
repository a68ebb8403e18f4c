"""Bytes under one root: a folder, an object store, and changes that a power cut leaves done or undone."""
