"""Data sets and layouts that ``data.reader`` may name; one file each."""

from __future__ import annotations

from collections.abc import Mapping

from trainables.data.readers import (
    dagm,
    folder,
    kolektorsdd,
    kolektorsdd2,
    mtd,
    mvtec,
    severstal,
    synthetic,
    table,
)
from trainables.data.readers.base import Entry, Expected, Listing, PublishedSets, Reader

__all__ = ["READERS", "Entry", "Expected", "Listing", "PublishedSets", "Reader"]

READERS: Mapping[str, Reader] = {
    module.READER.name: module.READER
    for module in (synthetic, kolektorsdd, kolektorsdd2, dagm, severstal, mvtec, mtd, folder, table)
}
