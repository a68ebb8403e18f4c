"""KolektorSDD: cracks in the plastic embedding of electrical commutators.

Layout: ``KolektorSDD/kosNN/PartM.jpg`` with ``PartM_label.bmp``; 50 items of eight surfaces (kos21:
seven), 399 images, 52 defective. The root holds ``KolektorSDD.zip``, or the folder, or is it. Folds are
read from ``splits/KolektorSDD_folds.json`` below the root (test items per fold; training subsets
``P_N``: P items, N of them with masks).

Rule: an image is defective when its label has a non-zero pixel; the item is ``kosNN``. kos26 repeats
the images of kos01 and kos34 those of kos27, byte for byte: they are kept, and named in the manifest's
findings. kos21/Part7, which some copies have, is left out.

Licence: CC BY-NC-SA 4.0. Cite: Tabernik et al. 2019, doi:10.1007/s10845-019-01476-x; for the folds
Božič, Tabernik, Skočaj 2021, doi:10.1016/j.compind.2021.103459.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from trainables.data.files.sources import DataFolders
from trainables.data.readers.base import (
    Entry,
    Expected,
    Listing,
    PublishedSets,
    Reader,
    images_in,
    options_of,
    read_published,
)
from trainables.data.spec import DataSpec

__all__ = ["READER"]

_FOLDS = Path("splits") / "KolektorSDD_folds.json"
_EXPECTED = Expected({"all": (52, 347)}, "Božič, Tabernik, Skočaj 2021, Table 2")
_LEFT_OUT = "kos21/Part7"  # in circulating copies only: the makers' code skips it, in training and in test
_ALL = 33  # the makers' name for every training item (folds have 33, 33 and 34)


class KolektorOptions(BaseModel, frozen=True, extra="forbid"):
    """Settings of reader kolektorsdd."""

    train_items: Literal[5, 10, 15, 20, 25, 33] = Field(
        33, description="Items to train on: the makers' smaller training sets; 33: all."
    )


class _Folds(BaseModel, frozen=True):
    """The published JSON: test items by fold, and (item, has mask) lists by ``P_N`` and fold."""

    test: list[list[str]]
    train: dict[Annotated[str, Field(pattern=r"^\d+_\d+$")], list[list[tuple[str, bool]]]]


def read_kolektorsdd(spec: DataSpec, folders: DataFolders) -> Listing:
    """Index KolektorSDD (CC BY-NC-SA 4.0): ``kos01/Part0.jpg`` with ``kos01/Part0_label.bmp``."""
    options = options_of(KolektorOptions, spec)
    start = folders.below_root(READER.name, spec.path)
    expected = "KolektorSDD: expected KolektorSDD.zip, a folder KolektorSDD, or folders kos01 … kos50"
    root = folders.find(start, _holds_items, "KolektorSDD", expected=expected)
    items = sorted(path for path in root.iterdir() if _is_item(path))
    shape = "test[fold] = items and train['P_N'][fold] = [item, has mask]"
    folds = read_published(_Folds, _FOLDS, shape, folders, start, root)
    fold_of = {item: fold for fold, names in enumerate(folds.test) for item in names} if folds else {}
    entries = tuple(
        Entry(
            sample=f"{item.name}/{image.stem}",
            image=f"{item.name}/{image.name}",
            label=None,
            mask=f"{item.name}/{image.stem}_label.bmp",
            defect_class="crack",
            group=item.name,
            fold=fold_of.get(item.name),
        )
        for item in items
        for image in images_in(item, (".jpg",))
        if f"{item.name}/{image.stem}" != _LEFT_OUT
    )
    unlisted = [item.name for item in items if item.name not in fold_of]
    return Listing(
        root,
        entries,
        mask_above=0,
        published=_published_sets(folds, options.train_items) if folds else PublishedSets(),
        unsplit=_unsplit(unlisted if folds else None),
        expected=_EXPECTED,
    )


def _unsplit(unlisted: list[str] | None) -> str:
    """Why there is no published split: items that the folds do not list, or no folds at all (None)."""
    if unlisted is None:
        return (
            f"KolektorSDD's published folds are read from {_FOLDS} below the data root, which is not there. "
            "Put the file there, or use `splits: per_seed`."
        )
    return (
        f"{_FOLDS} lists every item in one fold; it does not list {', '.join(unlisted)}. "
        "Move these folders away, or use `splits: per_seed`."
    )


def _is_item(path: Path) -> bool:
    return re.fullmatch(r"kos\d\d", path.name) is not None and path.is_dir()


def _holds_items(folder: Path) -> bool:
    return folder.is_dir() and any(_is_item(path) for path in folder.iterdir())


def _published_sets(folds: _Folds, train_items: int) -> PublishedSets:
    masks: dict[tuple[int, int | None], frozenset[str]] = {}
    train: dict[int, frozenset[str]] | None = None if train_items == _ALL else {}
    for name, by_fold in folds.train.items():
        items, known = (int(number) for number in name.split("_"))
        for fold, listed in enumerate(by_fold):
            if items == train_items:
                masks[known, fold] = frozenset(item for item, has_mask in listed if has_mask)
                if train is not None:
                    train[fold] = frozenset(item for item, _ in listed)
    return PublishedSets(masks, all_masks=train_items, train=train, file=_FOLDS.as_posix())


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
