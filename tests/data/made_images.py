"""Tiny images on disk, and manifests without files, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.data import DataSpec, Manifest, open_manifest
from trainables.data.inspect.findings import ImageRow
from trainables.data.readers.base import PublishedSets


def noise(seed: int, height: int = 12, width: int = 16) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def dot(height: int = 12, width: int = 16, value: int = 255) -> NDArray[np.uint8]:
    mask = np.zeros((height, width), np.uint8)
    mask[3:6, 4:7] = value
    return mask


def write(path: Path, pixels: NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, data = cv2.imencode(path.suffix, pixels)
    assert ok
    path.write_bytes(data.tobytes())
    return path


def make_folder(root: Path, good: int = 8, defect: int = 6, masks: bool = True) -> Path:
    """``good/``, ``defect/`` and ``masks/`` with images that all differ."""
    for index in range(good):
        write(root / "good" / f"g{index}.png", noise(index))
    for index in range(defect):
        write(root / "defect" / f"d{index}.png", noise(1000 + index))
        if masks:
            write(root / "masks" / f"d{index}.png", dot())
    return root


PER_SEED = DataSpec(reader="folder", splits="per_seed")


def open_folder(root: Path, cache: Path, **changes: object) -> Manifest:
    return open_manifest(PER_SEED.model_copy(update=changes), root, cache)


def bare_manifest(rows: list[dict[str, object]], published: PublishedSets | None = None) -> Manifest:
    """A manifest of rows of which only what matters is given; no file behind it."""
    filled: list[dict[str, object]] = []
    for index, row in enumerate(rows):
        label = bool(row.get("label", False))
        sample = str(row.get("sample", f"s{index:04d}"))
        filled.append(
            {
                "sample": sample,
                "image": f"{sample}.png",
                "label": label,
                "mask": f"{sample}_mask.png" if label else None,
                "defect_class": "defect" if label else None,
                "group": sample,
                "split": None,
                "fold": None,
                "image_hash": f"hash of {sample}",
                "mask_hash": None,
                "width": 16,
                "height": 12,
                **row,
            }
        )
    filled.sort(key=lambda row: str(row["sample"]))
    images = tuple(map(ImageRow.model_validate, filled))
    return Manifest(images, "folder", Path("."), 0, published or PublishedSets(), ())
