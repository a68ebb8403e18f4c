"""Overlay pictures of a trial, drawn from its ``maps.parquet`` and ``lineage.parquet``."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from assay.report.masks.sheets import decision_picture, lineage_sheet
from assay.storage import Record, Store

__all__ = ["write_overlays"]

_LINEAGE = "lineage.png"
_UNSAFE = re.compile(r"[^\w\-.]")
_SUFFIX = re.compile(r"\.(png|jpe?g|bmp|tiff?)$", re.IGNORECASE)


def write_overlays(store: Store, record: Record, folder: Path) -> list[str]:
    """Draw every probe image of ``record`` into ``folder``: heatmap, decision and truth over the image.

    A model that shows its stages also gets ``lineage.png``, a row for each probe image.

    Returns:
        File names; none when the trial kept no maps.
    """
    maps = store.read_part(record, "maps.parquet")
    if maps is None:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    names: list[str] = []
    for number, row in enumerate(maps.to_pylist()):
        sample = _UNSAFE.sub("_", _SUFFIX.sub("", row["sample"]))[-80:]
        name = f"{number:02d}-{sample}.png"
        _write(folder / name, decision_picture(row))
        names.append(name)
    lineage = lineage_sheet(store, record, rows=len(names))
    if lineage is not None:
        _write(folder / _LINEAGE, lineage)
        names.append(_LINEAGE)
    return names


def _write(file: Path, picture: NDArray[np.uint8]) -> None:
    written, data = cv2.imencode(".png", picture)
    assert written, "an overlay is a uint8 picture"
    file.write_bytes(data.tobytes())
