"""What labels buy, as sections of a page: costs and front, steps, enough masks, what to label next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay.analysis.label_analysis import LabelAnalysis, NextLabels
from assay.analysis.label_costs import LabelCell, LabelCosts
from assay.analysis.statistics import ComparisonResult
from assay.analysis.statistics.enough_masks import Enough
from assay.analysis.statistics.next_labels import EvenPrice, Gain
from assay.analysis.statistics.wording import interval_text, signed
from assay.report.ablation_table import decimals_of
from assay.report.comparison_tables import verdict_text
from assay.report.page.model import NOTHING, Column, Section, TextTable
from assay.study import Plan

__all__ = ["count_text", "label_sections", "next_section", "time_unit"]

_TELLS = ("shown", "suggested")
_LONG = 2.0  # hours from which tables and pictures count in hours


def label_sections(plan: Plan, answers: LabelAnalysis) -> Iterator[Section]:
    """All that the study says about its labels, in reading order."""
    decimals = decimals_of(answers.costs.metric, max(len(cell.values) for cell in answers.costs.cells))
    yield _costs(plan, answers.costs, decimals)
    if answers.steps:
        yield _steps(answers, decimals)
    if answers.enough:
        yield _enough(plan, answers)
    if answers.further:
        yield next_section(answers.further)


def time_unit(costs: LabelCosts) -> tuple[float, str]:
    """What an hour is in the unit that suits the costs, and its name: minutes below two hours."""
    return (1.0, "hours") if max(cell.hours for cell in costs.cells) >= _LONG else (60.0, "minutes")


def count_text(number: float) -> str:
    """``5``, or ``5.7`` where the mean over repeats is no whole number."""
    return f"{number:.0f}" if abs(number - round(number)) < 0.05 else f"{number:.1f}"


def _costs(plan: Plan, costs: LabelCosts, decimals: int) -> Section:
    times, unit = time_unit(costs)
    columns = (
        Column("cell", "left"),
        Column("image labels", "right"),
        Column("masks", "right"),
        Column(unit, "right"),
        Column(costs.metric.title, "right"),
        Column("on the front", "center"),
    )
    data = list(dict.fromkeys(cell.data for cell in costs.cells))
    cells = sorted(costs.cells, key=lambda cell: (data.index(cell.data), cell.hours))
    rows = tuple(
        (
            cell.cell.name,
            count_text(cell.image_labels),
            count_text(cell.masks),
            f"{cell.hours * times:.1f}",
            f"{cell.mean:.{decimals}f}",
            "✓" if cell.on_front else NOTHING,
        )
        for cell in cells
    )
    labelling = costs.labelling
    intro = (
        f"Labelling of the training part, at {labelling.image_label_seconds:g} s per image label and "
        f"{labelling.mask_seconds:g} s per mask; images, masks and scores are means over repeats."
    )
    return Section("What labels buy", intro, TextTable(columns, rows), tuple(_cost_notes(plan, costs)))


def _cost_notes(plan: Plan, costs: LabelCosts) -> Iterator[str]:
    title, better = costs.metric.title, costs.metric.better
    if any(cell.on_front for cell in costs.cells):
        where = " of the same data" if len({cell.data for cell in costs.cells}) > 1 else ""
        yield (
            f"On the front: no cell{where} has a {better} mean {title} for fewer or as many hours, over the "
            "repeats that all of them have. What is off the front need not be shown to be worse."
        )
    if any(cell.compared is None for cell in costs.cells):
        yield "Cells without a repeat in common with the others on their data are on no front."
    plan = plan.answer()
    left_out = [c.name for c in plan.cells if all(c.levels != k.cell.levels for k in costs.cells)]
    if left_out:
        yield f"Left out, without a finished training: {', '.join(left_out)}."
    if len({cell.cell.data.mask_detail for cell in costs.cells}) > 1:
        yield "Every mask is reckoned with the same seconds, however finely it is drawn (`mask_detail`)."
    if plan.study.resolve is None:
        yield "How many masks are enough is said where the study names a difference that matters (`resolve`)."


def _steps(answers: LabelAnalysis, decimals: int) -> Section:
    costs = answers.costs
    of_name = {cell.cell.name: cell for cell in costs.cells}
    times, unit = time_unit(costs)
    claims = list(dict.fromkeys(one.claim for one in answers.steps))
    columns = (
        Column("step", "left"),
        *([Column("claim", "left")] if len(claims) > 1 else []),
        Column(f"further {unit}", "right"),
        Column(f"difference in {costs.metric.title}", "right"),
        Column("per further hour", "right"),
        Column("verdict", "left"),
    )
    rows: list[tuple[str, ...]] = []
    notes: dict[str, int] = {}
    for one in answers.steps:
        hours = of_name[str(one.cell_a)].hours - of_name[str(one.cell_b)].hours
        found = (one.difference, one.low, one.high)
        rows.append(
            (
                one.comparison,
                *([one.claim] if len(claims) > 1 else []),
                f"{hours * times:.1f}",
                _estimate(found, decimals),
                _estimate([None if value is None else value / hours for value in found], decimals),
                verdict_text(one, notes),
            )
        )
    return Section(
        "Steps along the front",
        "From each cell on the front to the next dearer one: right minus left, with 95 % intervals as in the "
        "comparisons; the hours are counted, not estimated. A family of its own (Holm). The same scores "
        "chose the front, so take it as a hint.",
        TextTable(columns, tuple(rows), tuple(notes)),
        tuple(_indistinct(answers.steps)),
    )


def _indistinct(steps: Sequence[ComparisonResult]) -> Iterator[str]:
    for claim in dict.fromkeys(one.claim for one in steps):
        names = [one.comparison for one in steps if one.claim == claim and one.verdict not in _TELLS]
        if names:
            yield f"Not distinguishable ({claim}): {'; '.join(names)}."


def _enough(plan: Plan, answers: LabelAnalysis) -> Section:
    costs = answers.costs
    times, unit = time_unit(costs)
    lines = {line[0].line: line for line in costs.lines}
    named = any(lines)
    columns = (
        *([Column(", ".join(costs.others) or "method", "left")] if named else []),
        Column("claim", "left"),
        Column("n", "right"),
        Column("enough masks", "right"),
        Column(f"{unit} of labelling", "right"),
        Column("of all", "right"),
    )
    rows: list[tuple[str, ...]] = []
    notes: dict[str, None] = {}
    for name, of_claims in answers.enough:
        everything = lines[name][-1]
        for one in of_claims:
            rows.append(
                (
                    *([name] if named else []),
                    one.claim,
                    str(one.n) if one.n == one.n_planned else f"{one.n} of {one.n_planned}",
                    _numbers(one),
                    _hours_of(one, everything, costs, times),
                    f"{one.all_masks} ({everything.hours * times:.1f} {unit})",
                )
            )
            if one.note:
                notes[f"{name + ', ' if named else ''}{one.claim}: {one.note}."] = None
    intro = (
        f"From which number of masks on no more than {plan.study.resolve:g} {costs.metric.title} is lost "
        "against all masks, on the mean; in brackets the numbers for which a loss of just so much is inside "
        "the 95 % interval. Between trained numbers a straight line in log(1 + masks) is taken."
    )
    return Section("How many masks are enough", intro, TextTable(columns, tuple(rows)), tuple(notes))


def _numbers(one: Enough) -> str:
    def say(number: int) -> str:
        return "all" if number == one.all_masks else str(number)

    if one.masks is None:
        return NOTHING
    interval = "" if one.low is None or one.high is None else f" [{say(one.low)}, {say(one.high)}]"
    return say(one.masks) + interval


def _hours_of(one: Enough, everything: LabelCell, costs: LabelCosts, times: float) -> str:
    if one.masks is None:
        return NOTHING
    saved = (everything.masks - min(one.masks, everything.masks)) * costs.labelling.mask_seconds / 3600
    return f"{(everything.hours - saved) * times:.1f}"


def next_section(further: Sequence[NextLabels]) -> Section:
    """What to label next, from each start."""
    decimals = 3  # the planner takes shares only
    columns = (
        Column("start", "left"),
        Column("spent on", "left"),
        Column("buys", "right"),
        Column("gain", "right"),
    )
    rows: list[tuple[str, ...]] = []
    for one in further:
        if one.start is None:
            continue
        advice, name = one.advice, one.start.cell.name
        rows.append(
            (name, one.counted, count_text(advice.bought.image_labels), _gain(advice.image_labels, decimals))
        )
        rows.append((name, "masks", count_text(advice.bought.masks), _gain(advice.masks, decimals)))
        rows.append((name, f"masks instead of {one.counted}", "", _gain(advice.difference, decimals)))
    explained = (
        "Expected gain in score with 95 % interval, all hours spent on one kind of label; from a Gaussian "
        "process over the cells. It speaks for images like those that the study's levels add."
    )
    judged = any(one.advice.masks is not None for one in further)
    return Section(
        "What to label next",
        " ".join(_advice(one) for one in further),
        TextTable(columns, tuple(rows)),
        (explained,) if judged else (),
    )


def _advice(one: NextLabels) -> str:
    advice = one.advice
    if one.start is None:
        return f"No advice: {advice.reason}."
    there = f"{count_text(one.labels.image_labels)} {one.counted} and {count_text(one.labels.masks)} masks"
    long = advice.hours >= _LONG
    spent = f"{advice.hours:.1f} further hours" if long else f"{advice.hours * 60:.1f} further minutes"
    if advice.choice is None or advice.p_masks is None:
        text = f"No advice for {spent} from {one.start.cell.name} ({there}): {advice.reason}."
    else:
        sure = advice.p_masks if advice.choice == "masks" else 1 - advice.p_masks
        choice = "masks" if advice.choice == "masks" else one.counted
        text = f"Spend {spent} on {choice}, from {one.start.cell.name} ({there}): "
        text += f"they gain more with P = {sure:.2f}."
    return f"{text} {_even(advice.even)}".strip()


def _even(price: EvenPrice | None) -> str:
    if price is None:
        return ""
    return (
        f"Both would gain the same if a mask took {price.seconds:.0f} s (80 % interval "
        f"{price.low:.0f}–{price.high:.0f} s): below that masks are the better buy."
    )


def _gain(gain: Gain | None, decimals: int) -> str:
    return NOTHING if gain is None else _estimate(gain, decimals)


def _estimate(found: Sequence[float | None], decimals: int) -> str:
    """Value, and the ends of its interval where it has one."""
    value, low, high = found
    if value is None:
        return NOTHING
    text = signed(value, decimals)
    return text if low is None or high is None else f"{text} {interval_text(low, high, decimals)}"
