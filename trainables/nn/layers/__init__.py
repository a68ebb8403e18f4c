"""Layers and backbones, and what reads images and writes maps."""
