"""The version of the program, for those who may not load the rest of it."""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "0.1.0"
