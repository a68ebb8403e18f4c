"""Small trees in the layouts that KolektorSDD2, DAGM, Severstal and MVTec AD are published in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.data.made_images import dot, noise, write


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def make_ksdd2(root: Path, train: tuple[int, int] = (4, 6), test: tuple[int, int] = (2, 3)) -> Path:
    """``KolektorSDD2/train/10000.png`` and its mask; defective images first, their masks faint."""
    for part, (defective, normal), first in (("train", train, 10000), ("test", test, 20000)):
        for index in range(defective + normal):
            stem = root / "KolektorSDD2" / part / f"{first + index}"
            write(stem.with_suffix(".png"), noise(first + index))
            mask = dot(value=3) if index < defective else dot(value=0)
            write(stem.with_name(f"{stem.name}_GT.png"), mask)
    return root


def make_dagm_class(
    folder: Path, defective: int = 3, normal: int = 5, labels: str = "Label", size: tuple[int, int] = (12, 16)
) -> Path:
    """``Train/0001.PNG`` and ``Train/Label/0006_label.PNG``; labels may also lie beside the images."""
    for offset, part in ((0, "Train"), (1000, "Test")):
        for index in range(1, normal + defective + 1):
            seed = offset + 10000 * int(folder.name.removeprefix("Class")) + index
            write(folder / part / f"{index:04d}.PNG", noise(seed, *size))
            if index > normal:
                write(folder / part / labels / f"{index:04d}_label.PNG", dot(*size))
    return folder


STEEL = (6, 10)  # height, width of the made sheets


def make_severstal(root: Path, rows: list[tuple[str, str, str]], normal: int = 3) -> Path:
    """``train_images`` and ``train.csv`` with these rows; images without a row come on top."""
    names = dict.fromkeys(image for image, _, _ in rows)
    for number, name in enumerate([*names, *(f"normal{index}.jpg" for index in range(normal))]):
        write(root / "train_images" / name, noise(number, *STEEL))
    lines = ["ImageId,ClassId,EncodedPixels", *(",".join(row) for row in rows)]
    (root / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def make_mvtec(category: Path, normal: int = 6, test_normal: int = 3) -> Path:
    """A category: normal images in training, two kinds of defects in test."""
    number = 0
    for part, count in (("train", normal), ("test", test_normal)):
        for index in range(count):
            number += 1
            write(category / part / "good" / f"{index:03d}.png", np.dstack([noise(number)] * 3))
    for kind in ("hole", "scratch"):
        for index in range(3):
            number += 1
            write(category / "test" / kind / f"{index:03d}.png", noise(number))
            write(category / "ground_truth" / kind / f"{index:03d}_mask.png", dot())
    return category
