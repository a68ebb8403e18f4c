"""Rules of a plan as a whole, once each cell is sound: cells that are one, pairs with no repeat.

What is no mistake, and would surprise, is a warning: allowances without use, programs that see no defect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from assay.study.file.schema import Study
from assay.study.file.source import StudyProblem
from assay.study.planning.cells import Cell, Trial
from assay.study.planning.compare import Comparison
from assay.study.planning.repeats import UNKNOWN, Repeat, repeat_name
from trainables.plugins.method_files import is_file_method, loaded_source
from trainables.program.method import Program

__all__ = [
    "nothing_to_decide",
    "repeated_data_sets",
    "shown_no_defects",
    "twins",
    "unpaired",
    "unused_allowances",
]


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


def repeated_data_sets(
    comparisons: Sequence[Comparison], cells: Sequence[Cell], hashes: Sequence[str]
) -> Iterator[StudyProblem]:
    """Data sets of a claim that are the same images: one would count as two.

    Args:
        comparisons: Of the plan.
        cells: Of the plan.
        hashes: Manifest of each cell; ``unknown`` in a plan without data, of which nothing can be told.
    """
    known = {cell.name: hashed for cell, hashed in zip(cells, hashes, strict=True) if hashed != UNKNOWN}
    levels = {cell.name: cell.levels for cell in cells}
    for comparison in comparisons:
        if comparison.over is None or not known:
            continue
        first: dict[str, str] = {}
        for start, _ in comparison.pairs:
            name = levels[start][comparison.over]
            other = first.setdefault(known[start], name)
            if other != name:
                message = (
                    f"{comparison.name}: each data set of a claim is one unit, found the same images as "
                    f"{comparison.over} {other} and {name}. Leave one of them out"
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


def shown_no_defects(cells: Sequence[Cell]) -> list[str]:
    """Programs that leave out images without a mask, and are then shown no defective image at all.

    Masks of validation are granted under full supervision alone, so that `{mixed: N}` leaves it no defect.
    """
    without: dict[tuple[str, str], dict[str, None]] = {}  # by method and part: the supervisions
    for cell in cells:
        if not _leaves_out(cell.trainable) or cell.supervision.kind in {"full", "none"}:
            continue
        parts = [] if cell.supervision.reads_masks else ["training"]
        parts += [] if cell.data.validation is None else ["validation"]
        if parts:
            key = cell.trainable.partition("@")[0], " and ".join(parts)
            without.setdefault(key, {})[str(cell.supervision)] = None
    return [
        f"{method} is shown no defective image in {part} under {', '.join(kinds)}: `without_mask: leave_out` "
        "leaves out those whose mask is withheld. With `without_mask: label_only` it gets them with their "
        "label, to choose its epoch by"
        for (method, part), kinds in without.items()
    ]


def _leaves_out(trainable: str) -> bool:
    if not is_file_method(trainable) or not (source := loaded_source(trainable)).is_program:
        return False
    return Program.of(source.files).spec.without_mask == "leave_out"
