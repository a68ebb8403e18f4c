"""Textured surfaces and their defects, made from seeds."""

from __future__ import annotations

from trainables.data.synthesis.defects import DEFECTS, add_defect
from trainables.data.synthesis.surfaces import TEXTURES, Surface, paint_surface

__all__ = ["DEFECTS", "TEXTURES", "Surface", "add_defect", "paint_surface"]
