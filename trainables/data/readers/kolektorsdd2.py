"""KolektorSDD2: surfaces of a production line with scratches, spots and other defects, in colour.

Layout: ``train/10301.png`` with ``train/10301_GT.png``, ``test/`` likewise; 3335 images, 356 defective
(train 246 and 2085 normal, test 110 and 894). The root holds ``KolektorSDD2.zip``, or the folder
``KolektorSDD2`` (or ``KSDD2``), or is it. The makers' mask subsets are read from
``splits/KolektorSDD2_masks.json`` below the root, if it is there::

    {"masks": {"16": ["10301", …], "53": […], "126": […], "246": […]}}

N → stems of the training images whose masks `mixed: N` may read under `masks: published`.

Rule: an image is defective when its mask has a non-zero pixel. Every image is an item of its own.

Licence: CC BY-NC-SA 4.0. Cite: Božič, Tabernik, Skočaj 2021, doi:10.1016/j.compind.2021.103459.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

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
    read_published,
)
from trainables.data.spec import DataSpec

__all__ = ["READER"]

_MASKS = Path("splits") / "KolektorSDD2_masks.json"
_EXPECTED = Expected(
    {"all": (356, 2979), "train": (246, 2085), "test": (110, 894)}, "Božič, Tabernik, Skočaj 2021, Table 2"
)
_ALL = 246  # defective training images


class _Masks(BaseModel, frozen=True):
    masks: dict[int, list[str]]


def read_kolektorsdd2(spec: DataSpec, folders: DataFolders) -> Listing:
    """Index KolektorSDD2 (CC BY-NC-SA 4.0): ``train/10301.png`` with ``train/10301_GT.png``."""
    options_of(NoOptions, spec)
    start = folders.below_root(READER.name, spec.path)
    expected = (
        "KolektorSDD2: expected KolektorSDD2.zip, a folder KolektorSDD2, or folders train and test with "
        "10301.png and 10301_GT.png"
    )
    root = folders.find(start, _holds_parts, "KolektorSDD2", "KSDD2", expected=expected)
    lists = read_published(_Masks, _MASKS, "masks[N] = stems of training images", folders, start, root)
    return Listing(
        root,
        tuple(entry for split in ("train", "test") for entry in _list_part(root, split)),
        mask_above=0,
        published=PublishedSets(
            {(n, None): frozenset(f"train/{stem}" for stem in stems) for n, stems in lists.masks.items()}
            if lists
            else {},
            all_masks=_ALL,
            file=_MASKS.as_posix(),
        ),
        expected=_EXPECTED,
    )


def _holds_parts(folder: Path) -> bool:
    return all((folder / part).is_dir() for part in ("train", "test")) and any(
        path.stem.endswith("_GT") for path in (folder / "train").iterdir()
    )


def _list_part(root: Path, split: str) -> Iterator[Entry]:
    for path in images_in(root / split, (".png",)):
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
