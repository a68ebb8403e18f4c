"""Rules of a plan as a whole, once each cell is sound: cells that are one, pairs with no repeat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from assay.study.file.schema import Study
from assay.study.file.source import StudyProblem
from assay.study.planning.cells import Trial
from assay.study.planning.compare import Comparison
from assay.study.planning.repeats import Repeat, repeat_name

__all__ = ["nothing_to_decide", "twins", "unpaired", "unused_allowances"]


def unpaired(
    comparisons: Sequence[Comparison], repeats: Mapping[str, Sequence[Repeat]]
) -> Iterator[StudyProblem]:
    """Compared cells without a common repeat: a data set with folds against one without."""
    # Cells share their groups of repeats, so that each group is looked at once.
    of_group = {id(group): {repeat.fold for repeat in group} for group in repeats.values()}
    folds = {cell: of_group[id(group)] for cell, group in repeats.items()}  # seeds are common to all cells
    for comparison in comparisons:
        for start, end in comparison.pairs:
            if folds[start].isdisjoint(folds[end]):
                message = (
                    f"{comparison.name}: {start} and {end} have no repeat in common, one is trained on folds "
                    "and the other is not. Compare within a data set, or use `splits: per_seed` in both"
                )
                yield StudyProblem(("comparisons",), message)
                break


def nothing_to_decide(study: Study, comparisons: Sequence[Comparison]) -> list[StudyProblem]:
    """Refuse planned looks at no comparison: nothing would ever be settled."""
    if not study.repeats.decide or any(comparison.pairs for comparison in comparisons):
        return []
    message = (
        "`decide` trains until comparisons are settled, and this study compares nothing: name some in "
        "`comparisons`, or write `seeds` instead"
    )
    return [StudyProblem(("repeats", "decide"), message)]


def twins(trials: Sequence[Trial]) -> list[StudyProblem]:
    """Trials of two cells that are one and the same."""
    first: dict[str, Trial] = {}
    for trial in trials:
        other = first.setdefault(trial.id, trial)
        if other is not trial:
            message = (
                f"the cells {other.cell} and {trial.cell} are the same training at "
                f"{repeat_name(trial.seed, trial.fold)}: they have the same settings, or data settings that "
                "lead to the same images and split. Remove one of them"
            )
            return [StudyProblem(("design",), message)]
    return []


def unused_allowances(study: Study, comparisons: Sequence[Comparison]) -> list[str]:
    """Allowances that the study could do without."""
    used = {path for comparison in comparisons for path in comparison.allowed}
    return [
        f"allow.{path} is not needed: no compared cells differ in it"
        for path in study.allow
        if path not in used
    ]
