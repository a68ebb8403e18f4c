"""The searches of a cell: one, or one for each fold, each split of its own, or each seed of the search.

A search sees the validation and training images of its repeats. On prescribed folds these are test images of
other folds, and with ``splits: per_seed`` they are among the test images of fresh seeds. So a *nested* search
stays on one fold, or on the split of one seed, and its winner is trained again and tested there. On a split
of its own the repeat of a winner names the seed of that split as its fold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from assay.study.repeats import Repeat
from assay.study.schema import Study
from trainables.data.spec import DataSpec

__all__ = ["SearchPart", "repeats_per_point", "search_parts"]


class SearchPart(NamedTuple):
    """One search of a cell."""

    name: str  # `fold 0`, `split 3`, `search 1, fold 0`; "": the only one
    seed: int | None  # of `search.seeds`; None: `search.seed`
    repeats: tuple[Repeat, ...]  # on which a point is evaluated
    fresh: tuple[Repeat, ...]  # of its winner


def search_parts(study: Study, data: DataSpec, repeats: Sequence[Repeat]) -> Iterator[SearchPart]:
    """The searches of a cell, each with its share of the repeats.

    Args:
        study: With a search.
        data: Of the cell.
        repeats: Of the cell: those on which points are evaluated, and the fresh ones of winners.
    """
    assert study.search is not None
    evaluated = [repeat for repeat in repeats if repeat.seed in study.repeats.seeds]
    fresh = [repeat for repeat in repeats if repeat.seed not in study.repeats.seeds]
    own_splits = data.splits == "per_seed"
    places = dict.fromkeys(repeat.seed if own_splits else repeat.fold for repeat in evaluated)
    drawn = tuple(enumerate(study.search.seeds)) or ((0, None),)
    for (number, seed), place in product(drawn, places if study.search.nested else [None]):
        winner_seeds = study.replicate.seeds if study.replicate else ()
        names = [] if seed is None else [f"search {seed}"]
        if place is not None:
            names.append(f"{'split' if own_splits else 'fold'} {place}")
        yield SearchPart(
            name=", ".join(names),
            seed=seed,
            repeats=tuple(r for r in evaluated if place in (None, r.seed if own_splits else r.fold)),
            fresh=tuple(
                repeat
                for repeat in fresh
                if place in (None, repeat.fold) and (seed is None or repeat.seed == winner_seeds[number])
            ),
        )


def repeats_per_point(study: Study) -> int:
    """Count the trainings of a point, from the study alone: a data set may have no folds."""
    seeds, folds = len(study.repeats.seeds), max(1, len(study.repeats.folds))
    if study.search is None or not study.search.nested:
        return seeds * folds
    return 1 if study.data.splits == "per_seed" else seeds
