"""Answers in plain words and numbers; every page that shows an answer takes them from here."""

from __future__ import annotations

import math

from assay.analysis.statistics.families import ComparisonResult
from assay.analysis.statistics.more_repeats import MOST_REPEATS, More
from assay.analysis.statistics.paired import ALPHA, enough_repeats, smallest_p

__all__ = [
    "better_text",
    "count_text",
    "exact_test_text",
    "interval_text",
    "more_text",
    "p_text",
    "sentence",
    "settle_text",
    "signed",
]


def sentence(answer: ComparisonResult, decimals: int) -> str:
    """All of an answer: ``suggested: +0.021 [0.008, 0.034], better in 5 of 5. With 5 repeats the …``"""
    if answer.difference is None:
        return f"{answer.verdict}: no repeat is complete."
    parts = [signed(answer.difference, decimals)]
    if answer.n == 2:
        one, other = (signed(value, decimals) for value in answer.differences)
        parts = [f"{parts[0]} ({one} and {other})"]
    elif answer.low is not None and answer.high is not None:
        parts = [f"{parts[0]} {interval_text(answer.low, answer.high, decimals)}"]
    text = f"{answer.verdict}: {parts[0]}, better in {better_text(answer)}."
    if answer.p_holm is not None:
        text = f"{text[:-1]}, p = {p_text(answer.p_holm)}."
    further = [exact_test_text(answer), settle_text(answer, decimals), answer.note and f"{answer.note}."]
    return " ".join([text, *filter(None, further)])


def better_text(answer: ComparisonResult) -> str:
    """``3 of 5, 1 tied``, of the complete units."""
    return f"{answer.better} of {answer.n}" + (f", {answer.tied} tied" if answer.tied else "")


def count_text(answer: ComparisonResult) -> str:
    """``10``, or ``9 of 10``."""
    return str(answer.n) if answer.n == answer.n_planned else f"{answer.n} of {answer.n_planned}"


def exact_test_text(answer: ComparisonResult) -> str:
    """What the exact test cannot say yet, and from when it can; empty where it can."""
    if answer.claim == "new data" or answer.n == 0 or answer.verdict == "identical":
        return ""
    nonzero = answer.n_nonzero
    least = smallest_p(nonzero) * answer.looks
    if least * answer.m <= ALPHA:
        return ""
    family = enough_repeats(answer.m * answer.looks) - nonzero
    alone = enough_repeats(answer.looks) - nonzero
    if answer.n <= 2:
        return f"The exact test can speak after {family} more repeats."
    tied = f", {answer.tied} tied," if answer.tied else ""
    text = f"With {answer.n} repeats{tied} the exact test cannot go below p = {p_text(min(1.0, least))}; "
    if alone > 0:
        text += f"{alone} more could reach {p_text(smallest_p(nonzero + alone) * answer.looks)}"
        return text + (f", this family of {answer.m} needs {family} more." if answer.m > 1 else ".")
    return text + f"this family of {answer.m} needs {family} more."


def settle_text(answer: ComparisonResult, decimals: int) -> str:
    """``About 4 more repeats (2–13) would show a difference of 0.01 with 80 % chance.``; empty if settled."""
    more = answer.more
    if more is None:
        return ""
    shown = f"a difference of {more.delta:.{decimals}g}"
    if more.estimate is None:
        half = f"{more.half_width:.{decimals}f}"
        return (
            f"To show {shown}: not within {MOST_REPEATS}; at {MOST_REPEATS} the interval would be ± {half}."
        )
    noun = "repeat" if more.estimate == 1 else "repeats"
    return f"About {more.estimate} more {noun} ({_range(more)}) would show {shown} with 80 % chance."


def more_text(answer: ComparisonResult, decimals: int) -> str:
    """``4 (2–13)``; ``> 50 (± 0.004)`` where 50 repeats in all do not suffice; empty if settled."""
    more = answer.more
    if more is None:
        return ""
    if more.estimate is None:
        return f"> {MOST_REPEATS} (± {more.half_width:.{decimals}f})"
    return f"{more.estimate} ({_range(more)})"


def _range(more: More) -> str:
    return f"{more.low}–{f'> {MOST_REPEATS}' if more.high is None else more.high}"


def p_text(p: float) -> str:
    """``.0625``, ``.031``, ``< .001``, ``1``."""
    if p >= 1:
        return "1"
    if p < 0.001:
        return "< .001"
    exact = round(p, 4)
    text = f"{p:.4f}".rstrip("0") if math.isclose(p, exact, abs_tol=1e-12) else f"{p:.3f}"
    return "1" if text == "1.000" else text.removeprefix("0")


def interval_text(low: float, high: float, decimals: int) -> str:
    """``[0.008, 0.034]``."""
    return f"[{_minus(low, decimals)}, {_minus(high, decimals)}]"


def signed(value: float, decimals: int) -> str:
    """``+0.021``, ``−0.021``, ``0.000``."""
    text = f"{value:+.{decimals}f}"
    return text.replace("-", "−") if float(text) else f"{0:.{decimals}f}"


def _minus(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.replace("-", "−") if float(text) else f"{0:.{decimals}f}"
