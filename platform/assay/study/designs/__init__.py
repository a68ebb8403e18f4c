"""Designs that a study may have: one file each, and those of other packages.

A design is a file in this folder with a ``DESIGN`` of the file's name, or an entry point in the group
``assay.designs`` (see :mod:`trainables.registry`). Its one declaration has its block in the study file, its
cells, what it compares, its rules and its line in the plan. :mod:`~assay.study.designs.base` has what all of
them are made of. A package's module imports that one before anything else of assay, and
the package itself imports nothing heavy: designs are loaded with every command.
"""

from __future__ import annotations

from assay.study.designs.base import DesignCell, DesignForm, StudyFactors, VariedBlock
from trainables.registry import Registry

__all__ = ["DESIGNS", "DesignCell", "DesignForm", "StudyFactors", "VariedBlock"]

DESIGNS: Registry[DesignForm] = Registry(
    DesignForm, noun="design", group="assay.designs", package="assay.study.designs", attribute="DESIGN"
)
