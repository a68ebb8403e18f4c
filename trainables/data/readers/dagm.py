"""DAGM 2007: ten classes of synthetic grey textures, each with a kind of defect of its own.

Layout: ``Class1/Train/0001.PNG``, ``Class1/Train/Label/0576_label.PNG``, ``Class1/Test/`` likewise, up to
``Class10``. The root holds ``DAGM.zip``, or the folder ``DAGM`` (or ``DAGM2007``), or the classes
themselves. Half of a class is for training, half for test: 575 images each of Class1 to Class6, 1150 of
Class7 to Class10. For `masks: published` the lists of Božič et al. 2021 are read from their files
``splits/DAGM/split_N.pyb`` below the root, N = 5, 15, 45 … training images of a class with masks
(:mod:`~trainables.data.readers.published_lists`).

Rules: an image is defective when it has a label file (a coarse ellipse). Labels beside their images, as
in older copies, are read too. A part without a single label is refused: it would make every image normal.
``classes`` selects textures with their normal images; published results train a model for each. Every
image is an item of its own.

Licence: none stated; the makers offer it publicly for benchmarks. Cite: Wieler, Hahn, "Weakly Supervised
Learning for Industrial Optical Inspection", DAGM symposium 2007.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from trainables.data.files.sources import DataFolders
from trainables.data.readers.base import (
    Entry,
    Expected,
    Listing,
    NoOptions,
    PublishedSets,
    Reader,
    images_in,
    options_of,
)
from trainables.data.readers.published_lists import (
    Listed,
    find_lists,
    has_masks,
    place_of_lists,
    read_lists,
)
from trainables.data.spec import DataSpec
from trainables.errors import InputError

__all__ = ["READER"]

_CLASSES = tuple(f"Class{number}" for number in range(1, 11))
_TRAIN_DEFECTIVE = dict(zip(_CLASSES, (79, 66, 66, 82, 70, 83, 150, 150, 150, 150), strict=True))
_PARTS = {"Train": "train", "Test": "test"}
_SUFFIX = "_label"
_BY_CLASS = Annotated[list[Listed], Field(min_length=10, max_length=10)]
_LISTS = TypeAdapter(tuple[_BY_CLASS, _BY_CLASS])
_SHAPE = "(train, test), each a list of [(file of an image, has mask), …] for each of ten classes"


def read_dagm(spec: DataSpec, folders: DataFolders) -> Listing:
    """Index DAGM 2007: ``Class1/Train/0576.PNG`` with ``Class1/Train/Label/0576_label.PNG``."""
    options_of(NoOptions, spec)
    start = folders.below_root(READER.name, spec.path)
    expected = "DAGM 2007: expected a folder DAGM, or folders Class1 … Class10 with Train and Test inside"
    root = folders.find(start, _holds_classes, "DAGM", "DAGM2007", expected=expected)
    present = tuple(name for name in _CLASSES if (root / name).is_dir())

    # Ten textures, each with a kind of defect of its own: a texture is a class here, and `data.classes`
    # chooses among them.
    chosen = [name for name in present if spec.classes is None or name in spec.classes]
    entries = tuple(
        entry for name in chosen for part in _PARTS for entry in _list_part(root, f"{name}/{part}", name)
    )
    masks: dict[tuple[int, int | None], frozenset[str]] = {}
    if spec.masks == "published":
        # Of several classes N masks each are read, which `mixed` calls by N times their number.
        for (number,), path in find_lists("DAGM", 1, folders, start, root).items():
            by_class = dict(zip(_CLASSES, read_lists(path, _LISTS, _SHAPE)[0], strict=True))
            masks[number * len(chosen), None] = frozenset(
                f"{name}/Train/{Path(file).stem}" for name in chosen for file in has_masks(by_class[name])
            )
    return Listing(
        root,
        entries,
        mask_above=0,
        published=PublishedSets(masks, file=place_of_lists("DAGM/split_*.pyb")),
        classes=present,
        expected=_expected(chosen),
    )


def _holds_classes(folder: Path) -> bool:
    return any((folder / name / "Train").is_dir() for name in _CLASSES)


def _list_part(root: Path, part: str, defect_class: str) -> Iterator[Entry]:
    folder = root / part
    if not folder.is_dir():
        raise InputError(
            f"{folder} is missing: DAGM has Train and Test in each class. Unpack the class again."
        )
    labels = _labels(folder)

    # A wrong path is the trap of this set: without labels every image would be normal, and nothing would
    # fail.
    if not labels:
        raise InputError(
            f"{folder} has no labels: expected Label/0576_label.PNG and the like. Without them every image "
            "would count as normal. Unpack the class again."
        )
    images = [path for path in images_in(folder, (".png",)) if not _is_label(path)]

    # A label without its image means that files are missing.
    stray = sorted(set(labels) - {path.stem for path in images})
    if stray:
        raise InputError(
            f"{folder}: the label {labels[stray[0]].name} has no image {stray[0]}.PNG. Unpack the class "
            "again."
        )
    for path in images:
        sample = f"{part}/{path.stem}"
        label = labels.get(path.stem)
        yield Entry(
            sample,
            f"{part}/{path.name}",
            label is not None,
            label.relative_to(root).as_posix() if label else None,
            defect_class if label else None,
            sample,
            _PARTS[folder.name],
        )


def _is_label(path: Path) -> bool:
    return path.stem.lower().endswith(_SUFFIX)


def _labels(folder: Path) -> dict[str, Path]:
    """Label files by the stem of their image: in ``Label``, or beside the images."""
    places = [place for place in (folder / "Label", folder) if place.is_dir()]
    return {
        path.stem[: -len(_SUFFIX)]: path
        for place in reversed(places)
        for path in images_in(place, (".png",))
        if _is_label(path)
    }


def _expected(chosen: list[str]) -> Expected:
    """A class has 150 defective and 1000 normal images, from Class7 on twice as many; half of them each."""
    images = sum(1150 if name in _CLASSES[:6] else 2300 for name in chosen)
    bad = {
        "all": sum(150 if name in _CLASSES[:6] else 300 for name in chosen),
        "train": sum(_TRAIN_DEFECTIVE[name] for name in chosen),
    }
    bad["test"] = bad["all"] - bad["train"]
    counts = {part: (bad[part], (images if part == "all" else images // 2) - bad[part]) for part in bad}
    source = (
        "the makers' files; Božič, Tabernik, Skočaj 2021, Table 2, has one half, rounded: 75 + 500 a class"
    )
    return Expected(counts, source)


READER = Reader(
    name="dagm",
    title="DAGM 2007: ten classes of textures, 16100 images, 2100 defective",
    licence="none stated; offered publicly for benchmarks",
    citation="Wieler, Hahn, Weakly Supervised Learning for Industrial Optical Inspection, "
    "DAGM symposium 2007",
    Options=NoOptions,
    read=read_dagm,
    recognised=True,
)
