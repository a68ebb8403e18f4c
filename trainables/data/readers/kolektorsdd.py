"""KolektorSDD: cracks in the plastic embedding of electrical commutators.

Layout: ``KolektorSDD/kosNN/PartM.jpg`` with ``PartM_label.bmp``; 50 items of eight surfaces (kos21:
seven), 399 images, 52 defective. The root holds ``KolektorSDD.zip``, or the folder, or is it.

Split: the three folds of Božič et al. 2021, by item, are written down here. Their smaller training sets and
their lists of masks are read from their files ``splits/KSDD/split_P_N.pyb`` below the root
(:mod:`~trainables.data.readers.published_lists`): P training items, N of them with masks.

Rule: an image is defective when its label has a non-zero pixel; the item is ``kosNN``. kos26 repeats
the images of kos01 and kos34 those of kos27, byte for byte: they are kept, and named in the manifest's
findings. kos21/Part7, which some copies have, is left out.

Licence: CC BY-NC-SA 4.0. Cite: Tabernik et al. 2019, doi:10.1007/s10845-019-01476-x; for the folds
Božič, Tabernik, Skočaj 2021, doi:10.1016/j.compind.2021.103459, whose code has them as lists
(github.com/vicoslab/mixed-segdec-net-comind2021, splits/KSDD).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter

from trainables.data.files.sources import DataFolders
from trainables.data.readers.base import (
    Entry,
    Expected,
    Listing,
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

# Items that each fold tests; it trains on the others.
_TEST = tuple(
    frozenset(f"kos{item:02d}" for item in items)
    for items in (
        (2, 8, 9, 10, 15, 19, 21, 25, 27, 28, 30, 37, 38, 41, 43, 46, 47),
        (1, 3, 4, 6, 11, 17, 22, 24, 29, 31, 32, 36, 39, 40, 42, 44, 48),
        (5, 7, 12, 13, 14, 16, 18, 20, 23, 26, 33, 34, 35, 45, 49, 50),
    )
)
_FOLD_OF = {item: fold for fold, items in enumerate(_TEST) for item in items}
_FOLDS = Annotated[list[Listed], Field(min_length=3, max_length=3)]
_LISTS = TypeAdapter(tuple[_FOLDS, _FOLDS])
_SHAPE = "(train, test), each a list of [(item, has mask), …] for each of three folds"
_EXPECTED = Expected({"all": (52, 347)}, "Božič, Tabernik, Skočaj 2021, Table 2")
_LEFT_OUT = "kos21/Part7"  # in circulating copies only: the makers' code skips it, in training and in test
_ALL = 33  # the makers' name for every training item (folds have 33, 33 and 34)


class KolektorOptions(BaseModel, frozen=True, extra="forbid"):
    """Settings of reader kolektorsdd."""

    train_items: Literal[5, 10, 15, 20, 25, 33] = Field(
        33, description="Items to train on: the makers' smaller training sets; 33: all."
    )


def read_kolektorsdd(spec: DataSpec, folders: DataFolders) -> Listing:
    """Index KolektorSDD (CC BY-NC-SA 4.0): ``kos01/Part0.jpg`` with ``kos01/Part0_label.bmp``."""
    options = options_of(KolektorOptions, spec)
    start = folders.below_root(READER.name, spec.path)
    expected = "KolektorSDD: expected KolektorSDD.zip, a folder KolektorSDD, or folders kos01 … kos50"
    root = folders.find(start, _holds_items, "KolektorSDD", expected=expected)
    items = sorted(path for path in root.iterdir() if _is_item(path))
    entries = tuple(
        Entry(
            sample=f"{item.name}/{image.stem}",
            image=f"{item.name}/{image.name}",
            label=None,
            mask=f"{item.name}/{image.stem}_label.bmp",
            defect_class="crack",
            group=item.name,
            fold=_FOLD_OF.get(item.name),
        )
        for item in items
        for image in images_in(item, (".jpg",))
        if f"{item.name}/{image.stem}" != _LEFT_OUT
    )
    published = PublishedSets()
    if spec.splits != "per_seed":
        published = _published_sets(find_lists("KSDD", 2, folders, start, root), options.train_items)
    unknown = [item.name for item in items if item.name not in _FOLD_OF]
    return Listing(
        root,
        entries,
        mask_above=0,
        published=published,
        unsplit=f"The published folds have the items kos01 to kos50, found {', '.join(unknown)} as well. "
        "Move these folders away, or use `splits: per_seed`.",
        expected=_EXPECTED,
    )


def _is_item(path: Path) -> bool:
    return re.fullmatch(r"kos\d\d", path.name) is not None and path.is_dir()


def _holds_items(folder: Path) -> bool:
    return folder.is_dir() and any(_is_item(path) for path in folder.iterdir())


def _published_sets(files: Mapping[tuple[int, ...], Path], train_items: int) -> PublishedSets:
    """Training items and masks of each fold for this number of training items.

    Raises:
        InputError: If there is no file for it, or a file does not test what the folds test.
    """
    place = place_of_lists(f"KSDD/split_{train_items}_*.pyb")
    masks: dict[tuple[int, int | None], frozenset[str]] = {}
    train: dict[int, frozenset[str]] = {}
    for (items, known), path in files.items():
        if items != train_items:
            continue
        trained, tested = read_lists(path, _LISTS, _SHAPE)
        if [{item for item, _ in listed} for listed in tested] != list(_TEST):
            raise InputError(
                f"{path}: the test parts are not the three published folds. Fetch it again: {place}."
            )
        for fold, listed in enumerate(trained):
            masks[known, fold] = has_masks(listed)
            train[fold] = frozenset(item for item, _ in listed)
    if train_items == _ALL:
        # All items with all masks need no file: a fold trains on every item that it does not test.
        masks |= {(_ALL, fold): frozenset(_FOLD_OF) - tested for fold, tested in enumerate(_TEST)}
        return PublishedSets(masks, all_masks=_ALL, file=place)
    if not train:
        raise InputError(
            f"data.options.train_items: {train_items} items are a list of the authors, and it is not there: "
            f"expected {place}. Put it there, or leave train_items out to train on all."
        )
    return PublishedSets(masks, all_masks=train_items, train=train, file=place)


READER = Reader(
    name="kolektorsdd",
    title="KolektorSDD: commutator surfaces with cracks, 399 images, 52 defective",
    licence="CC BY-NC-SA 4.0",
    citation="Tabernik, Šela, Skvarč, Skočaj, J. Intelligent Manufacturing 2019, "
    "doi:10.1007/s10845-019-01476-x",
    Options=KolektorOptions,
    read=read_kolektorsdd,
    recognised=True,
)
