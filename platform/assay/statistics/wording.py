"""Results of comparisons in plain words and numbers.

Every place that shows a :class:`ComparisonResult` in words takes them from here, so that the same comparison
reads the same in the report, the dashboard and the command line. :func:`sentence` says all of a result, the
others are its parts. The texts name no cell, because the place where they stand does. Numbers have the
decimals of the metric, and more where ``resolve`` has more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Literal

from assay.statistics.families import ComparisonResult, Verdict
from assay.statistics.interim_looks import PLANNED_LOOKS
from assay.statistics.more_repeats import MOST_REPEATS, More
from assay.statistics.paired import ALPHA, enough_repeats, smallest_p
from assay.study.names import count_of_planned, counted

__all__ = [
    "BADGES",
    "UNDECIDED",
    "apart",
    "badge",
    "better_text",
    "bound_text",
    "claimed_text",
    "count_text",
    "decimal_text",
    "exact_test_text",
    "interval_text",
    "is_switch",
    "less_chance_text",
    "loss_text",
    "more_negligible_text",
    "more_text",
    "most_text",
    "negligible_at_text",
    "negligible_text",
    "number_text",
    "over_data_sets_text",
    "p_equation",
    "p_text",
    "sentence",
    "settle_text",
    "signed",
    "unit_word",
    "verdict_word",
]

# Verdicts as a page says them; the others are their own words.
_VERDICT_WORDS: Mapping[Verdict, str] = {
    "shown": "significant",
    "dispensable": "can go",
    "open": "undecided",
    "too few": "too few runs",
    "interim": "not yet",
}

# Verdicts as a reader decides by them, in the order in which they are listed.
BADGES = (
    "Keep",
    "Worse",
    "Can go",
    "Too small",
    "No difference",
    "Suggested",
    "Undecided",
    "Too few runs",
    "Not yet",
)
UNDECIDED = BADGES[BADGES.index("Suggested") :]  # what more repeats may decide

_SWITCHES = ("off → on", "on → off")  # levels of what a method has or has not


def verdict_word(result: ComparisonResult) -> str:
    """``significant``, ``undecided``; ``significant, small`` where the interval is within ``resolve``."""
    word = _VERDICT_WORDS.get(result.verdict, result.verdict)
    return f"{word}, small" if result.small else word


def badge(result: ComparisonResult) -> str:
    """The verdict as a reader decides by it: ``Keep``, ``Worse``, ``Can go``, ``Undecided``."""
    if result.small:
        return "Too small"
    if result.verdict == "shown":
        return "Keep" if result.gain > 0 else "Worse"
    drops = is_switch(result) or result.ask == "can go"
    if result.verdict == "dispensable" or (result.can_go and drops):
        return "Can go"
    if result.verdict in ("negligible", "identical"):
        return "No difference"
    return verdict_word(result).capitalize()


def is_switch(result: ComparisonResult) -> bool:
    """Say if it compares a method with and without something: what is negligible then can go.

    A main effect does not: a factor without one may matter where another is on.
    """
    return result.cell_a is not None and result.comparison.partition(": ")[2] in _SWITCHES


def sentence(result: ComparisonResult) -> str:
    """All of a result: ``suggested: +0.021 [0.008, 0.034], better in 5 of 5. With 5 repeats the …``"""
    if result.difference is None:
        return f"{verdict_word(result)}: {claimed_text(result)}"
    further = [
        over_data_sets_text(result),
        negligible_text(result),
        loss_text(result) if result.ask == "can go" else "",
        exact_test_text(result),
        settle_text(result),
        result.note and f"{result.note[0].upper()}{result.note[1:]}.",
    ]
    return " ".join([f"{verdict_word(result)}: {claimed_text(result)}", *filter(None, further)])


def claimed_text(result: ComparisonResult) -> str:
    """``+0.021 [0.008, 0.034], better in 5 of 5, p = .031.``"""
    if result.difference is None:
        return "no repeat is complete."
    decimals = result.decimals
    text = signed(result.difference, decimals)
    if result.n == 2:
        first, second = (signed(value, decimals) for value in result.differences)
        text = f"{text} ({first} and {second})"
    elif result.low is not None and result.high is not None:
        text = f"{text} {interval_text(result.low, result.high, decimals)}"
    text = f"{text}, better in {better_text(result)}"
    if result.verdict_p is None:
        return f"{text}."
    loss = f" of a loss of {result.resolve:g} or more" if result.verdict == "dispensable" else ""
    return f"{text}, {p_equation(result.verdict_p)}{loss}."


def unit_word(result: ComparisonResult) -> str:
    """What one more of makes a claim surer: ``repeat``, or ``data set``."""
    return "data set" if result.claim == "data sets" else "repeat"


def over_data_sets_text(result: ComparisonResult) -> str:
    """``On average over 6 data sets AP changes by +0.02 (95 % interval …); on the next one it may be …``."""
    if result.claim != "data sets" or result.difference is None:
        return ""
    decimals = result.decimals
    interval = ahead = ""
    if result.low is not None and result.high is not None:
        ends = [decimal_text(end, decimals) for end in (result.low, result.high)]
        interval = f" (95 % interval {ends[0]} to {ends[1]})"
    if result.next_low is not None and result.next_high is not None:
        ends = [decimal_text(end, decimals) for end in (result.next_low, result.next_high)]
        ahead = f"; on the next one it may be {ends[0]} to {ends[1]} (95 %)"
    change = signed(result.difference, decimals)
    return (
        f"On average over {counted(result.n, 'data set')} {result.scored_by.title} changes by {change}"
        f"{interval}{ahead}."
    )


def better_text(result: ComparisonResult) -> str:
    """``3 of 5, 1 tied``, of the complete units."""
    return f"{result.better} of {result.n}" + (f", {result.tied} tied" if result.tied else "")


def count_text(result: ComparisonResult) -> str:
    """``10``, or ``9 of 10``."""
    return count_of_planned(result.n, result.n_planned)


def exact_test_text(result: ComparisonResult) -> str:
    """Tell how many repeats the exact test still needs; empty where it has enough, or is not made.

    Where a trial diverged no number is promised: the larger of two p counts.
    """
    settled = result.verdict in ("identical", "negligible", "dispensable", "interim")
    settled = settled or result.test.startswith(PLANNED_LOOKS)
    least = smallest_p(result.n_nonzero)
    if result.claim == "new data" or result.n == 0 or settled or least <= ALPHA:
        return ""
    more, unit = enough_repeats() - result.n_nonzero, unit_word(result)
    if result.n <= 2:
        return "" if result.n_diverged else f"The exact test can speak after {more} more {unit}s."
    if result.p is None:
        return ""
    tied = f", {result.tied} tied," if result.tied else ""
    text = f"With {result.n} {unit}s{tied} the exact test cannot go below {p_equation(least)}"
    reached = p_text(smallest_p(enough_repeats()))
    return f"{text}." if result.n_diverged else f"{text}; {more} more could reach {reached}."


def negligible_text(result: ComparisonResult) -> str:
    """``CLM can go: it changes AP by less than 0.01 (95 % interval −0.004 to 0.006).``; empty if not so."""
    if result.verdict not in ("negligible", "dispensable") or result.low is None or result.high is None:
        return ""
    factor, _, levels = result.comparison.partition(": ")
    within = f" within {result.within}" if result.within else ""
    if result.verdict == "dispensable":
        right = (levels or factor).partition(" → ")[2]
        part = factor if is_switch(result) else f"{result.comparison}: {right}"
        if result.loses_at_most is None:  # the interval knows nothing of a trial that diverged
            loses = f"dropping it loses less than {result.resolve:g} of {result.scored_by.title}"
        else:
            less = f", less than {result.resolve:g}" if result.loses_at_most > 0 else ""
            loses = f"{_loses_at_most(result)}{less}"
        return f"{part} can go{within}: {loses} (one-sided t test)."
    changes = f"changes {result.scored_by.title} by less than {result.resolve:g}"
    low, high = (decimal_text(end, result.decimals) for end in (result.low, result.high))
    interval = f"(95 % interval {low} to {high})"
    if result.family == "interactions":
        size = f"less than {result.resolve:g} of {result.scored_by.title}"
        return f"{result.comparison}{within} makes {size} {interval}."
    if is_switch(result):
        return f"{factor} can go{within}: it {changes} {interval}."
    over = "data sets" if result.claim == "data sets" else "the cells"
    on_average = f" on average over {over}" if result.cell_a is None else ""
    return f"{result.comparison}{within} {changes}{on_average} {interval}."


def loss_text(result: ComparisonResult) -> str:
    """``No gain seen; dropping it loses at most 0.02 of AP.``; empty where a verdict or no interval says it.

    It is what a comparison says of the question `can go` that was not asked, or is not answered yet.
    """
    suggests_gain = result.verdict == "suggested" and result.gain > 0
    if (
        result.verdict not in ("open", "suggested", "interim")
        or suggests_gain
        or result.loses_at_most is None
    ):
        return ""
    seen = "No gain seen" if result.gain <= 0 else "Gain not shown"
    return f"{seen}; {_loses_at_most(result)}."


def _loses_at_most(result: ComparisonResult) -> str:
    """``dropping it loses at most 0.016 of AP``; ``gains`` where all of the interval does."""
    assert result.loses_at_most is not None, "there is an interval"
    size = f"{decimal_text(abs(result.loses_at_most), result.decimals)} of {result.scored_by.title}"
    return f"dropping it {'loses at most' if result.loses_at_most >= 0 else 'gains at least'} {size}"


def settle_text(result: ComparisonResult) -> str:
    """``About 4 more repeats (2–13) would show a difference of 0.01 with 80 % chance.``; empty if settled.

    With a difference worth knowing also: ``If nothing differs, about 6 would call it negligible.``
    """
    more = result.more_negligible
    negligible = f"If nothing differs, about {more} would call it negligible." if more else ""
    if more and result.ask == "can go":
        negligible = f"If dropping it costs nothing, about {more} would show that it can go."
    return " ".join(filter(None, (_show_text(result), negligible, less_chance_text([result]))))


def less_chance_text(results: Sequence[ComparisonResult]) -> str:
    """Say that repeats added after a look at which the test could speak find less; empty where none would.

    The chances are those of repeats that were planned from the start: of 8 that leave a difference of 0.7 sd
    open, with 11 more, a third of the studies show it instead of four in five.
    """
    for result in results:
        if result.claim == "data sets":
            continue
        could_speak = result.claim == "new data" or result.n >= enough_repeats()
        if could_speak and ((result.more and result.more.low is not None) or result.more_negligible):
            return "Repeats added now have less power: a sequential test, 5 % in all."
    return ""


def _show_text(result: ComparisonResult) -> str:
    more, decimals, unit = result.more, result.decimals, unit_word(result)
    if more is None:
        return ""
    shown = f"a difference of {number_text(more.delta, max(3, decimals))}"
    if more.estimate is None:
        half = f"{more.half_width:.{decimals}f}"
        return (
            f"To show {shown}: not within {MOST_REPEATS}; at {MOST_REPEATS} the interval would be ± {half}."
        )
    if more.high == 0:
        return f"{result.n} {unit}s would show {shown} with 80 % chance, and did not."
    if more.estimate == 0:
        return f"Few more {unit}s ({_range(more)}) would show {shown} with 80 % chance."
    about = f"About {counted(more.estimate, f'more {unit}')} ({_range(more)})"
    return f"{about} would show {shown} with 80 % chance."


def more_text(result: ComparisonResult) -> str:
    """``4 (2–13)``; ``> 50 (± 0.004)`` where 50 repeats in all do not suffice; empty if settled."""
    more = result.more
    if more is None:
        return ""
    if more.estimate is None:
        return f"> {MOST_REPEATS} (± {more.half_width:.{result.decimals}f})"
    return f"{more.estimate} ({_range(more)})"


def more_negligible_text(result: ComparisonResult) -> str:
    """``6``; ``> 50`` where 50 repeats in all do not suffice; empty if settled or without ``resolve``."""
    if result.more is None or result.resolve is None:
        return ""
    return f"> {MOST_REPEATS}" if result.more_negligible is None else str(result.more_negligible)


def negligible_at_text(results: Sequence[ComparisonResult]) -> str:
    """Repeats in all until comparisons of one name are negligible: ``8``, ``6–9``, ``6 to > 50``, ``> 50``.

    ``settled`` where every verdict stands. A dash where a comparison is open and no number can be had.
    """
    open_ones = [result for result in results if result.more is not None]
    if not open_ones:
        return "–" if any(result.verdict in ("open", "suggested") for result in results) else "settled"
    numbers = [None if r.more_negligible is None else r.n + r.more_negligible for r in open_ones]
    known = sorted(number for number in numbers if number is not None)
    if not known:
        return f"> {MOST_REPEATS}"
    if len(known) < len(numbers):
        return f"{known[0]} to > {MOST_REPEATS}"
    return str(known[0]) if known[0] == known[-1] else f"{known[0]}–{known[-1]}"


def _range(more: More) -> str:
    if more.high is None:  # `11–> 50` would read as an arrow
        return f"{more.low} to more than {MOST_REPEATS}"
    return f"{more.low}–{more.high}"


def p_text(p: float) -> str:
    """``.0625``, ``.031``, ``< .001``, ``1``; ``.0504`` where ``.050`` would look like a verdict."""
    if p >= 1:
        return "1"
    if p < 0.001:
        return "< .001"
    exact = round(p, 4)
    text = f"{p:.4f}".rstrip("0") if math.isclose(p, exact, abs_tol=1e-12) else apart(p, ALPHA, 3)
    return "1" if text == "1.000" else text.removeprefix("0")


def apart(value: float, limit: float, digits: int) -> str:
    """A number that is not ``limit``, with decimals enough not to read like it: ``0.898``, not ``0.90``."""
    return next(text for n in range(digits, 18) if float(text := f"{value:.{n}f}") != limit)


def p_equation(p: float) -> str:
    """``p = .031``, ``p < .001``."""
    text = p_text(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def number_text(value: float, digits: int = 3) -> str:
    """``0.0248``, ``12``, ``1235``: at least so many digits, because 1e+03 is another number than 1235."""
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:.0f}"
    return f"{Decimal(f'{value:.{digits}g}'):f}"


def most_text(value: float) -> str:
    """The most that may be asked for, with two digits: rounded up it would be refused again."""
    exact = Decimal(value)
    return f"{exact.quantize(Decimal(1).scaleb(exact.adjusted() - 1), ROUND_FLOOR):f}"


def bound_text(value: float) -> str:
    """A bound from above, rounded up: ``32`` for 31.2; below 1 with a digit or two, ``0.4``."""
    exact = Decimal(value)
    return f"{exact.quantize(Decimal(1).scaleb(min(0, exact.adjusted())), ROUND_CEILING):f}"


def interval_text(low: float, high: float, decimals: int) -> str:
    """``[0.008, 0.034]``."""
    return f"[{decimal_text(low, decimals)}, {decimal_text(high, decimals)}]"


def signed(value: float, decimals: int) -> str:
    """``+0.021``, ``−0.021``, ``0.000``."""
    return decimal_text(value, decimals, "+")


def decimal_text(value: float, decimals: int, sign: Literal["", "+"] = "") -> str:
    """``0.021``, ``−0.021``, and ``0.000`` without a sign."""
    text = f"{value:{sign}.{decimals}f}"
    return text.replace("-", "−") if float(text) else f"{0:.{decimals}f}"
