"""All data sets and layouts that ``data.reader`` may name: one file each, and those of other packages.

A reader is a file in this folder with a ``READER`` of the file's name, or an entry point in the group
``assay.readers`` (see :mod:`trainables.registry`). :mod:`~trainables.data.readers.base` has what all of them
are made of.
"""

from __future__ import annotations

from trainables.data.readers.base import Entry, Expected, Listing, PublishedSets, Reader
from trainables.registry import Registry

__all__ = ["READERS", "Entry", "Expected", "Listing", "PublishedSets", "Reader"]

READERS: Registry[Reader] = Registry(
    Reader, noun="reader", group="assay.readers", package="trainables.data.readers", attribute="READER"
)
