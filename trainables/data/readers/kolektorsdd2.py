"""KolektorSDD2: surfaces of a production line with scratches, spots and other defects, in colour.

Layout: ``train/10301.png`` with ``train/10301_GT.png``, ``test/`` likewise; 3335 images, 356 defective
(train 246 and 2085 normal, test 110 and 894). The root holds ``KolektorSDD2.zip``, or the folder
``KolektorSDD2`` (or ``KSDD2``), or is it. For `masks: published` the makers' lists are read from their files
``splits/KSDD2/split_N.pyb`` below the root, N = 16, 53, 126 … training images with masks
(:mod:`~trainables.data.readers.published_lists`).

Rule: an image is defective when its mask has a non-zero pixel. Every image is an item of its own.

Licence: CC BY-NC-SA 4.0. Cite: Božič, Tabernik, Skočaj 2021, doi:10.1016/j.compind.2021.103459.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import TypeAdapter

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
from trainables.data.readers.published_lists import find_lists, place_of_lists, read_lists
from trainables.data.spec import DataSpec

__all__ = ["READER"]

_EXPECTED = Expected(
    {"all": (356, 2979), "train": (246, 2085), "test": (110, 894)}, "Božič, Tabernik, Skočaj 2021, Table 2"
)
_ALL = 246  # defective training images
_PART = list[tuple[str | int, bool]]  # the stem of an image, and whether its mask may be read
_LISTS = TypeAdapter(tuple[_PART, _PART])


def read_kolektorsdd2(spec: DataSpec, folders: DataFolders) -> Listing:
    """Index KolektorSDD2 (CC BY-NC-SA 4.0): ``train/10301.png`` with ``train/10301_GT.png``."""
    options_of(NoOptions, spec)
    start = folders.below_root(READER.name, spec.path)
    expected = (
        "KolektorSDD2: expected KolektorSDD2.zip, a folder KolektorSDD2, or folders train and test with "
        "10301.png and 10301_GT.png"
    )
    root = folders.find(start, _holds_parts, "KolektorSDD2", "KSDD2", expected=expected)
    masks: dict[tuple[int, int | None], frozenset[str]] = {}
    if spec.masks == "published":
        for (number,), path in find_lists("KSDD2", 1, folders, start, root).items():
            trained, _ = read_lists(path, _LISTS, "(train, test), each [(stem of an image, has mask), …]")
            masks[number, None] = frozenset(f"train/{stem}" for stem, has_mask in trained if has_mask)
    return Listing(
        root,
        tuple(entry for split in ("train", "test") for entry in _list_part(root, split)),
        mask_above=0,
        published=PublishedSets(masks, all_masks=_ALL, file=place_of_lists("KSDD2/split_*.pyb")),
        expected=_EXPECTED,
    )


def _holds_parts(folder: Path) -> bool:
    return all((folder / part).is_dir() for part in ("train", "test")) and any(
        path.stem.endswith("_GT") for path in (folder / "train").iterdir()
    )


def _list_part(root: Path, split: str) -> Iterator[Entry]:
    for path in images_in(root / split, (".png",)):
        # No label here: the mask decides, and every image has one, that of a normal image being black.
        if not path.stem.endswith("_GT"):
            sample = f"{split}/{path.stem}"
            yield Entry(sample, f"{sample}.png", None, f"{sample}_GT.png", "defect", sample, split)


READER = Reader(
    name="kolektorsdd2",
    title="KolektorSDD2: production surfaces in colour, 3335 images, 356 defective",
    licence="CC BY-NC-SA 4.0",
    citation="Božič, Tabernik, Skočaj, Computers in Industry 129, 2021, doi:10.1016/j.compind.2021.103459",
    Options=NoOptions,
    read=read_kolektorsdd2,
    recognised=True,
)
