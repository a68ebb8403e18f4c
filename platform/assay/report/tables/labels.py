"""Sections of a page about labels: costs and front, steps, enough masks, what to label next.

:func:`label_sections` writes all of a study's :class:`LabelAnalysis`. Nothing is computed here: a number that
a section shows is in the analysis, for Python and for other pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from assay.analysis.labels import LabelAnalysis, LabelCell, LabelCosts, NextLabels, label_analysis
from assay.analysis.names import instead_of
from assay.analysis.results.results import StudyResults
from assay.report.page.model import NOTHING, Column, Section, TextTable
from assay.statistics.families import ComparisonResult
from assay.statistics.labels import Enough, Gain
from assay.statistics.wording import interval_text, number_text, signed
from assay.study.names import count_of_planned

__all__ = ["count_text", "label_sections", "next_section", "time_unit"]

_LONG = 2.0  # hours from which tables and pictures count in hours


def label_sections(results: StudyResults) -> Iterator[Section]:
    """All that the study says about its labels, in reading order; nothing where labels are not priced."""
    labels = label_analysis(results)
    if labels is None:
        return
    yield _costs(results, labels.costs)
    if labels.steps:
        yield _steps(labels)
    if labels.enough:
        yield _enough(labels, results.plan.study.resolve)
    if labels.further:
        yield next_section(labels.further)


def time_unit(costs: LabelCosts) -> tuple[float, str]:
    """An hour in the unit that suits the costs, and the unit's name: minutes below two hours."""
    return (1.0, "hours") if max(cell.hours for cell in costs.cells) >= _LONG else (60.0, "minutes")


def count_text(number: float) -> str:
    """``5``, or ``5.7`` where the mean over repeats is no whole number."""
    return f"{number:.0f}" if abs(number - round(number)) < 0.05 else f"{number:.1f}"


def _time_text(time: float) -> str:
    """``15.0``, ``0.046``: few image labels take far less than the masks that the unit suits."""
    return f"{time:.1f}" if time >= 1 or not time else number_text(time, 2)


def _costs(results: StudyResults, costs: LabelCosts) -> Section:
    times, unit = time_unit(costs)
    columns = (
        Column("variant", "left"),
        Column("image labels", "right"),
        Column("masks", "right"),
        Column(unit, "right"),
        Column(costs.metric.title, "right"),
        Column("Pareto front", "center"),
    )
    data = list(dict.fromkeys(cell.data for cell in costs.cells))
    cells = sorted(costs.cells, key=lambda cell: (data.index(cell.data), cell.hours))
    rows = tuple(
        (
            cell.variant,
            count_text(cell.image_labels),
            count_text(cell.masks),
            _time_text(cell.hours * times),
            f"{cell.mean:.{costs.metric.decimals}f}",
            "✓" if cell.on_front else NOTHING,
        )
        for cell in cells
    )
    labelling, over = costs.labelling, "repeats"
    if costs.fewer:
        over = (
            f"the {costs.repeats} that all variants have; where one has more, the first table counts them too"
        )
    intro = (
        f"Labelling of the training part, at {labelling.image_label_seconds:g} s per image label and "
        f"{labelling.mask_seconds:g} s per mask; images, masks and scores are means over {over}."
    )
    return Section("What labels buy", intro, TextTable(columns, rows), tuple(_cost_notes(results, costs)))


def _cost_notes(results: StudyResults, costs: LabelCosts) -> Iterator[str]:
    title, better = costs.metric.title, costs.metric.better
    if any(cell.on_front for cell in costs.cells):
        where = " of the same data" if len({cell.data for cell in costs.cells}) > 1 else ""
        yield (
            f"Pareto front: no variant{where} has a {better} mean {title} for fewer or as many hours, over "
            "the repeats that all of them have. What is off it need not be worse."
        )
    if any(not cell.comparable for cell in costs.cells):
        yield "Variants without a repeat in common with the others on their data are on no front."
    left_out = [c.name for c in results.reported.cells if all(c.levels != k.cell.levels for k in costs.cells)]
    if left_out:
        yield f"Left out, without a finished training: {', '.join(left_out)}."
    if len({cell.cell.data.mask_detail for cell in costs.cells}) > 1:
        yield "Every mask is reckoned with the same seconds, however finely it is drawn (`mask_detail`)."
    if results.plan.study.resolve is None:
        yield "How many masks are enough is said where the study names a difference that matters (`resolve`)."


def _steps(labels: LabelAnalysis) -> Section:
    costs = labels.costs
    of_name = {cell.cell.name: cell for cell in costs.cells}
    times, unit = time_unit(costs)
    claims = list(dict.fromkeys(step.claim for step in labels.steps))
    columns = (
        Column("step", "left"),
        *([Column("holds for", "left")] if len(claims) > 1 else []),
        Column(f"further {unit}", "right"),
        Column(f"difference in {costs.metric.title}", "right"),
        Column("per further hour", "right"),
    )
    rows: list[tuple[str, ...]] = []
    for step in labels.steps:
        hours = of_name[str(step.cell_a)].hours - of_name[str(step.cell_b)].hours
        gain = (step.difference, step.low, step.high)
        rows.append(
            (
                _step_words(step, of_name),
                *([step.claim] if len(claims) > 1 else []),
                _time_text(hours * times),
                _estimate(gain, step.decimals),
                _per_hour([None if value is None else value / hours for value in gain], step.decimals),
            )
        )
    return Section(
        "Steps along the Pareto front",
        "From each variant on it to the next more expensive one, second minus first, with 95 % intervals as "
        "in the comparisons; the hours are counted, not estimated. The same scores "
        "chose the front, so there is no verdict: take it as a hint.",
        TextTable(columns, tuple(rows)),
    )


