"""Labels of a study: what they cost, the score that they buy, how many are enough, and what to label next.

Hours of labelling are reckoned from what the records counted: every training image needs an image label (also
the normal ones of supervision ``none``: somebody must say that they are normal), every training mask a mask.
Validation and test labels are left out: they are the same for all cells, and buy knowledge instead of scores.

In the curve of masks every point is at its true number of masks; "all" is what the records counted.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pandas as pd

from assay.analysis.names import study_names
from assay.analysis.results.computed import computed
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import score_tables, study_analysis
from assay.analysis.study_pair import listed
from assay.analysis.summary import CellSummary, Repeat, metric_summary, metric_table, repeats_text
from assay.statistics.contrasts import comparison
from assay.statistics.families import ComparisonResult
from assay.statistics.labels import Enough, LabelAdvice, Labels, advise_labels, enough_masks, most_hours
from assay.statistics.scores import Splits
from assay.statistics.wording import most_text
from assay.storage.record import Result
from assay.study import Cell, Study
from assay.study.file.schema import Labelling, Level
from assay.study.planning.identity import canonical_json
from trainables.errors import InputError
from trainables.evaluation.metrics import Metric

__all__ = [
    "LabelAnalysis",
    "LabelCell",
    "LabelCosts",
    "MasksCurve",
    "MasksLine",
    "MasksPoint",
    "NextLabels",
    "label_analysis",
    "label_costs",
    "label_factors",
    "masks_curve",
    "next_labels",
]

# Costs, and the cells that no cheaper one beats ----------------------------------------------------------


_TRAINING_OPTION = "train_"  # options of readers that limit the training part begin so
_LOG_FROM = 10.0  # times the fewest hours


@dataclass(frozen=True)
class LabelCell:
    """A cell that has finished trainings, by the repeats that all cells on its data have.

    Other repeats are other images, and so other labels and other scores. Where the cells have none in common,
    each goes by its own.
    """

    cell: Cell
    variant: str  # its name in the study's words
    line: str  # what tells its line from others: levels, and the method where levels name it; "" for one line
    point: str  # what tells it from others of its line, in words: `5 masks`
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
        """The mean over its repeats, of which there is at least one."""
        return statistics.fmean(self.values)


@dataclass(frozen=True)
class LabelCosts:
    """The primary metric against hours of labelling; at least two cells differ in hours."""

    metric: Metric
    labelling: Labelling
    cells: tuple[LabelCell, ...]  # in the plan's order
    lines: tuple[tuple[LabelCell, ...], ...]  # cells alike in all but their labels, by rising hours
    others: tuple[str, ...]  # the factors that tell lines apart, in words
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
        beside = " Variants that cost about the same stand beside each other." if self.is_ladder else ""
        return (
            f"{self.metric.title} on test data against the time of labelling.{beside} Rings: the Pareto "
            "front, whose variants no other beats for less or as much time."
        )


@computed
def label_costs(results: StudyResults) -> LabelCosts | None:
    """Scores against hours of labelling; None where the study names no costs or nothing differs in hours."""
    study = results.plan.study
    labelling = study.labelling
    if labelling is None:
        return None

    # Along a line only the labels change; the other factors tell lines apart. Where levels of the labels
    # also choose the method, as in a ladder from no labels to masks, each method has a line of its own.
    axis = _axis(study)
    others, names = tuple(factor for factor in study.factors if factor not in axis), study_names(results)
    metric = results.primary
    trained = _trained(results)
    by_method = any(level.trainable for factor in axis for level in study.factors[factor].values())
    chosen: dict[tuple[str, ...], CellSummary] = {}
    for summary in metric_summary(results, metric.name):
        # Of a search several points have the same levels: the best of them stands first.
        if summary.values:
            chosen.setdefault(tuple(summary.cell.levels.values()), summary)

    # A cell is priced and scored by the repeats that all cells on its data have: another repeat is another
    # split, with other numbers of labels.
    common = _common(chosen.values())
    cells = [
        _costed(
            summary,
            trained[summary.cell.name],
            common[_tested_on(summary.cell)],
            labelling,
            variant=names.variant(summary.cell.name),
            line=names.line(summary.cell.levels, others),
            point=names.some_levels(summary.cell.levels, axis),
        )
        for summary in chosen.values()
    ]

    # Where all cells of a data set cost the same, there is nothing to draw against hours.
    costed = _with_fronts(_by_method(cells) if by_method else cells, metric)
    if not any(len({c.hours for c in costed if c.data == data}) > 1 for data in {c.data for c in costed}):
        return None

    # Points of a line run by rising hours; the lines themselves stand in the order of the plan.
    lines: dict[tuple[str, str], list[LabelCell]] = {}
    for cell in sorted(costed, key=lambda cell: cell.hours):
        lines.setdefault((cell.line, cell.data), []).append(cell)
    order = dict.fromkeys((cell.line, cell.data) for cell in costed)
    return LabelCosts(
        metric=metric,
        labelling=labelling,
        cells=tuple(costed),
        lines=tuple(tuple(lines[key]) for key in order),
        others=tuple(map(names.factor_words, others)),
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
    labelling: Labelling,
    *,
    variant: str,
    line: str,
    point: str,
) -> LabelCell:
    # Labels are those that the records counted and not those that the plan asked for: folds differ in their
    # numbers of defective images, and "all masks" is a number only then.
    cell, repeats = summary.cell, common or frozenset(summary.values)
    counted = [trained[repeat] for repeat in repeats]
    image_labels = statistics.fmean(result.n_train for result in counted)
    masks = statistics.fmean(result.n_masks for result in counted)
    return LabelCell(
        cell=cell,
        variant=variant,
        line=line,
        point=point,
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
    # A method is a line only if each of its cells has other labels. Two with the same labels differ in
    # something else, and a line through them would claim that labels made the difference.
    alike: dict[tuple[str, str, str], list[LabelCell]] = {}
    for cell in cells:
        alike.setdefault((cell.line, cell.cell.trainable, cell.data), []).append(cell)
    names: dict[str, str] = {}
    for (line, method, _), of_method in alike.items():
        rungs = {(cell.image_labels, cell.masks) for cell in of_method}
        whole = 1 < len(of_method) == len(rungs)
        name = ", ".join(filter(None, (line, method)))
        names |= {cell.cell.name: name if whole else cell.variant for cell in of_method}
    return [replace(cell, line=names[cell.cell.name]) for cell in cells]


def _tested_on(cell: Cell) -> str:
    """All that decides the test part: scores of cells that differ in it are no alternatives."""
    # Options that limit the training part are the choice of labels itself, and change no test image.
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
    # By rising hours, and the better first of equal hours, a cell is on the front if it beats all that cost
    # less. Equal twins are both on it.
    best, best_hours = -math.inf, 0.0
    for cell in sorted(cells, key=lambda cell: (cell.hours, -metric.sign * cell.mean)):
        score = metric.sign * cell.mean
        if cell.comparable and (score > best or (score == best and cell.hours == best_hours)):
            yield cell.cell.name
        if score > best:
            best, best_hours = score, cell.hours


# Score against masks -------------------------------------------------------------------------------------


_FEWEST = 3  # numbers of masks that make a curve


@dataclass(frozen=True)
class MasksPoint:
    """A cell at its number of masks."""

    masks: float  # mean over repeats, where "all" differs between them
    counted: tuple[int, ...]  # numbers of masks that occur, ascending
    all_masks: bool
    values: tuple[float, ...]  # of the repeats that have one, in the plan's order; () where there is none yet
    published: float | None

    @property
    def mean(self) -> float:
        """The mean over the repeats that have a value, of which there is at least one."""
        return statistics.fmean(self.values)


@dataclass(frozen=True)
class MasksLine:
    """Cells alike in all but the number of masks, by rising number."""

    name: str  # levels of the other factors; "" where there is none
    points: tuple[MasksPoint, ...]


@dataclass(frozen=True)
class MasksCurve:
    """The primary metric against the number of masks; at least one point has a value."""

    metric: Metric
    lines: tuple[MasksLine, ...]
    others: tuple[str, ...]  # the factors that tell lines apart, in words
    source: str | None  # of what is published
    repeats: str  # of a cell, as planned: `2 seeds × 3 folds`

    @property
    def caption(self) -> str:
        """A sentence below the picture."""
        beside = " Open diamonds: published, not reproduced here." if self.source else ""
        return f"{self.metric.title} on test data against the number of training masks.{beside}"


def masks_curve(results: StudyResults) -> MasksCurve | None:
    """The curve of a study, or None where nothing orders its cells by masks or nothing is finished.

    One factor sets the supervision, and no method; cells that agree in all others form a line, which needs at
    least three numbers of masks, each once: none (or image labels) is 0, ``mixed: N`` is N, ``full`` is all.
    """
    study, metric = results.plan.study, results.primary
    factors, names = study.factors, study_names(results)
    setting = [f for f, levels in factors.items() if any(level.supervision for level in levels.values())]
    if len(setting) != 1 or any(level.trainable for level in factors[setting[0]].values()):
        return None

    # Cells that agree in all other factors are one line. If two of them have the same number of masks, they
    # differ in something that no factor says, and there is no curve.
    others = tuple(factor for factor in factors if factor != setting[0])
    groups: dict[tuple[str, ...], list[CellSummary]] = {}
    for summary in metric_summary(results, metric.name):
        groups.setdefault(tuple(summary.cell.levels[f] for f in others), []).append(summary)
    for group in groups.values():
        if len({_planned_masks(s.cell) for s in group}) < max(_FEWEST, len(group)):
            return None
    counts = _counts(results)
    lines = [
        MasksLine(names.line(of[0].cell.levels, others), tuple(_points(study, of, counts)))
        for of in groups.values()
    ]
    if not any(point.values for line in lines for point in line.points):
        return None
    return MasksCurve(
        metric=metric,
        lines=tuple(line for line in lines if line.points),
        others=tuple(map(names.factor_words, others)),
        source=study.published.source if study.published else None,
        repeats=repeats_text(next(iter(groups.values()))[0].repeats),
    )


def _planned_masks(cell: Cell) -> float:
    """The number of masks that the study plans; ``all`` is more than any number."""
    if cell.supervision.kind == "full":
        return math.inf
    return cell.supervision.masks or 0


def _counts(results: StudyResults) -> dict[str, list[int]]:
    """Cell → masks that each of its trainings saw."""
    counts: dict[str, list[int]] = {}
    for trial, _, result in results.trained:
        counts.setdefault(trial.cell, []).append(result.n_masks)
    return counts


def _points(
    study: Study, group: Sequence[CellSummary], counts: Mapping[str, list[int]]
) -> Iterator[MasksPoint]:
    for summary in sorted(group, key=lambda s: _planned_masks(s.cell)):
        planned, counted = _planned_masks(summary.cell), counts.get(summary.cell.name, [])
        # Numbers are those of the plan, so that points of different lines stand above each other. "All"
        # alone is what training counted, and may differ between folds.
        everything = math.isinf(planned)
        if everything and not counted:
            continue  # how many all are is known when the first is trained
        yield MasksPoint(
            masks=statistics.fmean(counted) if everything else planned,
            counted=tuple(sorted(set(counted))) if everything else (int(planned),),
            all_masks=everything,
            values=tuple(summary.values.values()),
            published=study.published_values(summary.cell.levels).get(summary.metric),
        )


# Steps along the front, masks that are enough, labels to make next ---------------------------------------


_MOST_HOURS = 100_000
_NUMBERS = 3  # of masks that make a line along which "enough" can be looked for


@dataclass(frozen=True)
class NextLabels:
    """The advice for one start: a cell whose labels are the ones there are."""

    start: LabelCell | None  # None: there is no start, see the advice's reason
    labels: Labels
    counted: str  # what the first of the labels counts: `image labels`, or `labels of defective images`
    advice: LabelAdvice


@dataclass(frozen=True)
class LabelAnalysis:
    """All that a study says about its labels."""

    costs: LabelCosts
    steps: tuple[ComparisonResult, ...]  # each cell of a front against the one before, for each claim
    enough: tuple[tuple[str, tuple[Enough, ...]], ...]  # line → what is enough, for each claim
    further: tuple[NextLabels, ...]  # () where labels and masks do not both vary


@computed
def label_analysis(results: StudyResults) -> LabelAnalysis | None:
    """Analyse what labels buy; None where there are no label costs."""
    costs, study = label_costs(results), results.plan.study
    if costs is None:
        return None
    table = metric_table(results, costs.metric.name)

    # Each cell of the front against the next cheaper one: is what its labels cost more worth it? Equal
    # hours are no step.
    steps = [
        comparison(f"{cheap.cell.name} → {dear.cell.name}", cheap.cell.name, dear.cell.name)
        for front in costs.fronts
        for cheap, dear in pairwise(front)
        if cheap.hours < dear.hours
    ]
    scores = replace(score_tables(results), smallest_step=_no_step)
    return LabelAnalysis(
        costs=costs,
        steps=study_analysis(results).as_they_stand(scores.tested(costs.metric, "labels", steps)),
        enough=tuple(_enough(costs, table, results.splits, study.resolve)),
        further=_advised(costs, table, [group for group in _groups(study, costs) if _is_grid(group)]),
    )


def _no_step(_: Metric) -> None:
    """Leave the step of a metric unknown: predictions tell it, and whoever prices labels reads none."""


def next_labels(
    results: StudyResults, *, hours: float | None = None, start: str | None = None
) -> tuple[NextLabels, ...]:
    """Advise what to label next, whatever the study's grid: the advice says why it says nothing.

    Args:
        results: The study.
        hours: Of labelling; None: as many as the study can tell of.
        start: Name of the cell that has the labels there are; None: the dearest that leaves masks to draw.

    Raises:
        InputError: If the study names no costs, all cells have the same labels, or none is called ``start``.
    """
    # The way out of each refusal differs: no prices, no cells that differ in labels, and no cell of that
    # name.
    if hours is not None and not 0 < hours <= _MOST_HOURS:
        raise InputError(f"hours of labelling are above 0 and at most {_MOST_HOURS:,}, found {hours:g}.")
    if results.plan.study.labelling is None:
        raise InputError(
            f"study {results.name} does not say what labels take. Add `labelling: {{image_label_seconds: "
            "1, mask_seconds: 79}` with your own seconds to its file, and run it again: nothing is trained."
        )
    costs = label_costs(results)
    if costs is None:
        raise InputError(
            f"study {results.name} has no two finished cells that differ in hours of labelling. Vary "
            "`supervision` or `data.positives` in its factors, or run it first."
        )
    groups = _groups(results.plan.study, costs)
    if start is not None:
        groups = [group for group in groups if any(cell.cell.name == start for cell in group)]
        if not groups:
            names = ", ".join(cell.cell.name for cell in costs.cells)
            raise InputError(f"no finished cell is called {start}. There are: {names}.")
    table = metric_table(results, costs.metric.name)
    return _advised(costs, table, groups, hours=hours, start=start)


def _enough(
    costs: LabelCosts, table: pd.DataFrame, splits: Mapping[str, Splits], resolve: float | None
) -> list[tuple[str, tuple[Enough, ...]]]:
    lines: list[tuple[str, tuple[Enough, ...]]] = []
    for line in costs.lines:
        cells = [cell for cell in line if cell.cell.supervision.kind != "none"]
        # "Enough" is measured against all masks, so a line needs these at its end, and enough points below
        # to read between. Two cells with the same number would make the loss ambiguous.
        numbers = [cell.masks for cell in cells]
        rising = all(fewer < more for fewer, more in pairwise(numbers))
        if (
            resolve is None
            or len(cells) < _NUMBERS
            or not rising
            or cells[-1].cell.supervision.kind != "full"
        ):
            continue
        masks = {cell.cell.name: cell.masks for cell in cells}
        enough = enough_masks(table, masks, metric=costs.metric.name, resolve=resolve, splits=splits)
        lines.append((line[0].line, enough))
    return lines


def _groups(study: Study, costs: LabelCosts) -> list[list[LabelCell]]:
    """Cells alike in all that is no choice of labels; those without masks or defective images left out."""
    chosen = set(label_factors(study))
    groups: dict[tuple[str, ...], list[LabelCell]] = {}
    for cell in costs.cells:
        key = cell.cell.trainable, *(v for factor, v in cell.cell.levels.items() if factor not in chosen)
        if cell.cell.supervision.kind != "none":
            groups.setdefault(key, []).append(cell)
    return list(groups.values())


def _is_grid(group: Sequence[LabelCell]) -> bool:
    """True where both kinds of label vary: with one alone there is nothing to choose between."""
    return len({round(cell.image_labels) for cell in group}) > 1 and len({round(c.masks) for c in group}) > 1


def _advised(
    costs: LabelCosts,
    table: pd.DataFrame,
    groups: Sequence[Sequence[LabelCell]],
    *,
    hours: float | None = None,
    start: str | None = None,
) -> tuple[NextLabels, ...]:
    """Advice for the start of each group, and why there is none for all cells of the groups without one."""
    starts = [(group, _start(group, start)) for group in groups]
    advice = [_next(costs, table, group, now, hours) for group, now in starts if now is not None]
    # Cells without a start are told once, with the reason: an empty table would look like a mistake.
    names = [cell.cell.name for group, now in starts if now is None for cell in group]
    if names:
        names = names if start is None else [start]
        which = f"{names[0]} does not have" if len(names) == 1 else f"none of {listed(names)} has"
        reason = f"{which} the masks of some defective images and not of others: there is no choice to make"
        none = LabelAdvice(hours or 0.0, Labels(0, 0), None, reason)
        advice.append(NextLabels(None, Labels(0, 0), "image labels", none))
    return tuple(advice)


def _next(
    costs: LabelCosts,
    table: pd.DataFrame,
    group: Sequence[LabelCell],
    now: LabelCell,
    hours: float | None,
) -> NextLabels:
    # Where all cells have the same normal images, further labels are labels of defective ones.
    same_normal = len({round(cell.image_labels - cell.defective) for cell in group}) == 1
    defective = same_normal and len({round(cell.defective) for cell in group}) > 1
    counted = "labels of defective images" if defective else "image labels"
    counts = {c.cell.name: Labels(c.defective if defective else c.image_labels, c.masks) for c in group}
    seconds = Labels(costs.labelling.image_label_seconds, costs.labelling.mask_seconds)

    # More masks can be drawn than there are defective images without one: the advice stops where these run
    # out.
    labels, without_mask = counts[now.cell.name], now.defective - now.masks
    most = costs.labelling.hours(0, without_mask)
    if hours is None:
        hours = min(most_hours(labels, seconds), most)
    advice = advise_labels(
        table,
        counts,
        now=labels,
        hours=hours,
        seconds=seconds,
        metric=costs.metric.name,
        counted_as=counted,
    )

    # Hours that somebody named may buy more masks than images are left, which no number of hours mends. The
    # small factor lets the exact number through, which hours and seconds give only rounded.
    if advice.masks is not None and advice.bought.masks > without_mask * (1 + 1e-9):
        reason = (
            f"{without_mask:.0f} defective training images have no mask yet, and the hours are for "
            f"{advice.bought.masks:.0f}: ask for {most_text(most)} hours or fewer"
        )
        advice = LabelAdvice(hours, advice.bought, None, reason)
    return NextLabels(now, labels, counted, advice)


def _start(group: Sequence[LabelCell], name: str | None) -> LabelCell | None:
    """The dearest cell with some masks, but not all."""
    some = [cell for cell in group if 0 < cell.masks <= cell.defective - 1 and name in (None, cell.cell.name)]
    return max(some, key=lambda cell: cell.hours, default=None)
