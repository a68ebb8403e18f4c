"""Sets of defects alone, as of steel: index masks of three classes, and a published split."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.data.made_images import write

__all__ = ["CLASSES", "make_defects_alone", "make_steel_folders"]

CLASSES = ("crack", "pit", "stain")
_SIZE = (64, 96)


def make_defects_alone(root: Path, train: int = 9, test: int = 6, *, named: bool = True) -> Path:
    """``images/``, ``masks/`` with 0 to 3, and ``images.csv``; every fourth image shows two classes.

    Args:
        root: Of the set.
        train: Training images, of which three validate.
        test: Test images.
        named: The table names the classes of images.
    """
    rng = np.random.default_rng(0)
    lines = ["image,label,mask,defect_class,split"]
    for index in range(train + test):
        image, mask = rng.normal(110, 8, _SIZE), np.zeros(_SIZE, np.uint8)
        shown = [index % 3] + ([(index + 1) % 3] if index % 4 == 0 else [])
        for place, number in enumerate(shown):
            y, x = 6 + 30 * place, int(rng.integers(4, 60))
            height, width = ((3, 30), (8, 8), (16, 24))[number]
            mask[y : y + height, x : x + width] = number + 1
        image[mask > 0] += 60
        name = f"{index:02d}.png"
        write(root / "images" / name, image.clip(0, 255).astype(np.uint8))
        write(root / "masks" / name, mask)
        defect_class = "+".join(CLASSES[number] for number in shown) if named else ""
        part = "test" if index >= train else "validation" if index % 3 == 2 else "train"
        lines.append(f"images/{name},1,masks/{name},{defect_class},{part}")
    (root / "images.csv").write_text("\n".join(lines), encoding="utf-8")
    return root


def make_steel_folders(root: Path) -> Path:
    """The same as NEU_Seg has them: ``training/`` and ``test/`` below ``images/`` and ``annotations/``."""
    make_defects_alone(root)
    table = root / "images.csv"
    for line in table.read_text(encoding="utf-8").splitlines()[1:]:
        image, _, mask, _, split = line.split(",")
        part = "test" if split == "test" else "training"
        for path, folder in ((image, "images"), (mask, "annotations")):
            target = root / folder / part / Path(path).name
            target.parent.mkdir(parents=True, exist_ok=True)
            (root / path).rename(target)
    (root / "masks").rmdir()
    table.unlink()
    return root
