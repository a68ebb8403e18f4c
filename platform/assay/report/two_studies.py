"""Two studies side by side as a page: what their settings differ in, their scores, and paired differences.

Which cells match, and what their common repeats say, is :mod:`assay.analysis.study_pair`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from assay.analysis.results import StudyResults
from assay.analysis.study_pair import CellPair, StudyPair, listed
from assay.analysis.summary import CellSummary, metric_summary, spread_note
from assay.report.ablation_table import mean_spread
from assay.report.cell_tables import listed_trials, trial_rows
from assay.report.comparison_tables import pair_sections
from assay.report.figures.effects import effects_picture
from assay.report.figures.effects_rows import studies_plot
from assay.report.page.model import Column, Page, Section, TextTable
from assay.study import Cell
from assay.study.compare import format_value
from assay.study.methods import is_own_setting
from assay.study.names import counted
from trainables.evaluation.metrics import Metric

__all__ = ["pair_page"]

_ALONE = (
    "No repeat of the one study has the test images of one of the other (same data, same partition, same "
    "seed, same split or fold): their difference would be one of images too."
)
_SHARED = "The same trainings in both studies, so there is nothing to compare"


def pair_page(pair: StudyPair) -> Page:
    """The page of two studies."""
    known = (*pair.compared, *pair.shared)
    alone = [match.name for match in pair.cells if match not in known]
    plot = studies_plot(pair)
    summaries = [summary for side in pair.sides for summary in metric_summary(side, pair.metric.name)]
    spread = [summary for summary in summaries if summary.spread is not None]
    return Page(
        title=f"{pair.left.name} and {pair.right.name}",
        question="\n".join(
            f"{side.name}: {' '.join(side.plan.study.question.split())}"
            for side in pair.sides
            if side.plan.study.question
        ),
        count=f"Two studies side by side: {counted(len(pair.cells), 'cell')} that both have.",
        table=_scores(pair),
        notes=(
            *([spread_note(spread)] if spread else []),
            *([f"Not compared: {listed(alone)}. {_ALONE}"] if alone else []),
            *([f"{_SHARED}: {listed([match.name for match in pair.shared])}."] if pair.shared else []),
        ),
        sections=(_differences(pair), *pair_sections(pair)),
        pictures=() if plot is None else (effects_picture("studies", plot),),
        trials=_trials(pair),
        all_trials=f"`assay report {pair.left.name} {pair.right.name} --format html` lists them all.",
    )


# What differs -----------------------------------------------------------------------------------------


def _differences(pair: StudyPair) -> Section:
    rows = [("all", *row) for row in _differing(*map(_study_settings, pair.sides))]
    of_cells = {match.name: _cell_rows(match) for match in pair.cells}
    everywhere = [
        row for row in next(iter(of_cells.values())) if all(row in of_cell for of_cell in of_cells.values())
    ]
    rows += [("all", *row) for row in everywhere]
    rows += [(name, *row) for name, of_cell in of_cells.items() for row in of_cell if row not in everywhere]
    columns = (
        Column("cell", "left"),
        Column("setting", "left"),
        Column(pair.left.name, "left"),
        Column(pair.right.name, "left"),
    )
    intro = "" if rows else "Nothing: the cells that both have are set alike, and trained once for both."
    return Section("What differs", intro, TextTable(columns, tuple(rows)), tuple(_unmatched(pair)))


def _differing(left: Mapping[str, object], right: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """Name and both values of what differs."""
    return [
        (path, format_value(left.get(path)), format_value(right.get(path)))
        for path in dict.fromkeys([*left, *right])
        if left.get(path) != right.get(path)
    ]


def _study_settings(results: StudyResults) -> dict[str, object]:
    manifests = sorted(results.plan.manifests)
    trials = results.reported.trials
    seeds = sorted({trial.seed for trial in trials})
    folds = sorted({trial.fold for trial in trials if trial.fold is not None})
    return {
        "images (hash of the manifest)": ", ".join(name[:12] for name in manifests) or None,
        "seeds": ", ".join(map(str, seeds)),
        "folds": ", ".join(map(str, folds)) or None,
    }


def _cell_rows(match: CellPair) -> list[tuple[str, str, str]]:
    rows = _differing(_settings(match.left), _settings(match.right))
    if match.left.trainable == match.right.trainable:
        return rows
    return [row for row in rows if not is_own_setting(row[0])]  # those of another method are not compared


def _settings(cell: Cell) -> dict[str, object]:
    return {**cell.settings(), "trainable": f"{cell.trainable}, revision {cell.revision}"}


def _unmatched(pair: StudyPair) -> Iterator[str]:
    matched = {m.left.name for m in pair.cells}, {m.right.name for m in pair.cells}
    for side, known in zip(pair.sides, matched, strict=True):
        alone = [cell.name for cell in side.reported.cells if cell.name not in known]
        if alone:
            yield f"Only in {side.name}: {listed(alone)}."


# Scores -----------------------------------------------------------------------------------------------


def _scores(pair: StudyPair) -> TextTable:
    left, right = (
        {summary.cell.name: summary for summary in metric_summary(side, pair.metric.name)}
        for side in pair.sides
    )
    columns = [Column("cell", "left")]
    for side in pair.sides:
        columns += [Column(f"{pair.metric.title} in {side.name}", "right"), Column("n", "right")]
    rows = tuple(
        (
            match.name,
            *_score(left[match.left.name], pair.metric),
            *_score(right[match.right.name], pair.metric),
        )
        for match in pair.cells
    )
    return TextTable(tuple(columns), rows)


def _score(summary: CellSummary, metric: Metric) -> tuple[str, str]:
    return mean_spread(summary, metric), summary.count_text()


def _trials(pair: StudyPair) -> Section:
    folds = any(trial.fold is not None for side in pair.sides for trial in side.reported.trials)
    rows = [
        (f"{side.name}: {cell}", *row)
        for side in pair.sides
        for cell, *row in trial_rows(side, side.reported.trials, [pair.metric], folds=folds)
    ]
    return listed_trials(rows, [pair.metric], folds=folds)
