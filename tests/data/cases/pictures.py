"""What is a photo, and what is its mask"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.data.cases.case import Case
from tests.data.made_images import dot, noise, write

__all__ = ["CASES"]

FOLDER = {"reader": "folder"}


def files(*places: tuple[str, int, str]) -> Callable[[Path], None]:
    """Make so many files for each pattern, such as ``images/{}.png``: photos, masks or empty masks."""

    def make(root: Path) -> None:
        for at, (pattern, count, kind) in enumerate(places):
            for number in range(count):
                write(root / pattern.format(number), _pixels(kind, 1000 * at + number))

    return make


def _pixels(kind: str, seed: int) -> NDArray[Any]:
    if kind == "photo":
        return noise(seed)
    if kind == "mask":
        return dot()
    return np.zeros((12, 16), np.uint8)


def half_empty(images: str, masks: str, count: int) -> Callable[[Path], None]:
    """Photos, and masks of which every other one is empty."""

    def make(root: Path) -> None:
        for number in range(count):
            write(root / images.format(number), noise(1000 * sum(map(ord, images)) + number))
            write(root / masks.format(number), dot() if number % 2 else 0 * dot())

    return make


def both(*makers: Callable[[Path], object]) -> Callable[[Path], None]:
    """Make all of them."""

    def make(root: Path) -> None:
        for maker in makers:
            maker(root)

    return make


def visa(root: Path) -> None:
    """Two objects of VisA, with their tables."""
    rows = ["object,split,label,image,mask"]
    for at, name in enumerate(("candle", "pcb1")):
        lines = ["image,label,mask"]
        for number in range(8):
            bad = number >= 5
            image = f"{name}/Data/Images/{'Anomaly' if bad else 'Normal'}/{number:03}.JPG"
            mask = f"{name}/Data/Masks/Anomaly/{number:03}.png" if bad else ""
            (root / image).parent.mkdir(parents=True, exist_ok=True)
            write(root / f"{at}.jpg", noise(100 * at + number)).rename(root / image)
            if bad:
                write(root / mask, dot(value=1))
            rows.append(
                f"{name},{'test' if number % 2 else 'train'},{'anomaly' if bad else 'normal'},{image},{mask}"
            )
            lines.append(f"{image},{'chunk of wax missing' if bad else 'normal'},{mask}")
        (root / name / "image_anno.csv").write_text("\n".join(lines))
    (root / "split_csv").mkdir()
    (root / "split_csv" / "1cls.csv").write_text("\n".join(rows))


def voc(root: Path, masks: str = "SegmentationClass", objects: bool = True) -> None:
    """What the script of LabelMe writes: images, palettes of classes, of objects, and drawings."""
    half_empty("JPEGImages/{}.jpg", f"{masks}/{{}}.png", 10)(root)
    for number in range(10):
        write(root / "SegmentationClassVisualization" / f"{number}.jpg", noise(500 + number))
        (root / "SegmentationClassNpy").mkdir(exist_ok=True)
        (root / "SegmentationClassNpy" / f"{number}.npy").write_bytes(b"-")
        if objects:
            write(root / "SegmentationObject" / f"{number}.png", dot())
            write(root / "SegmentationObjectVisualization" / f"{number}.jpg", noise(600 + number))
    (root / "class_names.txt").write_text("_background_\nscratch\n")


def exported(root: Path) -> None:
    """A folder for each file of LabelMe, as its export writes them."""
    for number in range(6):
        folder = root / f"p{number}_json"
        write(folder / "img.png", noise(number))
        write(folder / "label.png", dot())
        write(folder / "label_viz.png", noise(50 + number))
        (folder / "label_names.txt").write_text("_background_\nscratch\n")


def _labelme(root: Path) -> None:
    for number in range(6):
        write(root / f"p{number}.png", noise(number))
        points = [[2, 2], [9, 2], [9, 8], [2, 8]]
        shape = {"label": "scratch", "points": points, "shape_type": "polygon"}
        content = {"shapes": [shape], "imagePath": f"p{number}.png", "imageHeight": 12, "imageWidth": 16}
        (root / f"p{number}.json").write_text(json.dumps({"version": "5.5.0", "flags": {}, **content}))


CASES = (
    Case(
        "`images/` with `good/` and `bad/`, and `masks/bad/`",
        files(
            ("images/good/g{}.png", 6, "photo"),
            ("images/bad/d{}.png", 6, "photo"),
            ("masks/bad/d{}.png", 6, "mask"),
        ),
        None,
        "read",
        ("6 normal and 6 defective images, 6 of them with a mask", 'options: {defect: "bad"}'),
    ),
    Case(
        "`good/images/`, `defect/images/` and `defect/masks/`",
        files(
            ("good/images/g{}.png", 6, "photo"),
            ("defect/images/d{}.png", 6, "photo"),
            ("defect/masks/d{}.png", 6, "mask"),
        ),
        None,
        "read",
        ("6 normal and 6 defective images, 6 of them with a mask",),
    ),
    Case(
        "`good/images/`, `good/masks/` (empty), `defect/images/` and `defect/masks/`, one name for both",
        files(
            ("good/images/{}.png", 6, "photo"),
            ("good/masks/{}.png", 6, "empty"),
            ("defect/images/{}.png", 6, "photo"),
            ("defect/masks/{}.png", 6, "mask"),
        ),
        FOLDER,
        "read",
        ("12 images of 12 items: 6 defective (6 with mask), 6 normal",),
    ),
    Case(
        "`ok/`, `scratch/` and `scratch_mask/`",
        files(
            ("ok/g{}.png", 6, "photo"), ("scratch/s{}.png", 6, "photo"), ("scratch_mask/s{}.png", 6, "mask")
        ),
        {"reader": "folder", "options": {"good": "ok", "defect": "*"}},
        "read",
        ("12 images of 12 items: 6 defective (6 with mask), 6 normal", "scratch: 6"),
    ),
    Case(
        "`ok/`, `scratch/`, `hole/`, `MasksScratch/` and `gt-hole/`, by `assay init`",
        files(
            ("ok/{}.png", 6, "photo"),
            ("scratch/{}.png", 4, "photo"),
            ("hole/{}.png", 3, "photo"),
            ("MasksScratch/{}.png", 4, "mask"),
            ("gt-hole/{}.png", 3, "mask"),
        ),
        None,
        "read",
        ("6 normal and 7 defective images, 7 of them with a mask",),
    ),
    Case(
        "`ok/`, `damaged_label/` and `label_torn/`, which are defects and no masks",
        files(
            ("ok/g{}.png", 6, "photo"),
            ("damaged_label/s{}.png", 3, "photo"),
            ("label_torn/t{}.png", 3, "photo"),
        ),
        None,
        "warned",
        ("6 normal and 6 defective images",),
    ),
    Case(
        "`images/` and `labels/`, each with `train/` and `val/`, half of the masks empty",
        both(
            half_empty("images/train/{}.png", "labels/train/{}.png", 8),
            half_empty("images/val/v{}.png", "labels/val/v{}.png", 6),
        ),
        None,
        "warned",
        (
            "7 normal and 7 defective images, 7 of them with a mask",
            "the parts train, validation are read as one set",
        ),
    ),
    Case(
        "`img_dir/` and `ann_dir/`, each with `train/`, `val/` and `test/`",
        both(
            *(
                half_empty(f"img_dir/{part}/{part}{{}}.jpg", f"ann_dir/{part}/{part}{{}}.png", 8)
                for part in ("train", "val", "test")
            )
        ),
        None,
        "read",
        ("12 normal and 12 defective images, 12 of them with a mask", "splits: published"),
    ),
    Case(
        "`train/images/` and `train/masks/` alone",
        half_empty("train/images/{}.png", "train/masks/{}_mask.png", 8),
        None,
        "read",
        ("4 normal and 4 defective images, 4 of them with a mask",),
    ),
    Case(
        "`train/` and `train_masks/`, `0_mask.png` for `0.jpg`",
        half_empty("train/{}.jpg", "train_masks/{}_mask.png", 8),
        None,
        "read",
        ("4 normal and 4 defective images, 4 of them with a mask",),
    ),
    Case(
        "images, and `masks/` below them",
        half_empty("{}.png", "masks/{}.png", 8),
        None,
        "read",
        ("4 normal and 4 defective images, 4 of them with a mask",),
    ),
    Case(
        "VisA: an object",
        visa,
        {
            "reader": "folder",
            "path": "candle",
            "options": {"good": "Normal", "defect": "Anomaly", "mask_above": 0},
        },
        "read",
        ("8 images of 8 items: 3 defective (3 with mask), 5 normal",),
    ),
    Case(
        "VisA: all objects, by `assay init`",
        visa,
        None,
        "read",
        ("10 normal and 6 defective images, 6 of them with a mask",),
    ),
    Case(
        "VisA: rows of an object in `split_csv/1cls.csv`",
        visa,
        {
            "reader": "table",
            "path": "split_csv/1cls.csv",
            "splits": "published",
            "options": {"object": "candle", "mask_above": 0},
        },
        "read",
        ("8 images of 8 items: 3 defective (3 with mask), 5 normal", "train: 4, 1 defective"),
    ),
    Case(
        "VisA: an object that the table does not have",
        visa,
        {"reader": "table", "path": "split_csv/1cls.csv", "options": {"object": "candel"}},
        "refused",
        ("no row of 1cls.csv has 'candel' in column object, found candle, pcb1. Choose one",),
    ),
    Case(
        "BTAD: `train/ok`, `test/ok`, `test/ko`, `ground_truth/ko`, masks of another format",
        files(
            ("train/ok/{}.bmp", 6, "photo"),
            ("test/ok/t{}.bmp", 3, "photo"),
            ("test/ko/{}.bmp", 4, "photo"),
            ("ground_truth/ko/{}.png", 4, "mask"),
        ),
        None,
        "read",
        ("9 normal and 4 defective images, 4 of them with a mask",),
    ),
    Case(
        "BTAD: the same, and reader `folder`",
        files(
            ("01/train/ok/{}.bmp", 6, "photo"),
            ("01/test/ok/t{}.bmp", 3, "photo"),
            ("01/test/ko/{}.bmp", 4, "photo"),
            ("01/ground_truth/ko/{}.bmp", 4, "mask"),
        ),
        {"reader": "folder", "path": "01", "options": {"good": "ok", "defect": "ko"}},
        "read",
        ("13 images of 13 items: 4 defective (4 with mask), 9 normal",),
    ),
    Case(
        "the layout of MVTec AD, and masks called `0_label.png`",
        files(
            ("train/good/{}.png", 6, "photo"),
            ("test/good/t{}.png", 3, "photo"),
            ("test/scratch/s{}.png", 4, "photo"),
            ("ground_truth/scratch/s{}_label.png", 4, "mask"),
        ),
        None,
        "read",
        ("9 normal and 4 defective images, 4 of them with a mask", 'mask_suffix: "_label"'),
    ),
    Case(
        "MVTec LOCO: several masks in a folder for each image, and `validation/`",
        files(
            ("train/good/{}.png", 6, "photo"),
            ("validation/good/v{}.png", 2, "photo"),
            ("test/good/t{}.png", 3, "photo"),
            ("test/logical_anomalies/00{}.png", 4, "photo"),
            ("ground_truth/logical_anomalies/00{}/000.png", 4, "mask"),
            ("ground_truth/logical_anomalies/00{}/001.png", 2, "mask"),
        ),
        {"reader": "mvtec"},
        "read",
        ("15 images of 15 items: 4 defective (4 with mask), 11 normal", "logical_anomalies: 4"),
    ),
    Case(
        "`good/`, `defect/`, and a folder of masks for each image",
        files(
            ("good/g{}.png", 6, "photo"),
            ("defect/d{}.png", 4, "photo"),
            ("masks/d{}/scratch_1.png", 4, "mask"),
            ("masks/d{}/scratch_2.png", 2, "mask"),
        ),
        None,
        "read",
        ("6 normal and 4 defective images, 4 of them with a mask",),
    ),
    Case(
        "LabelMe's export to VOC, with drawings and objects",
        voc,
        None,
        "warned",
        ("5 normal and 5 defective images, 5 of them with a mask", "masks drawn over their images"),
    ),
    Case(
        "an older export, with `SegmentationClassPNG/`",
        lambda root: voc(root, "SegmentationClassPNG", objects=False),
        None,
        "warned",
        ("5 normal and 5 defective images, 5 of them with a mask",),
    ),
    Case(
        "LabelMe's export of single files, a folder for each",
        exported,
        None,
        "refused",
        ("has no layout that assay init knows",),
    ),
    Case(
        "the same beside the files of LabelMe that they were made of",
        lambda root: (exported(root), _labelme(root)),
        {"reader": "annotated"},
        "refused",
        ("p0_json/label.png looks like the mask of p0_json/img.png", "p0_json/label_viz.png looks like"),
    ),
    Case(
        "`imported_masks/` and the table that `assay data import` writes",
        lambda root: (
            half_empty("line1/{}.png", "imported_masks/line1/{}.png", 8)(root),
            (root / "imported.csv").write_text(
                "image,label,mask\n"
                + "".join(f"line1/{n}.png,{n % 2},imported_masks/line1/{n}.png\n" for n in range(8))
            ),
        ),
        None,
        "read",
        ("4 normal and 4 defective images, 4 of them with a mask", 'path: "imported.csv"'),
    ),
    Case(
        "the same without the table, where a folder may be a class",
        half_empty("line1/{}.png", "imported_masks/line1/{}.png", 8),
        None,
        "refused",
        ("has no layout that assay init knows",),
    ),
    Case(
        "photos of labels and caps, in folders `label/` and `cap/` of `good/` and `defect/`",
        files(
            ("good/label/{}.png", 4, "photo"),
            ("good/cap/{}.png", 4, "photo"),
            ("defect/label/{}.png", 4, "photo"),
            ("defect/cap/{}.png", 4, "photo"),
        ),
        None,
        "warned",
        ("8 normal and 8 defective images",),
    ),
    Case(
        "`NoDefect/`, `Defect/` and `Defect_GT/`",
        files(
            ("NoDefect/g{}.png", 6, "photo"), ("Defect/d{}.png", 6, "photo"), ("Defect_GT/d{}.png", 6, "mask")
        ),
        None,
        "read",
        ("6 normal and 6 defective images, 6 of them with a mask",),
    ),
    Case(
        "`good/` and classes, of which one is divided into `bad/` and `worse/`",
        files(
            ("good/g{}.png", 6, "photo"),
            ("scratch/bad/a{}.png", 3, "photo"),
            ("scratch/worse/b{}.png", 3, "photo"),
            ("damaged/c{}.png", 3, "photo"),
        ),
        None,
        "warned",
        ("6 normal and 9 defective images", 'defect: "*"'),
    ),
    Case(
        "`defect/` with masks, and a folder that says neither",
        files(("defect/d{}.png", 6, "photo"), ("masks/d{}.png", 6, "mask"), ("unsure/u{}.png", 6, "photo")),
        None,
        "refused",
        ("has no layout that assay init knows",),
    ),
    Case(
        "masks in a folder of any name beside `good/` and `defect/`, by `assay init`",
        files(("good/g{}.png", 6, "photo"), ("defect/d{}.png", 6, "photo"), ("found/d{}_x.png", 6, "mask")),
        None,
        "read",
        ("6 normal and 6 defective images, 6 of them with a mask", 'masks: "found", mask_suffix: "_x"'),
    ),
    Case(
        "masks in a folder of any name beside classes",
        files(("good/g{}.png", 6, "photo"), ("scratch/d{}.png", 6, "photo"), ("found/d{}.png", 6, "mask")),
        None,
        "refused",
        ("found/d0.png looks like the mask of scratch/d0.png", "Set masks: found in data.options."),
    ),
    Case(
        "the same, and `masks: found`",
        files(("good/g{}.png", 6, "photo"), ("scratch/d{}.png", 6, "photo"), ("found/d{}.png", 6, "mask")),
        {"reader": "folder", "options": {"defect": "*", "masks": "found"}},
        "read",
        ("12 images of 12 items: 6 defective (6 with mask), 6 normal",),
    ),
    Case(
        "the same of black and white photos, and `binary_photos: true`",
        files(
            ("good/g{}.png", 6, "photo"),
            ("front/d{}.png", 6, "photo"),
            ("lit_from_behind/d{}.png", 1, "mask"),
        ),
        {"reader": "folder", "options": {"defect": "*"}, "binary_photos": True},
        "warned",
        ("13 images of 13 items: 7 defective (0 with mask), 6 normal",),
    ),
    Case(
        "masks beside images in folders of classes, by `assay init`",
        files(
            ("good/g{}.png", 6, "photo"),
            ("scratch/d{}.png", 6, "photo"),
            ("scratch/d{}_label.png", 6, "mask"),
        ),
        None,
        "read",
        ('masks: "*", mask_suffix: "_label"',),
    ),
    Case(
        "two folders of masks for the same images",
        files(
            ("good/g{}.png", 6, "photo"),
            ("defect/d{}.png", 6, "photo"),
            ("gt/d{}.png", 6, "mask"),
            ("labels/d{}.png", 6, "mask"),
        ),
        FOLDER,
        "refused",
        ("defect/d0.png has two masks, gt/d0.png and labels/d0.png. Name the folder of masks",),
    ),
    Case(
        "an image in a folder of normal ones below one of defective ones",
        files(
            ("good/g{}.png", 6, "photo"), ("defect/d{}.png", 6, "photo"), ("defect/good/x{}.png", 2, "photo")
        ),
        FOLDER,
        "refused",
        ("defect/good/x0.png lies in a folder of normal images and in one of defective ones",),
    ),
    Case(
        "`good/` and `normal/` beside classes of defects",
        files(("good/g{}.png", 6, "photo"), ("normal/n{}.png", 6, "photo"), ("scratch/d{}.png", 6, "photo")),
        None,
        "refused",
        ("every folder beside good is a class of defects, found normal, a name of normal images",),
    ),
    Case(
        "`defect/` alone, half of its masks empty",
        both(half_empty("defect/{}.png", "masks/{}.png", 8)),
        None,
        "refused",
        ("The masks of 4 of them show nothing: if these are normal, move them into a folder good",),
    ),
)
