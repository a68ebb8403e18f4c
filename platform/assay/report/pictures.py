"""Which pictures a report has; each is drawn only when a form asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from assay.analysis.label_costs import label_costs
from assay.analysis.masks_curve import masks_curve
from assay.analysis.study_analysis import StudyAnalysis
from assay.report.figures.effects import draw_effects
from assay.report.figures.effects_rows import comparisons_plot, effects_plot
from assay.report.figures.label_costs_figure import draw_label_costs
from assay.report.figures.masks_curve_figure import draw_masks_curve
from assay.report.page.model import Picture
from assay.storage.record import Record
from assay.study import Plan

__all__ = ["study_pictures"]


def study_pictures(plan: Plan, records: Mapping[str, Record], answers: StudyAnalysis) -> tuple[Picture, ...]:
    """Comparisons, effects, the curve over masks and what labels buy, where the study has them."""
    return tuple(_pictures(plan, records, answers))


def _pictures(plan: Plan, records: Mapping[str, Record], answers: StudyAnalysis) -> Iterator[Picture]:
    plots = {"comparisons": comparisons_plot(plan, answers), "effects": effects_plot(plan, answers)}
    for stem, plot in plots.items():
        if plot is not None:
            yield Picture(stem, plot.caption, plot.alt, partial(draw_effects, plot))
    curve = masks_curve(plan, records)
    if curve is not None:
        yield Picture("masks_curve", curve.caption, curve.caption, partial(draw_masks_curve, curve))
    costs = label_costs(plan, records)
    if costs is not None:
        draw = partial(draw_label_costs, costs, answers.intervals.get(costs.metric.name, {}))
        yield Picture("label_costs", costs.caption, costs.caption, draw)
