"""Costs of the labels of each cell, and which cells no other one beats for fewer or equal hours.

Hours of labelling are reckoned from what the records counted: every training image needs an image label (also
the normal ones of supervision ``none``: somebody must say that they are normal), every training mask a mask.
Validation and test labels are left out: they are the same for all cells, and buy knowledge instead of scores.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from assay.analysis.computed import computed
from assay.analysis.results import StudyResults
from assay.analysis.summary import CellSummary, Repeat, metric_summary, repeats_text
from assay.storage.record import Result
from assay.study import Cell, Study
from assay.study.cell_names import line_name
from assay.study.identity import canonical_json
from assay.study.schema import Labelling, Level
from trainables.evaluation.metrics import Metric

__all__ = ["LabelCell", "LabelCosts", "label_costs", "label_factors"]

_TRAINING_OPTION = "train_"  # options of readers that limit the training part begin so
_LOG_FROM = 10.0  # times the fewest hours


@dataclass(frozen=True)
class LabelCell:
    """A cell that has finished trainings, by the repeats that all cells on its data have.

    Other repeats are other images, and so other labels and other scores. Where the cells have none in common,
    each goes by its own.
    """

    cell: Cell
    line: str  # what tells its line from others: levels, and the method where levels name it; "" for one line
    data: str  # equal for cells that are tested on the same data
    image_labels: float
    defective: float  # of the training images
    masks: float
    hours: float
    values: tuple[float, ...]  # one a repeat
    repeats: frozenset[Repeat]  # whose values these are
    comparable: bool  # False: cells on these data have no repeat in common
    on_front: bool = False

    @property
    def mean(self) -> float:
        """Over its repeats, of which there is at least one."""
        return statistics.fmean(self.values)


@dataclass(frozen=True)
class LabelCosts:
    """The primary metric against hours of labelling; at least two cells differ in hours."""

    metric: Metric
    labelling: Labelling
    cells: tuple[LabelCell, ...]  # in the plan's order
    lines: tuple[tuple[LabelCell, ...], ...]  # cells alike in all but their labels, by rising hours
    others: tuple[str, ...]  # the factors that tell lines apart
    repeats: str  # of a cell: `2 seeds × 3 folds`
    fewer: bool  # than some cells have: others do not have them all

    @property
    def is_ladder(self) -> bool:
        """True where cells differ in their methods, and not in labels alone."""
        return len({cell.cell.trainable for cell in self.cells}) > 1

    @property
    def logarithmic(self) -> bool:
        """True where hours are drawn on such an axis: the most are over ten times the fewest."""
        hours = [cell.hours for cell in self.cells]
        return max(hours) > _LOG_FROM * min(hours) > 0

    @property
    def fronts(self) -> list[list[LabelCell]]:
        """For each data set the cells that no other one beats for fewer or equal hours, by rising hours."""
        chosen: dict[str, list[LabelCell]] = {}
        for cell in sorted((c for c in self.cells if c.on_front), key=lambda c: c.hours):
            chosen.setdefault(cell.data, []).append(cell)
        return list(chosen.values())

    @property
    def caption(self) -> str:
        """A few words below the picture."""
        beside = " Cells that cost about the same stand beside each other." if self.is_ladder else ""
        return (
            f"{self.metric.title} on test data against the time of labelling.{beside} Rings: the front, "
            "whose cells no other beats for less or as much time."
        )


@computed
def label_costs(results: StudyResults) -> LabelCosts | None:
    """Scores against hours of labelling; None where the study names no costs or nothing differs in hours."""
    study = results.plan.study
    labelling = study.labelling
    if labelling is None:
        return None
    axis = _axis(study)
    others = tuple(factor for factor in study.factors if factor not in axis)
    metric = results.primary
    trained = _trained(results)
    by_method = any(level.trainable for factor in axis for level in study.factors[factor].values())
    chosen: dict[tuple[str, ...], CellSummary] = {}
    for summary in metric_summary(results, metric.name):
        # Of a search several points have the same levels: the best of them stands first.
        if summary.values:
            chosen.setdefault(tuple(summary.cell.levels.values()), summary)
    common = _common(chosen.values())
    cells = [
        _costed(
            summary,
            trained[summary.cell.name],
            common[_tested_on(summary.cell)],
            line_name(study.factors, summary.cell.levels, others),
            labelling,
        )
        for summary in chosen.values()
    ]
    costed = _with_fronts(_by_method(cells) if by_method else cells, metric)
    if not any(len({c.hours for c in costed if c.data == data}) > 1 for data in {c.data for c in costed}):
        return None
    lines: dict[tuple[str, str], list[LabelCell]] = {}
    for cell in sorted(costed, key=lambda cell: cell.hours):
        lines.setdefault((cell.line, cell.data), []).append(cell)
    order = dict.fromkeys((cell.line, cell.data) for cell in costed)
    return LabelCosts(
        metric=metric,
        labelling=labelling,
        cells=tuple(costed),
        lines=tuple(tuple(lines[key]) for key in order),
        others=others,
        repeats=repeats_text(costed[0].repeats),
        fewer=any(
            len(summary.values) > len(cell.values)
            for summary, cell in zip(chosen.values(), cells, strict=True)
        ),
    )


def _common(summaries: Iterable[CellSummary]) -> dict[str, frozenset[Repeat]]:
    """Data → the repeats of which all cells that are tested on them have a value."""
    common: dict[str, frozenset[Repeat]] = {}
    for summary in summaries:
        data, repeats = _tested_on(summary.cell), frozenset(summary.values)
        common[data] = common.get(data, repeats) & repeats
    return common


def label_factors(study: Study) -> tuple[str, ...]:
    """The factors that change how many labels training has."""
    return tuple(f for f, levels in study.factors.items() if any(map(_sets_labels, levels.values())))


def _axis(study: Study) -> tuple[str, ...]:
    """The factors along which a line runs: those that set the supervision, else those that limit images."""
    supervised = tuple(
        f for f, levels in study.factors.items() if any(level.supervision for level in levels.values())
    )
    return supervised or label_factors(study)


def _sets_labels(level: Level) -> bool:
    if "reader" in level.data:
        return False  # another data set, which is no choice of labels
    limits = any(option.startswith(_TRAINING_OPTION) for option in level.data.get("options", {}))
    return level.supervision is not None or "positives" in level.data or limits


def _trained(results: StudyResults) -> dict[str, dict[Repeat, Result]]:
    """Cell → what each of its trainings counted."""
    trained: dict[str, dict[Repeat, Result]] = {}
    for trial, _, result in results.trained:
        trained.setdefault(trial.cell, {})[Repeat(trial.seed, trial.fold)] = result
    return trained


def _costed(
    summary: CellSummary,
    trained: Mapping[Repeat, Result],
    common: frozenset[Repeat],
    line: str,
    labelling: Labelling,
) -> LabelCell:
    cell, repeats = summary.cell, common or frozenset(summary.values)
    counted = [trained[repeat] for repeat in repeats]
    image_labels = statistics.fmean(result.n_train for result in counted)
    masks = statistics.fmean(result.n_masks for result in counted)
    return LabelCell(
        cell=cell,
        line=line,
        data=_tested_on(cell),
        image_labels=image_labels,
        defective=statistics.fmean(result.n_positives for result in counted),
        masks=masks,
        hours=labelling.hours(image_labels, masks),
        values=tuple(value for repeat, value in summary.values.items() if repeat in repeats),
        repeats=repeats,
        comparable=bool(common),
    )


def _by_method(cells: Sequence[LabelCell]) -> list[LabelCell]:
    """The same cells; a line is those of one method, each with other labels, or else a single cell."""
    alike: dict[tuple[str, str, str], list[LabelCell]] = {}
    for cell in cells:
        alike.setdefault((cell.line, cell.cell.trainable, cell.data), []).append(cell)
    names: dict[str, str] = {}
    for (line, method, _), of_method in alike.items():
        rungs = {(cell.image_labels, cell.masks) for cell in of_method}
        whole = 1 < len(of_method) == len(rungs)
        name = ", ".join(filter(None, (line, method)))
        names |= {cell.cell.name: name if whole else cell.cell.name for cell in of_method}
    return [replace(cell, line=names[cell.cell.name]) for cell in cells]


def _tested_on(cell: Cell) -> str:
    """All that decides the test part: scores of cells that differ in it are no alternatives."""
    data = cell.data.model_dump(
        mode="json", include={"reader", "path", "classes", "others", "splits", "test", "item", "options"}
    )
    options = {k: v for k, v in data.pop("options").items() if not k.startswith(_TRAINING_OPTION)}
    return canonical_json({**data, "options": options})


def _with_fronts(cells: Sequence[LabelCell], metric: Metric) -> list[LabelCell]:
    """The same cells, knowing whether they are on the front of their data."""
    rivals: dict[str, list[LabelCell]] = {}
    for cell in cells:
        rivals.setdefault(cell.data, []).append(cell)
    front = {name for of_data in rivals.values() for name in _front(of_data, metric)}
    return [replace(cell, on_front=cell.cell.name in front) for cell in cells]


def _front(cells: Sequence[LabelCell], metric: Metric) -> Iterator[str]:
    """Names of the cells of one data set that are on its front; none where they have no repeat in common."""
    best, best_hours = -math.inf, 0.0
    for cell in sorted(cells, key=lambda cell: (cell.hours, -metric.sign * cell.mean)):
        score = metric.sign * cell.mean
        if cell.comparable and (score > best or (score == best and cell.hours == best_hours)):
            yield cell.cell.name
        if score > best:
            best, best_hours = score, cell.hours
