"""What labels buy: scores against hours, the front, and how both move with the seconds that a label takes."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from assay.results.label_answers import LabelAnswers, label_answers
from assay.results.label_tables import label_sections, time_unit
from assay.results.looks import read_looks
from assay.study import Plan
from assay.study.schema import Labelling
from dashboard import store as results
from dashboard.frame import look, message, paragraph, plain, section, study_view
from dashboard.plots import cost_plot

# Of Bearman et al. 2016, arXiv:1506.02106: a question about an image takes 1 s, a mask 79 s.
_COMMON = Labelling(image_label_seconds=1, mask_seconds=79)


def _seconds(named: Labelling) -> Labelling:
    """What the reader says that labels take; at first what the study says."""
    left, right = st.columns(2, gap="large")
    image = left.slider(
        "Seconds per image label",
        0.1,
        max(60.0, 3 * named.image_label_seconds),
        float(named.image_label_seconds),
        0.1,
        key="image-seconds",
        bind="query-params",
    )
    mask = right.slider(
        "Seconds per mask",
        1.0,
        max(600.0, 3 * named.mask_seconds),
        float(named.mask_seconds),
        1.0,
        key="mask-seconds",
        bind="query-params",
    )
    return Labelling(image_label_seconds=image, mask_seconds=mask)


def _priced(plan: Plan, labelling: Labelling) -> Plan:
    """The same plan at other costs: nothing is trained for it."""
    return plan.model_copy(update={"study": plan.study.model_copy(update={"labelling": labelling})})


def _answers(view: results.StudyView, plan: Plan) -> LabelAnswers | None:
    if plan.study.labelling == view.plan.study.labelling:
        return results.labels(view)
    looks = read_looks(view.store, view.name)
    return label_answers(plan, view.records, view.problems, looks=looks)


def _plot(answers: LabelAnswers) -> None:
    costs = answers.costs
    times, unit = time_unit(costs)
    rows = [
        {
            "cell": one.cell.name,
            "line": one.line,
            "hours": one.hours * times,
            "mean": one.mean,
            "low": min(one.values),
            "high": max(one.values),
            "front": one.on_front,
            "masks": one.masks,
            "labels": one.image_labels,
        }
        for one in costs.cells
    ]
    unit_of_score = "0–1" if costs.metric.unit == "share" else "images"
    chart = cost_plot(
        pd.DataFrame(rows),
        axis=f"{costs.metric.title} on test images ({unit_of_score})",
        unit=unit,
        lines="·".join(costs.others) or None,
        look=look(),
    )
    st.altair_chart(chart, alt=costs.caption)
    text = f"{costs.caption} Vertical lines: from the least to the best of {costs.repeats}."
    st.html(paragraph(text, "quiet"))


def _page() -> None:
    view = study_view()
    st.html(paragraph(view.plan.study.question, "question"))
    named = view.plan.study.labelling
    plan = _priced(view.plan, _seconds(named or _COMMON))
    if named is None:
        plain(f"{view.name} names no costs (`labelling` in its file): these are common ones.", "quiet")
    answers = _answers(view, plan)
    if answers is None:
        message("No two finished cells differ in hours of labelling yet.")
        return
    _plot(answers)
    for part in label_sections(plan, answers):
        section(part)


_page()
