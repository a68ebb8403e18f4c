"""Batches: which images, what they look like, and how many go through a network at once."""
