"""Labels: what to make next; scores against their hours, and how both move with the seconds of each."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from assay.analysis.labels import LabelAnalysis, LabelCosts, label_analysis, label_factors
from assay.analysis.results.results import StudyResults
from assay.report.figures.name_placement import spread
from assay.report.next_steps import COMMON_SECONDS
from assay.report.tables.labels import label_sections, next_section, time_unit
from assay.study import Study
from assay.study.file.schema import Labelling
from assay_dashboard.charts import cost_plot
from assay_dashboard.layout import draw, missing, plain, section, study_view, theme
from assay_dashboard.state import of_another_study

_EXAMPLE = """labelling: {image_label_seconds: 1, mask_seconds: 79}
factors:
  masks: {none: {supervision: weak}, five: {supervision: {mixed: 5}}, all: {supervision: full}}"""
_NEXT = "What to label next"  # title of the report's section
# Pixels: about the width of the picture, and the distance of cells that cost the same.
_WIDE, _NARROW = (1200, 22), (240, 12)  # in a wide and in a narrow window


def _seconds(study: str, named: Labelling) -> Labelling:
    """Seconds that labels take, from the sliders, which start with those of the study."""
    image, mask = float(named.image_label_seconds), float(named.mask_seconds)
    if of_another_study("labels", study):
        st.session_state["image-seconds"], st.session_state["mask-seconds"] = image, mask
    left, right = st.columns(2, gap="large")
    with left:
        image = _slider("Seconds per image label", image, (0.1, 60.0), key="image-seconds")
    with right:
        mask = _slider("Seconds per mask", mask, (1.0, 600.0), key="mask-seconds")
    return Labelling(image_label_seconds=image, mask_seconds=mask)


def _slider(title: str, named: float, usual: tuple[float, float], *, key: str) -> float:
    """Seconds within ``usual``, or further where the study names others; the least of ``usual`` is a step."""
    low, high = usual
    return st.slider(title, min(low, named), max(high, 3 * named), named, low, key=key, bind="query-params")


def _plot(costs: LabelCosts) -> None:
    times, unit = time_unit(costs)
    # A cell has two places, for a wide and a narrow window, because equal costs need more room on a
    # telephone.
    rows = [
        {
            "variant": cell.variant,
            "line": cell.line,
            "hours": cell.hours * times,
            "place": place,
            "narrow": narrow,
            "mean": cell.mean,
            "low": min(cell.values),
            "high": max(cell.values),
            "front": cell.on_front,
            "masks": cell.masks,
            "labels": cell.image_labels,
            "name": cell.point if cell.on_front and not costs.is_ladder else "",
        }
        for cell, place, narrow in zip(
            costs.cells, _places(costs, times, *_WIDE), _places(costs, times, *_NARROW), strict=True
        )
    ]
    unit_of_score = costs.metric.scale
    chart = cost_plot(
        pd.DataFrame(rows),
        axis=f"{costs.metric.title} on test images ({unit_of_score})",
        unit=unit,
        lines=", ".join(costs.others) or ("method" if costs.is_ladder else None),
        logarithmic=costs.logarithmic,
        theme=theme(),
    )
    draw(chart, costs.caption)
    moved = " Cells moved aside for room cost what the tables say." if costs.is_ladder else ""
    text = f"{costs.caption} Vertical lines: from the lowest to the highest of {costs.repeats}.{moved}"
    plain(text, "quiet")


def _places(costs: LabelCosts, times: float, width: float, distance: float) -> list[float]:
    """Hours times ``times``; in a ladder, cells of about the same cost are moved to stand side by side.

    The axis ends with the cells, and is ``width`` pixels long. Those moved stand ``distance`` pixels apart.
    """
    # Moved in the scale of the axis: side by side on a log scale is another distance than in hours.
    hours = [cell.hours * times for cell in costs.cells]
    if not costs.is_ladder:
        return hours
    to, back = (math.log, math.exp) if costs.logarithmic else (float, float)
    apart = (to(max(hours)) - to(min(hours))) * distance / width
    order = sorted(range(len(hours)), key=lambda i: (hours[i], costs.cells[i].mean))
    moved = dict(zip(order, spread([to(hours[i]) for i in order], apart), strict=True))
    return [back(moved[i]) for i in range(len(hours))]


def _next(priced: StudyResults, labels: LabelAnalysis) -> None:
    """The advice with the interval of each gain above the front; or below it the cells that it takes."""
    if labels.further:
        section(priced.once("next labels", lambda: next_section(labels.further)))
    _plot(labels.costs)
    if not labels.further:
        plain(_NEXT, "heading")
        nothing = "Not enough label budgets tried: three numbers of labels and of masks, combined."
        missing(nothing, _grid(max(int(cell.defective) for cell in labels.costs.cells)))


def _grid(defective: int) -> str:
    """Lines of a study file that give advice, for so many defective training images; "" for too few."""
    # Three amounts of labels and of masks are the least from which a slope can be read.
    few = min(5, defective // 8)
    if not few:
        return ""
    quarter, half = (f"{{data: {{positives: {defective // part}}}}}" for part in (4, 2))
    return f"""factors:
  images: {{quarter: {quarter}, half: {half}, all: {{}}}}
  masks: {{none: {{supervision: weak}}, few: {{supervision: {{mixed: {few}}}}}, all: {{supervision: full}}}}
design: {{full: all}}
repeats: {{seeds: [0, 1, 2]}}"""


def _no_costs(study: Study) -> None:
    """Say what comparing costs takes: finished trials, where the study's cells do differ in their labels."""
    nothing, factors = "No two finished variants differ in hours of labelling yet.", label_factors(study)
    if factors:
        missing(f"{nothing} It takes finished trials of two variants that differ in {' or '.join(factors)}.")
    else:
        missing(nothing, _EXAMPLE)


def _page() -> None:
    view = study_view()
    study = view.results.plan.study
    plain(study.question, "question")
    named = study.labelling

    # The advice stands above the sliders that it depends on.
    first = st.container()  # is filled when the seconds below it are known
    labelling = _seconds(view.name, named or COMMON_SECONDS)
    if named is None:
        plain(
            f"The study {view.name} states no costs (`labelling` in its file). These are common ones.",
            "quiet",
        )
    with st.spinner("Pricing labels …"):
        priced = view.results.with_labelling(labelling)
        labels = label_analysis(priced)
    if labels is None:
        _no_costs(study)
        return
    with first:
        _next(priced, labels)
    for part in label_sections(priced):
        if part.title != _NEXT:
            section(part)


_page()
