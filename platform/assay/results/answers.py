"""The statistics of one study: its comparisons, main effects and interactions, and which cells are bold.

Joins a plan and its records with :mod:`assay.results.statistics`, which knows neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assay.results.luck import StudyLuck
from assay.results.record import Problem, Record
from assay.results.statistics import (
    Answer,
    Best,
    Contrast,
    Splits,
    best_cells,
    compare_families,
    comparison,
    interactions,
    main_effects,
)
from assay.results.summary import tidy
from assay.study import Plan
from trainables.metrics import METRICS

__all__ = ["StudyAnswers", "study_answers"]


@dataclass(frozen=True)
class StudyAnswers:
    """What the primary metric says; each group is a family (for each claim) of its own."""

    comparisons: tuple[Answer, ...]
    main_effects: tuple[Answer, ...]  # of a full factorial design; else empty
    interactions: tuple[Answer, ...]
    best: Best | None  # None: fewer than two cells can be compared
    luck: StudyLuck | None


def study_answers(
    plan: Plan,
    records: Mapping[str, Record],
    problems: Sequence[Problem] = (),
    *,
    luck: StudyLuck | None = None,
    looks: Sequence[int] = (),
) -> StudyAnswers:
    """Everything the study was asked, answered.

    Args:
        plan: All that was to be trained; of a search, its replicated points answer.
        records: By trial id.
        problems: Records that could not be read.
        luck: Test luck, where predictions were read.
        looks: Numbers of seeds at which the study was answered before (``earlier_looks``).
    """
    plan = plan.answer()
    metric = METRICS[plan.study.metrics.primary]
    table = tidy(plan, records, problems, metric=metric.name).to_pandas()
    splits: dict[str, Splits] = {
        cell.name: "per_seed" if cell.data.splits == "per_seed" else "prescribed" for cell in plan.cells
    }
    on_one_data_set = len({trial.manifest for trial in plan.trials}) == 1
    step = 1.0 if metric.unit == "images" else luck.smallest_step if luck is not None else None

    families = {
        "comparisons": _comparisons(plan),
        "main effects": main_effects(table),
        "interactions": interactions(table),
    }
    answers: dict[str, tuple[Answer, ...]] = dict.fromkeys(families, ())
    if not table.empty:
        answers = compare_families(
            table,
            families,
            metric=metric.name,
            splits=splits,
            resolve=plan.study.resolve,
            resolution=step,
            earlier_looks=looks,
            test=plan.study.exact_test,
        )
    best = None
    if on_one_data_set:
        best = best_cells(table, metric=metric.name, splits=splits, test=plan.study.exact_test)
    return StudyAnswers(
        comparisons=answers["comparisons"],
        main_effects=answers["main effects"],
        interactions=answers["interactions"],
        best=best,
        luck=luck,
    )


def _comparisons(plan: Plan) -> list[Contrast]:
    levels = {cell.name: cell.levels for cell in plan.cells}
    return [
        comparison(one.name, start, end, _within(levels[start], one.factor))
        for one in plan.comparisons
        for start, end in one.pairs
    ]


def _within(levels: Mapping[str, str], factor: str) -> str:
    """Name of a pair: the cell's, with ``…`` in the place of what is compared."""
    return "·".join("…" if name == factor else level for name, level in levels.items())