def _step_words(step: ComparisonResult, cells: Mapping[str, LabelCell]) -> str:
    """``5 masks instead of none``."""
    return instead_of(cells[str(step.cell_a)].variant, cells[str(step.cell_b)].variant)


def _enough(labels: LabelAnalysis, resolve: float | None) -> Section:
    assert resolve is not None, "nothing is enough without a difference that matters"
    costs = labels.costs
    times, unit = time_unit(costs)
    lines = {line[0].line: line for line in costs.lines}
    named = any(lines)
    columns = (
        *([Column(", ".join(costs.others) or "method", "left")] if named else []),
        Column("holds for", "left"),
        Column("n", "right"),
        Column("enough masks", "right"),
        Column(f"{unit} of labelling", "right"),
        Column("of all", "right"),
    )
    rows: list[tuple[str, ...]] = []
    notes: dict[str, None] = {}
    for name, of_claims in labels.enough:
        everything = lines[name][-1]
        for enough in of_claims:
            rows.append(
                (
                    *([name] if named else []),
                    enough.claim,
                    count_of_planned(enough.n, enough.n_planned),
                    _numbers(enough),
                    _hours_of(enough, everything, costs, times),
                    f"{enough.all_masks} ({_time_text(everything.hours * times)} {unit})",
                )
            )
            if enough.note:
                notes[f"{name + ', ' if named else ''}{enough.claim}: {enough.note}."] = None
    intro = (
        f"From which number of masks on {costs.metric.title} is at most {resolve:g} worse than with "
        "all masks, on the mean; in brackets the numbers for which a loss of just so much is inside "
        "the 95 % interval. Between trained numbers a straight line in log(1 + masks) is taken."
    )
    return Section("How many masks are enough", intro, TextTable(columns, tuple(rows)), tuple(notes))


def _numbers(enough: Enough) -> str:
    def text(number: int) -> str:
        return "all" if number == enough.all_masks else str(number)

    if enough.masks is None:
        return NOTHING
    if enough.low is None or enough.high is None:
        return text(enough.masks)
    return f"{text(enough.masks)} [{text(enough.low)}, {text(enough.high)}]"


def _hours_of(enough: Enough, everything: LabelCell, costs: LabelCosts, times: float) -> str:
    if enough.masks is None:
        return NOTHING
    saved = (everything.masks - min(enough.masks, everything.masks)) * costs.labelling.mask_seconds / 3600
    return _time_text((everything.hours - saved) * times)


def next_section(further: Sequence[NextLabels]) -> Section:
    """Advise what to label next, from each start."""
    columns = (
        Column("start", "left"),
        Column("spent on", "left"),
        Column("buys", "right"),
        Column("gain", "right"),
    )
    rows: list[tuple[str, ...]] = []
    for labels in further:
        if labels.start is None:
            continue
        advice, name, image_labels = labels.advice, labels.start.variant, labels.counted
        bought = count_text(advice.bought.image_labels)
        rows.append((name, image_labels, bought, _gain(advice.image_labels)))
        rows.append((name, "masks", count_text(advice.bought.masks), _gain(advice.masks)))
        rows.append((name, f"masks instead of {image_labels}", "", _gain(advice.difference)))
    explained = (
        "Expected gain in score with 95 % interval, all hours spent on one kind of label; from a Gaussian "
        "process over the variants. It speaks for images like those that the study's levels add."
    )
    planned = any(labels.advice.masks is not None for labels in further)
    return Section(
        "What to label next",
        " ".join(_advice(labels) for labels in further),
        TextTable(columns, tuple(rows)),
        (explained,) if planned else (),
    )


def _advice(labels: NextLabels) -> str:
    advice, start = labels.advice, labels.start
    if start is None:
        return f"No advice: {advice.reason}."
    image_labels, masks = count_text(labels.labels.image_labels), count_text(labels.labels.masks)
    there = f"{image_labels} {labels.counted} and {masks} masks"
    long = advice.hours >= _LONG
    minutes = f"{_time_text(advice.hours * 60)} further minutes"
    spent = f"{advice.hours:.1f} further hours" if long else minutes
    if advice.choice is None or advice.p_masks is None:
        text = f"No advice for {spent} from {start.variant} ({there}): {advice.reason}."
    else:
        sure = advice.p_masks if advice.choice == "masks" else 1 - advice.p_masks
        choice = "masks" if advice.choice == "masks" else labels.counted
        text = f"Spend {spent} on {choice}, from {start.variant} ({there}): "
        chance = f"P = {sure:.2f}".replace("= 1.00", "> 0.99")  # nothing is certain that was drawn
        text += f"they gain more with {chance}."
    if advice.even is not None:
        text += (
            f" Both would gain the same if a mask took {advice.even.seconds:.0f} s (80 % interval "
            f"{advice.even.low:.0f}–{advice.even.high:.0f} s): below that masks are the better buy."
        )
    return text


def _gain(gain: Gain | None) -> str:
    return NOTHING if gain is None else _estimate(gain, 3)  # the planner takes shares only


def _per_hour(estimate: Sequence[float | None], decimals: int) -> str:
    """A gain per hour: with two digits where it is small, because hours are many."""
    largest = max((abs(value) for value in estimate if value), default=1.0)
    return _estimate(estimate, max(decimals, 1 - math.floor(math.log10(largest))))


def _estimate(estimate: Sequence[float | None], decimals: int) -> str:
    """Value, and the ends of its interval where it has one."""
    value, low, high = estimate
    if value is None:
        return NOTHING
    text = signed(value, decimals)
    return text if low is None or high is None else f"{text} {interval_text(low, high, decimals)}"
