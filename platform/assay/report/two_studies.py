"""Two studies side by side: what their settings differ in, and what their common repeats say of it.

Cells are matched by name; a study of one cell is matched with another of one cell whatever their names. Two
trials are compared where the test images are the same: same data, same partition, same seed and fold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from assay.analysis.statistics import ComparisonResult, Splits, compare, comparison
from assay.analysis.summary import CellSummary, summarise, tidy
from assay.report.ablation_table import mean_spread
from assay.report.cell_tables import listed_trials, trial_rows
from assay.report.comparison_tables import study_sections
from assay.report.figures.effects import draw_effects
from assay.report.figures.effects_rows import studies_plot
from assay.report.page.model import Column, Page, Picture, Section, TextTable
from assay.storage.record import Record, UnreadableRecord
from assay.study import Cell, Plan, Trial
from assay.study.compare import format_value
from assay.study.methods import is_own_setting
from trainables.errors import InputError
from trainables.metrics import METRICS, Metric

__all__ = ["Side", "SideBySide", "side_by_side"]

_SEPARATOR = ": "  # between study and cell


@dataclass(frozen=True)
class Side:
    """A study, as far as it was trained."""

    plan: Plan
    records: Mapping[str, Record]
    problems: Sequence[UnreadableRecord] = ()


@dataclass(frozen=True)
class _Match:
    """A cell of each study; the trials of both are those on the same test images."""

    name: str
    one: Cell
    other: Cell


@dataclass(frozen=True)
class SideBySide:
    """Two studies, as a page and as the answers on it."""

    page: Page
    answers: tuple[ComparisonResult, ...]


def side_by_side(one: Side, other: Side) -> SideBySide:
    """What two studies differ in, their scores, and the differences of their common repeats.

    Raises:
        InputError: If they are one, have no cell in common, or the second does not report the primary metric
            of the first.
    """
    one, other = (Side(side.plan.answer(), side.records, side.problems) for side in (one, other))
    names = one.plan.study.study, other.plan.study.study
    if names[0] == names[1]:
        raise InputError(f"two studies are put side by side, found {names[0]} twice. Name another one.")
    metric = _common_metric(one.plan, other.plan)
    matches = _matches(one.plan, other.plan)
    table, compared = _common_table(one, other, matches, metric)
    answers = _answers(one, other, compared, table)
    scores = _scores(one, other, matches, metric)
    alone = _format_alone([match.name for match in matches if match not in compared])
    plot = studies_plot(one.plan, answers)
    page = Page(
        title=f"{names[0]} and {names[1]}",
        question="\n".join(
            f"{side.plan.study.study}: {' '.join(side.plan.study.question.split())}"
            for side in (one, other)
            if side.plan.study.question
        ),
        count=f"Two studies side by side: {len(matches)} cells that both have.",
        table=scores,
        notes=(_format_spread(one, other, metric), *filter(None, [alone])),
        intervals=None,
        sections=(
            _differences(one.plan, other.plan, matches),
            *study_sections(names, one.plan.study.resolve, answers),
        ),
        pictures=()
        if plot is None
        else (Picture("studies", plot.caption, plot.alt, partial(draw_effects, plot)),),
        search=(),
        trials=_trials(one, other, metric),
    )
    return SideBySide(page, answers)


def _common_metric(one: Plan, other: Plan) -> Metric:
    name, theirs = one.study.metrics.primary, other.study.metrics
    if name not in (theirs.primary, *theirs.report):
        raise InputError(
            f"two studies are compared by the primary metric of the first, {name}, and {other.study.study} "
            f"reports {', '.join(dict.fromkeys((theirs.primary, *theirs.report)))}. Name them the other way "
            f"round, or add {name} to its metrics.report and run it again: nothing is trained anew."
        )
    return METRICS[name]


def _matches(one: Plan, other: Plan) -> list[_Match]:
    theirs = {cell.key: cell for cell in other.cells}
    if len(one.cells) == len(other.cells) == 1:
        first, second = one.cells[0], other.cells[0]
        name = first.name if first.name == second.name else f"{first.name}, {second.name}"
        return [_Match(name, first, second)]
    found = [_Match(cell.name, cell, theirs[cell.key]) for cell in one.cells if cell.key in theirs]
    if not found:
        raise InputError(
            f"cells of two studies are matched by their levels, and {one.study.study} has "
            f"{_listed([cell.name for cell in one.cells])}, {other.study.study} has "
            f"{_listed([cell.name for cell in other.cells])}. Give factors and levels the same names."
        )
    return found


def _listed(names: Sequence[str], most: int = 4) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "") if names else "none yet"


# What differs -----------------------------------------------------------------------------------------


def _differences(one: Plan, other: Plan, matches: Sequence[_Match]) -> Section:
    rows = [("all", *row) for row in _study_rows(one, other)]
    of_cells = {match.name: _cell_rows(match) for match in matches}
    everywhere = [
        row for row in next(iter(of_cells.values())) if all(row in own for own in of_cells.values())
    ]
    rows += [("all", *row) for row in everywhere]
    rows += [(name, *row) for name, own in of_cells.items() for row in own if row not in everywhere]
    columns = (
        Column("cell", "left"),
        Column("setting", "left"),
        Column(one.study.study, "left"),
        Column(other.study.study, "left"),
    )
    intro = "" if rows else "Nothing: the cells that both have are set alike, and trained once for both."
    return Section(
        "What differs", intro, TextTable(columns, tuple(rows)), tuple(_unmatched(one, other, matches))
    )


def _study_rows(one: Plan, other: Plan) -> Iterator[tuple[str, str, str]]:
    sides = [_study_settings(plan) for plan in (one, other)]
    for path in dict.fromkeys([*sides[0], *sides[1]]):
        a, b = (side.get(path) for side in sides)
        if a != b:
            yield path, format_value(a), format_value(b)


def _study_settings(plan: Plan) -> dict[str, object]:
    manifests = sorted(plan.manifests)
    seeds = sorted({trial.seed for trial in plan.trials})
    folds = sorted({trial.fold for trial in plan.trials if trial.fold is not None})
    return {
        "images (hash of the manifest)": ", ".join(name[:12] for name in manifests) or None,
        "seeds": ", ".join(map(str, seeds)),
        "folds": ", ".join(map(str, folds)) or None,
    }


def _cell_rows(match: _Match) -> list[tuple[str, str, str]]:
    a, b = (_settings(cell) for cell in (match.one, match.other))
    another = match.one.trainable != match.other.trainable  # whose own settings are not to be compared
    paths = [path for path in dict.fromkeys([*a, *b]) if not (another and is_own_setting(path))]
    return [
        (path, format_value(a.get(path)), format_value(b.get(path)))
        for path in paths
        if a.get(path) != b.get(path)
    ]


def _settings(cell: Cell) -> dict[str, object]:
    return {**cell.settings(), "trainable": f"{cell.trainable}, revision {cell.revision}"}


def _unmatched(one: Plan, other: Plan, matches: Sequence[_Match]) -> Iterator[str]:
    for plan, known in ((one, {m.one.name for m in matches}), (other, {m.other.name for m in matches})):
        alone = [cell.name for cell in plan.cells if cell.name not in known]
        if alone:
            yield f"Only in {plan.study.study}: {_listed(alone)}."


# Scores and comparisons -------------------------------------------------------------------------------


def _format_alone(cells: Sequence[str]) -> str:
    if not cells:
        return ""
    return (
        f"Not compared: {_listed(cells)}. No repeat of the one study has the test images of one of the other "
        "(same data, same partition, same seed and fold): their difference would be one of images too."
    )


def _scores(one: Side, other: Side, matches: Sequence[_Match], metric: Metric) -> TextTable:
    of_one, of_other = (
        {s.cell.name: s for s in summarise(side.plan, side.records, metric.name, side.problems)}
        for side in (one, other)
    )
    columns = [Column("cell", "left")]
    for side in (one, other):
        columns += [Column(f"{metric.title} in {side.plan.study.study}", "right"), Column("n", "right")]
    rows = tuple(
        (match.name, *_score(of_one[match.one.name], metric), *_score(of_other[match.other.name], metric))
        for match in matches
    )
    return TextTable(tuple(columns), rows)


def _score(summary: CellSummary, metric: Metric) -> tuple[str, str]:
    return mean_spread(summary, metric), summary.count_text()


def _format_spread(one: Side, other: Side, metric: Metric) -> str:
    kinds = dict.fromkeys(
        summary.planned_spread_of
        for side in (one, other)
        for summary in summarise(side.plan, side.records, metric.name, side.problems)
    )
    return f"Mean ± standard deviation over {' or '.join(kinds)}, on test images."


def _trials(one: Side, other: Side, metric: Metric) -> Section:
    folds = any(trial.fold is not None for side in (one, other) for trial in side.plan.trials)
    rows = [
        (f"{side.plan.study.study}{_SEPARATOR}{cell}", *row)
        for side in (one, other)
        for cell, *row in trial_rows(side.plan, side.records, side.problems, [metric], folds=folds)
    ]
    return listed_trials(rows, [metric], folds=folds)


def _answers(
    one: Side, other: Side, compared: Sequence[_Match], table: pd.DataFrame
) -> tuple[ComparisonResult, ...]:
    if not compared:
        return ()
    metric, (a, b) = one.plan.study.metrics.primary, (side.plan.study.study for side in (one, other))
    contrasts = [comparison(f"{a} → {b}", _key(a, m.one), _key(b, m.other), m.name) for m in compared]
    cells = [(a, match.one) for match in compared] + [(b, match.other) for match in compared]
    splits: dict[str, Splits] = {
        _key(study, cell): "per_seed" if cell.data.splits == "per_seed" else "prescribed"
        for study, cell in cells
    }
    return compare(
        table,
        contrasts,
        metric=metric,
        splits=splits,
        family="studies",
        resolve=one.plan.study.resolve,
        test=one.plan.study.exact_test,
    )


def _common_table(
    one: Side, other: Side, matches: Sequence[_Match], metric: Metric
) -> tuple[pd.DataFrame, list[_Match]]:
    """Rows of the repeats that both sides have on the same test images, as of one study."""
    tables = [
        tidy(side.plan, side.records, side.problems, metric=metric.name).to_pandas() for side in (one, other)
    ]
    trials = [_by_cell(side.plan) for side in (one, other)]
    frames: list[pd.DataFrame] = []
    compared: list[_Match] = []
    for match in matches:
        sides = [trials[0][match.one.name], trials[1][match.other.name]]
        common = sides[0].keys() & sides[1].keys()
        if not common:
            continue
        compared.append(match)
        for side, table, own, cell in zip((one, other), tables, sides, (match.one, match.other), strict=True):
            ids = {own[place].id for place in common}
            chosen = table[table["trial"].isin(ids) & (table["cell"] == cell.name)]
            frames.append(chosen.assign(study="both", cell=_key(side.plan.study.study, cell)))
    return (pd.concat(frames) if frames else tables[0].iloc[:0]), compared


def _by_cell(plan: Plan) -> dict[str, dict[tuple[object, ...], Trial]]:
    """Cell → what decides the test images → its trial."""
    found: dict[str, dict[tuple[object, ...], Trial]] = {cell.name: {} for cell in plan.cells}
    for trial in plan.trials:
        drawn = trial.data.test if trial.data.splits == "per_seed" else None
        place = (trial.manifest, drawn is None, drawn, trial.seed, trial.fold)
        found[trial.cell][place] = trial
    return found


def _key(study: str, cell: Cell) -> str:
    return f"{study}{_SEPARATOR}{cell.name}"
