"""All formats of `assay export`: one file each, and those of other packages.

A format is a file in this folder with an ``EXPORT`` of the file's name, or an entry point in the group
``assay.exports`` (see :mod:`trainables.registry`). ``onnx.py`` is the pattern.
"""

from __future__ import annotations

from assay.production.export_format import ExportFormat
from trainables.registry import Registry

__all__ = ["EXPORTS"]

EXPORTS: Registry[ExportFormat] = Registry(
    ExportFormat, noun="export format", group="assay.exports", package="assay.exports", attribute="EXPORT"
)
