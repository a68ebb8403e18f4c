"""Overlay pictures of a trial, drawn from its ``maps.parquet``."""

from __future__ import annotations

import re
from pathlib import Path

import cv2

from assay.results import Record, Store
from trainables.maps import THRESHOLD_LEVEL, read_probe
from trainables.overlay import overlay

__all__ = ["write_overlays"]

_UNSAFE = re.compile(r"[^\w\-.]")
_SUFFIX = re.compile(r"\.(png|jpe?g|bmp|tiff?)$", re.IGNORECASE)


def write_overlays(store: Store, record: Record, folder: Path) -> list[str]:
    """Draw every probe image of ``record`` into ``folder``: heatmap, decision and truth over the image.

    Returns:
        File names; none when the trial kept no maps.
    """
    maps = store.read_part(record, "maps.parquet")
    if maps is None:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    names: list[str] = []
    for number, row in enumerate(maps.to_pylist()):
        probe = read_probe(row)
        truth = None if probe.defects is None else probe.defects > 0
        picture = overlay(probe.image, probe.levels, THRESHOLD_LEVEL, truth)
        sample = _UNSAFE.sub("_", _SUFFIX.sub("", row["sample"]))[-80:]
        name = f"{number:02d}-{sample}.png"
        written, data = cv2.imencode(".png", picture)
        assert written, "an overlay is a uint8 picture"
        (folder / name).write_bytes(data.tobytes())
        names.append(name)
    return names
