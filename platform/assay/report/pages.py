"""The pages: of a study, of two side by side, of a table of scores, and what a notebook shows.

Each section of a :class:`Page` is made by a function of its own from the results and nothing else. The
conclusions are drawn by :mod:`assay.analysis`, and :mod:`assay.report.formats` writes the page.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from assay.analysis.labels import LabelCosts, label_costs, masks_curve
from assay.analysis.names import study_names
from assay.analysis.results.results import StudyResults
from assay.analysis.results.search_results import SearchResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.study_pair import CellPair, StudyPair, listed
from assay.analysis.summary import CellSummary, metric_summary, metric_table, spread_note
from assay.report.answer_sentence import answer_sentence
from assay.report.figures.effects import (
    EffectsPlot,
    comparisons_plot,
    effects_picture,
    effects_plot,
    studies_plot,
)
from assay.report.figures.front import draw_front, front_plots
from assay.report.figures.label_costs import draw_label_costs
from assay.report.figures.masks_curve import draw_masks_curve
from assay.report.page.html import html_picture, html_section
from assay.report.page.model import NOTHING, Column, Page, Picture, Section, TextTable, numbered
from assay.report.tables.answer import answer_section, first_results
from assay.report.tables.cells import (
    ablation_table,
    best_notes,
    bold_notes,
    in_order,
    interval_section,
    listed_trials,
    mean_spread,
    metric_title,
    trial_rows,
    trial_section,
)
from assay.report.tables.comparisons import (
    absent_repeats,
    analysis_sections,
    comparison_sections,
    design_notes,
    full_name,
    method_text,
    pair_sections,
)
from assay.report.tables.conditions import condition_section
from assay.report.tables.footnotes import footnotes, spread_notes
from assay.report.tables.labels import label_sections
from assay.report.tables.parts import class_sections, stage_section
from assay.report.tables.search import search_line, search_sections
from assay.statistics.families import ComparisonResult, first_claims
from assay.statistics.intervals import MeanInterval, mean_intervals
from assay.statistics.wording import interval_text
from assay.study import Cell
from assay.study.names import counted
from assay.study.planning.compare import format_value
from assay.study.settings.methods import is_own_setting
from trainables.evaluation.metrics import Metric

if TYPE_CHECKING:
    from assay.analysis.scores.score_file import AnalysedScores

__all__ = [
    "compared_sections",
    "count_line",
    "pair_page",
    "plotted",
    "score_comparisons",
    "score_page",
    "study_html",
    "study_page",
    "study_pictures",
    "table_notes",
]


# A study: question, ablation table, comparisons, footnotes, trials -------------------------------------


def study_page(results: StudyResults, *, brief: bool = False) -> Page:
    """The page of a study.

    Args:
        results: The study as trained.
        brief: Leave out what stands behind the answer, but the best points of a search.
    """
    study, analysis, name = results.plan.study, study_analysis(results), study_names(results).change
    effects, stated, answered = first_results(analysis)
    pictures = () if brief else tuple(study_pictures(results))
    figure = next((each for each in pictures if each.stem == ("effects" if effects else "comparisons")), None)
    intervals = None if brief else interval_section(results)
    behind = (
        ()
        if brief
        else (
            *([intervals] if intervals is not None else []),
            *compared_sections(results, answered),
            *filter(None, [condition_section(results)]),
            *class_sections(results),
            *label_sections(results),
        )
    )
    return Page(
        title=results.name,
        question=study.question.strip(),
        sentence=str(answer_sentence(results, answered)),
        count=count_line(results),
        answer=answer_section(
            stated,
            answered,
            name,
            method_text(answered, effects=effects) if answered else "",
            absent=absent_repeats(results),
            further=design_notes(results, answered) if effects else (),
        ),
        figure=figure,
        table=ablation_table(results),
        named=ablation_table(results, named=True),
        best_first=_best_first(results),
        caption=" ".join([count_line(results), *table_notes(results)[:1], *spread_notes(results)]),
        notes=table_notes(results),
        sections=_with_notes_once(behind),
        pictures=tuple(picture for picture in pictures if picture is not figure),
        search=search_sections(results, brief=brief) if isinstance(results, SearchResults) else (),
        trials=trial_section(results),
        all_trials=f"`assay report {results.name} --format html` lists them all, and "
        f"`studies/{results.name}/summary.parquet` below the storage has a row for each trial and metric.",
    )


def _best_first(results: StudyResults) -> tuple[int, ...]:
    place = {cell.name: row for row, cell in enumerate(results.reported.cells)}
    return tuple(place[name] for name in in_order(results, results.primary))


def _with_notes_once(sections: Iterable[Section]) -> tuple[Section, ...]:
    """The sections, each note below the first that has it."""
    known: set[str] = set()
    kept: list[Section] = []
    for section in sections:
        kept.append(replace(section, notes=tuple(note for note in section.notes if note not in known)))
        known.update(section.notes)
    return tuple(kept)


def table_notes(results: StudyResults) -> tuple[str, ...]:
    """The notes below the ablation table, without those that its cells refer to by number."""
    return (*best_notes(results), *footnotes(results))


def compared_sections(
    results: StudyResults, answered: Sequence[ComparisonResult] = ()
) -> tuple[Section, ...]:
    """Comparisons but those that are ``answered``, effects and stages; what labels buy is not among them."""
    stages = stage_section(results)
    return (*comparison_sections(results, answered), *([stages] if stages is not None else ()))


def count_line(results: StudyResults) -> str:
    """``18 trials of 6 variants: 17 finished, 1 diverged. Data: synthetic, 240 images, 60 defective.``"""
    plan, records = results.plan, results.records
    count = Counter(records[t.id].status if t.id in records else "missing" for t in plan.trials)
    order = ("finished", "diverged", "pruned", "failed", "missing")
    states = ", ".join(f"{count[status]} {status}" for status in order if count[status])
    data = "; ".join(
        f"{m.reader}, {m.images} images, {m.defective} defective" for m in plan.manifests.values()
    )
    text = f"{counted(len(plan.trials), 'trial')} of {counted(len(plan.cells), 'variant')}: {states}."
    if isinstance(results, SearchResults):
        searched = search_line(results.plan, results.evaluated_points)
        text = f"{searched} {counted(len(plan.trials), 'trial')}: {states or 'none'}."
    return f"{text} Data: {data}." if data else text


# Its pictures, each drawn only when a format asks for it -----------------------------------------------


def study_pictures(results: StudyResults) -> Iterator[Picture]:
    """Effects, comparisons, fronts, the curve over masks and what labels buy, where the study has them."""
    plots = {"effects": effects_plot(results), "comparisons": comparisons_plot(results)}
    yield from (effects_picture(stem, plot) for stem, plot in plots.items() if plot is not None)
    for number, front in enumerate(front_plots(results)):
        stem = f"front_{number}" if number else "front"
        yield Picture(stem, front.caption, front.caption, partial(draw_front, front))
    curve = masks_curve(results)
    if curve is not None:
        yield Picture("masks_curve", curve.caption, curve.caption, partial(draw_masks_curve, curve))
    costs = label_costs(results)
    if costs is not None:
        draw = partial(draw_label_costs, costs, _intervals(results, costs))
        yield Picture("label_costs", costs.caption, costs.caption, draw)


def _intervals(results: StudyResults, costs: LabelCosts) -> Mapping[str, MeanInterval]:
    """Intervals of the means that are drawn: of the repeats that all cells have."""
    if not costs.fewer:
        return study_analysis(results).intervals(costs.metric.name)
    table = metric_table(results, costs.metric.name)
    drawn = {(cell.cell.name, *repeat) for cell in costs.cells for repeat in cell.repeats}
    folds = (None if pd.isna(fold) else int(fold) for fold in table["fold"])
    kept = [key in drawn for key in zip(table["cell"], table["seed"], folds, strict=True)]
    return mean_intervals(table.loc[kept], metric=costs.metric, splits=results.splits)


# Two studies: what their settings differ in, their scores, and paired differences ----------------------


_ALONE = (
    "No repeat of the one study has the test images of one of the other (same data, same partition, same "
    "seed, same split or fold): their difference would be one of images too."
)
_SHARED = "The same trainings in both studies, so there is nothing to compare"


def pair_page(pair: StudyPair) -> Page:
    """The page of two studies."""
    known = (*pair.compared, *pair.shared)
    alone = [match.name for match in pair.cells if match not in known]
    plot, compared = studies_plot(pair), first_claims(pair.comparisons)
    order = f"Difference: {pair.right.name} minus {pair.left.name}, with all that differs between them."
    summaries = [summary for side in pair.sides for summary in metric_summary(side, pair.metric.name)]
    spread = [summary for summary in summaries if summary.spread is not None]
    return Page(
        title=f"{pair.left.name} and {pair.right.name}",
        question="\n".join(
            f"{side.name}: {' '.join(side.plan.study.question.split())}"
            for side in pair.sides
            if side.plan.study.question
        ),
        count=f"Two studies side by side: {counted(len(pair.cells), 'variant')} that both have.",
        table=_scores(pair),
        notes=(
            *([spread_note(spread)] if spread else []),
            *([f"Not compared: {listed(alone)}. {_ALONE}"] if alone else []),
            *([f"{_SHARED}: {listed([match.name for match in pair.shared])}."] if pair.shared else []),
        ),
        answer=answer_section(
            pair.comparisons, compared, full_name, method_text(compared, order=order) if compared else ""
        ),
        figure=None if plot is None else effects_picture("studies", plot),
        sections=(_differences(pair), *pair_sections(pair, compared, order)),
        trials=_pair_trials(pair),
        all_trials=f"`assay report {pair.left.name} {pair.right.name} --format html` lists them all.",
    )


# What differs -----------------------------------------------------------------------------------------


def _differences(pair: StudyPair) -> Section:
    rows = [("all", *row) for row in _differing(*map(_study_settings, pair.sides))]
    # No setting of a study, but a difference in what computed it, once both have trained.
    left, right = map(_device_kinds, pair.sides)
    if left and right and left != right:
        rows.append(("all", "device", left, right))
    of_cells = {match.name: _cell_rows(match) for match in pair.cells}
    everywhere = [
        row for row in next(iter(of_cells.values())) if all(row in of_cell for of_cell in of_cells.values())
    ]
    rows += [("all", *row) for row in everywhere]
    rows += [(name, *row) for name, of_cell in of_cells.items() for row in of_cell if row not in everywhere]
    columns = (
        Column("variant", "left"),
        Column("setting", "left"),
        Column(pair.left.name, "left"),
        Column(pair.right.name, "left"),
    )
    intro = "" if rows else "Nothing: the variants that both have are set alike, and trained once for both."
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


def _device_kinds(results: StudyResults) -> str:
    """``cpu``, or ``cpu, cuda`` where some trials ran on each; empty where none was trained here."""
    return ", ".join(sorted({record.environment.device_kind for _, record, _ in results.trained} - {""}))


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
    columns = [Column("variant", "left")]
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


def _pair_trials(pair: StudyPair) -> Section:
    folds = any(trial.fold is not None for side in pair.sides for trial in side.reported.trials)
    rows = [
        (f"{side.name}: {cell}", *row)
        for side in pair.sides
        for cell, *row in trial_rows(side, side.reported.trials, [pair.metric], folds=folds)
    ]
    return listed_trials(rows, [pair.metric], folds=folds)


# A table of scores from elsewhere ----------------------------------------------------------------------


def score_page(scores: AnalysedScores) -> Page:
    """The page of a table of scores."""
    primary, analysis = scores.metrics[0], scores.analysis
    effects, stated, answered = first_results(analysis)
    means = {cell: summary.mean for cell, summary in zip(scores.cells, scores.summary(primary), strict=True)}
    return Page(
        title=scores.name,
        question="",
        count=_count(scores),
        best_first=tuple(sorted(range(len(scores.cells)), key=lambda row: _worst_last(scores, means, row))),
        answer=answer_section(
            stated,
            answered,
            full_name,
            method_text(answered, effects=effects) if answered else "",
        ),
        table=_score_cells(scores),
        notes=(*bold_notes(scores.analysis.best, primary, means), *scores.notes),
        sections=_with_notes_once(analysis_sections(scores.analysis, primary.title, answered=answered)),
        trials=_repeats(scores),
        all_trials=f"{scores.name} has them all.",
    )


def _worst_last(scores: AnalysedScores, means: Mapping[str, float | None], row: int) -> float:
    mean = means[scores.cells[row]]
    return math.inf if mean is None else -scores.metrics[0].sign * mean


def score_comparisons(scores: AnalysedScores) -> list[ComparisonResult]:
    """One result per claim and comparison (by all metrics), main effect and interaction: rows of the CSV."""
    analysis = scores.analysis
    return [
        *analysis.over_data_sets,
        *analysis.comparisons,
        *analysis.main_effects,
        *analysis.interactions,
        *analysis.further,
    ]


def _count(scores: AnalysedScores) -> str:
    repeats = scores.table.drop_duplicates(["cell", "seed", "fold"])
    seeds, folds = (len(set(scores.table[column].dropna())) for column in ("seed", "fold"))
    of_folds = f" and {folds} folds" if folds > 1 else ""
    return (
        f"{counted(len(repeats), 'repeat')} of {counted(len(scores.cells), 'variant')}, "
        f"{counted(seeds, 'seed')}{of_folds}: {scores.layout}."
    )


def _score_cells(scores: AnalysedScores) -> TextTable:
    """Mean ± spread of each metric and the interval of the primary one, a row for each cell."""
    primary, intervals = scores.metrics[0], scores.analysis.intervals(scores.metrics[0].name)
    summaries = {metric.name: scores.summary(metric) for metric in scores.metrics}
    notes: list[str] = []
    rows: list[tuple[str, ...]] = []
    for index, cell in enumerate(scores.cells):
        summary = summaries[primary.name][index]
        interval = intervals.get(cell)
        decimals = primary.decimals
        between = NOTHING if interval is None else interval_text(interval.low, interval.high, decimals)
        means = [mean_spread(summaries[metric.name][index], metric) for metric in scores.metrics]
        count = summary.count
        if summary.lost:
            count = f"{count} {numbered(f'{cell}: n = {summary.count_text()}', notes)}"
        rows.append((cell, means[0], between, *means[1:], count))
    columns = (
        Column("variant", "left"),
        Column(metric_title(primary), "right"),
        Column("95 % interval", "right"),
        *(Column(metric_title(metric), "right") for metric in scores.metrics[1:]),
        Column("n", "right"),
    )
    best = scores.analysis.best
    bold = frozenset((i, 1) for i, cell in enumerate(scores.cells) if best is not None and cell in best.cells)
    links = {(i, len(columns) - 1): (cell,) for i, cell in enumerate(scores.cells)}
    return TextTable(columns, tuple(rows), tuple(notes), bold, links)


def _repeats(scores: AnalysedScores) -> Section:
    """Every value, cell by cell, as it was read."""
    folds = len(set(scores.table["fold"].dropna())) > 1
    columns = (
        Column("variant", "left"),
        Column("seed", "right"),
        *([Column("fold", "right")] if folds else []),
        *(Column(metric.title, "right") for metric in scores.metrics),
    )
    summaries = [scores.summary(metric) for metric in scores.metrics]
    rows: list[tuple[str, ...]] = []
    for cell, *of_cell in zip(scores.cells, *summaries, strict=True):
        for repeat in of_cell[0].repeats:
            fold = [NOTHING if repeat.fold is None else str(repeat.fold)] if folds else []
            values = [summary.values.get(repeat, math.nan) for summary in of_cell]
            texts = (NOTHING if math.isnan(value) else f"{value:.10g}" for value in values)
            rows.append((cell, scores.seeds.get(repeat.seed, str(repeat.seed)), *fold, *texts))
    return Section("Repeats", "Every value as it was read.", TextTable(columns, tuple(rows)))


# Notebooks: the table of a study, and tables of comparisons below their plot ---------------------------


class PlottedTable(pd.DataFrame):
    """A frame that a notebook shows below a plot. What is selected from it is a plain frame."""

    _metadata = ["effects"]  # noqa: RUF012 (pandas' own name and form)
    effects: EffectsPlot | None

    def _repr_html_(self) -> str | None:
        table: Any = super()._repr_html_()  # type: ignore[misc]
        if self.effects is None:
            return table
        return f"{html_picture(effects_picture('effects', self.effects))}{table or ''}"


def plotted(table: pd.DataFrame, plot: EffectsPlot | None) -> pd.DataFrame:
    """``table``, which a notebook shows below ``plot``; None: alone."""
    shown = PlottedTable(table)
    shown.effects = plot
    return shown


def study_html(results: StudyResults) -> str:
    """The question, how many trials ended, and the ablation table with its notes.

    Intervals over test items, for which a file of each trial is read, are left out.
    """
    brief = results.without_predictions()
    question = results.plan.study.question.strip()
    intro = " ".join(filter(None, [question, count_line(brief)]))
    return html_section(Section(brief.name, intro, ablation_table(brief), table_notes(brief)))
