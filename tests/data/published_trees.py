"""Small trees in the layouts that KolektorSDD2, DAGM, Severstal and MVTec AD are published in."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from tests.data.made_images import dot, noise, write


def write_lists(root: Path, name: str, *parts: Any) -> Path:
    """``splits/KSDD2/split_16.pyb`` below ``root``, as the authors of the lists write it."""
    path = root / "splits" / f"{name}.pyb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(parts))
    return path


# Test items of the three published folds of KolektorSDD.
KSDD_FOLDS = tuple(
    tuple(f"kos{item}" for item in items.split())
    for items in (
        "02 08 09 10 15 19 21 25 27 28 30 37 38 41 43 46 47",
        "01 03 04 06 11 17 22 24 29 31 32 36 39 40 42 44 48",
        "05 07 12 13 14 16 18 20 23 26 33 34 35 45 49 50",
    )
)


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


def make_mvtec(category: Path, normal: int = 6, test_normal: int = 3, first: int = 0) -> Path:
    """A category: normal images in training, two kinds of defects in test; ``first`` makes other images."""
    number = first
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


def make_elpv_package(folder: Path, certain: int = 8, doubtful: int = 2) -> Path:
    """The package ``elpv_dataset`` as it is installed.

    Args:
        folder: Where it is installed, to be put on ``sys.path``.
        certain: Cells of each type with probability 1, and as many with 0.
        doubtful: Likewise with 1/3, and with 2/3.

    Returns:
        The folder.
    """
    data = folder / "elpv_dataset" / "data"
    data.mkdir(parents=True)
    imported = "raise AssertionError('imported')"
    (folder / "elpv_dataset" / "__init__.py").write_text(imported, encoding="utf-8")
    grades = {"1.0": certain, "0.0": certain, f"{1 / 3}": doubtful, f"{2 / 3}": doubtful}
    lines: list[str] = []
    for probability, count in grades.items():
        for cells in ("mono", "poly"):
            for _ in range(count):
                name = f"images/cell{len(lines) + 1:04d}.png"
                write(data / name, noise(len(lines)))
                lines.append(f"{name}  {probability:<18}  {cells}")
    (data / "labels.csv").write_text("\n".join(lines) + "\n", encoding="ascii")
    return folder
