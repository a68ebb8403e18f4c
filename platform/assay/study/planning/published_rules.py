"""Rules of published figures: each has a place in the study's table, one value there, and one that can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay.study.designs.base import named_problems
from assay.study.file.blocks import as_lists
from assay.study.file.published import PublishedRow
from assay.study.file.schema import Study
from assay.study.file.source import KeyPath, StudyProblem
from assay.study.planning.cell_names import Levels
from trainables.errors import nearest

__all__ = ["published_problems"]


def published_problems(study: Study, cells: Sequence[Levels]) -> Iterator[StudyProblem]:
    """Published figures that have no place in the study's table, two in one place, or that cannot be."""
    seen: dict[tuple[str, int], int] = {}  # (metric, index of the cell) → index of the row
    for index, row in enumerate(study.published.rows if study.published else ()):
        at: KeyPath = ("published", "rows", index)
        yield from _value_problems(study, row, (*at, "values"))
        unknown = list(named_problems(study, as_lists(row.at), (*at, "at")))
        yield from unknown
        places = [number for number, levels in enumerate(cells) if row.is_of(levels)]
        if not places and not unknown:
            levels = ", ".join(f"{factor}: {level}" for factor, level in row.at.items())
            message = f"no cell of the design has {levels}: add it, or remove the row"
            yield StudyProblem((*at, "at"), message)

        # A row may stand for several cells, each of which has one published value of a metric.
        for metric in row.values:
            first = min(seen.setdefault((metric, place), index) for place in places) if places else index
            if first != index:
                message = f"rows[{first}] has a value of {metric} for the same cell: keep one of them"
                yield StudyProblem((*at, "values", metric), message)


def _value_problems(study: Study, row: PublishedRow, at: KeyPath) -> Iterator[StudyProblem]:
    from trainables.evaluation.metrics import METRICS

    shown = (study.metrics.primary, *study.metrics.report)
    for name, value in row.values.items():
        if name not in METRICS:
            yield StudyProblem((*at, name), f"unknown metric `{name}`; {nearest(name, METRICS)}")
        elif name not in shown:
            message = f"the table has no column {name}: add it to `metrics.report`, or leave the value out"
            yield StudyProblem((*at, name), message)
        elif (unit := METRICS[name].unit) == "share" and not 0 <= value <= 1:
            yield StudyProblem((*at, name), f"{name} is a share, 0..1, found {value:g}: 93.4 % are 0.934")
        elif value < 0:
            yield StudyProblem((*at, name), f"{name} is a number of {unit}, 0 or more, found {value:g}")
