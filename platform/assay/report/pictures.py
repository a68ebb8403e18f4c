"""Pictures of a report. Each is drawn only when a format asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import pandas as pd

from assay.analysis.labels import LabelCosts, label_costs, masks_curve
from assay.analysis.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import metric_table
from assay.report.figures.effects import effects_picture
from assay.report.figures.effects_rows import comparisons_plot, effects_plot
from assay.report.figures.front_figure import draw_front, front_plots
from assay.report.figures.label_costs_figure import draw_label_costs
from assay.report.figures.masks_curve_figure import draw_masks_curve
from assay.report.page.model import Picture
from assay.statistics.intervals import MeanInterval, mean_intervals

__all__ = ["study_pictures"]


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
