"""Guided cropping and inpainting extension: from image labels to a segmentation net, in a chain of steps."""
from __future__ import annotations
