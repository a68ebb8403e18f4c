"""The finished study that comes with the program: the quickstart, as it ended.

``demo.tar.xz`` is a storage without models. ``python -m benchmarks.demo`` makes it.

>>> unpack_demo(folder)
>>> study = assay.open(folder).study("quickstart")
"""

from __future__ import annotations

import tarfile
from pathlib import Path

__all__ = ["DEMO", "unpack_demo"]

DEMO = Path(__file__).with_name("demo.tar.xz")


def unpack_demo(folder: str | Path) -> None:
    """Unpack the storage into ``folder``."""
    with tarfile.open(DEMO) as archive:
        # Python has filters from 3.11.4 on.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        archive.extractall(folder)
