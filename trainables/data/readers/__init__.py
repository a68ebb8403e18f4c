"""Data sets and layouts that ``data.reader`` may name; one file each."""

from __future__ import annotations

from collections.abc import Mapping

from trainables.data.readers import folder, kolektorsdd, mtd, synthetic, table
from trainables.data.readers.base import Entry, Listing, PublishedSets, Reader

__all__ = ["READERS", "Entry", "Listing", "PublishedSets", "Reader"]

READERS: Mapping[str, Reader] = {
    reader.name: reader
    for reader in (synthetic.READER, kolektorsdd.READER, mtd.READER, folder.READER, table.READER)
}
