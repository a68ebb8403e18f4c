"""The image threshold with a promise: at most so many false alarms, or escapes, among new parts.

The rule needs no distribution. Let s₁ ≥ s₂ ≥ … be the scores of n good parts that nothing else has read, and
k the largest number for which P(Binomial(n, a) ≤ k) ≤ 1 − sure. The threshold lies just above s₍k+1₎. The
share of new good parts above it is then at most a with the stated certainty, if old and new parts are
exchangeable: k is the number whose exact upper limit (Clopper and Pearson 1934) stays at or below a, and
s₍k+1₎ a tolerance limit (Wilks 1941). Escapes are promised by the lowest scores of defective parts likewise.

A part with several images counts once, with its highest score. Where scores are equal the promise is kept
with room to spare.
"""

from __future__ import annotations

from math import ceil, floor, inf, log, log1p, log10, nextafter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from trainables.data.inspect.findings import counted
from trainables.data.threshold import Cost, FalseAlarms, Promise
from trainables.errors import InputError
from trainables.evaluation.metrics.inputs import ImageScores

__all__ = [
    "OperatingPoint",
    "choose_by_cost",
    "choose_by_promise",
    "exact_limit",
    "least_rate",
    "limit_text",
    "parts_needed",
    "promise_text",
    "rate_text",
    "refuse_too_few",
]

_DRAWS = 200
_SHARES = (0.05, 0.95)


class OperatingPoint(NamedTuple):
    """A threshold and what it rests on."""

    threshold: float  # a part whose score reaches it is decided defective
    wrong: int  # parts of the promised kind that it decides wrongly, among those that chose it
    parts: int  # of that kind


def exact_limit(wrong: float, parts: float, sure: float = 0.95) -> float:
    """The exact upper limit of a rate of which ``wrong`` of ``parts`` were seen (Clopper and Pearson 1934).

    Example:
        >>> round(exact_limit(0, 60), 4)
        0.0487
    """
    return 1.0 if wrong >= parts else float(special.betaincinv(wrong + 1, parts - wrong, sure))


def limit_text(wrong: float, parts: float, sure: float = 0.95) -> str:
    """``at most 4.9 %``: the exact upper limit of ``wrong`` of ``parts``, rounded up to two digits.

    Counts may be means over repeats.

    Example:
        >>> limit_text(0, 60), limit_text(2, 171), limit_text(3, 3)
        ('at most 4.9 %', 'at most 3.7 %', 'at most 100 %')
    """
    return f"at most {_rounded_up(100 * exact_limit(wrong, parts, sure))} %"


def rate_text(wrong: float, parts: float) -> str:
    """``0 of 60 (at most 4.9 %)``: a count with the exact upper limit of its rate, 95 % sure.

    Example:
        >>> rate_text(0, 60), rate_text(5.7, 72), rate_text(0, 0)
        ('0 of 60 (at most 4.9 %)', '5.7 of 72 (at most 16 %)', '0 of 0')
    """
    count = f"{round(wrong, 1):g} of {round(parts, 1):g}"
    return f"{count} ({limit_text(wrong, parts)})" if parts else count


def _rounded_up(percent: float) -> str:
    """A limit that is rounded down would promise what it cannot keep."""
    step = 10.0 ** (floor(log10(percent)) - 1) if percent < 10 else 1.0
    return f"{round(ceil(percent / step - 1e-9) * step, 10):g}"


def promise_text(good: int, defective: int, part: str, sure: float = 0.95) -> str:
    """A sentence on the smallest rates that so many parts of ``part`` can promise.

    Example:
        >>> promise_text(60, 0, "calibration")
        '60 good calibration parts: at most 4.9 % false alarms with 95 % certainty; 0 defective: no promise'
    """
    sides = [
        f"{limit_text(0, parts, sure)} {rate}" if parts else "no promise"
        for parts, rate in ((good, "false alarms"), (defective, "escapes"))
    ]
    certainty = f" with {100 * sure:g} % certainty" if good or defective else ""
    kind = counted(good, f"good {part} part")
    return f"{kind}: {sides[0]}{certainty}; {defective} defective: {sides[1]}"


def least_rate(parts: int, sure: float) -> float:
    """The smallest rate that so many parts can promise: with none of them decided wrongly."""
    return exact_limit(0, parts, sure) if parts else 1.0


def parts_needed(rate: float, sure: float) -> int:
    """The fewest parts that can promise ``rate``: n ≥ ln(1 − sure) / ln(1 − rate).

    Example:
        >>> parts_needed(0.01, 0.95), parts_needed(0.05, 0.95), parts_needed(0.1, 0.95)
        (299, 59, 29)
    """
    needed = ceil(log(1 - sure) / log1p(-rate) - 1e-9)
    return needed if least_rate(needed, sure) <= rate else needed + 1


def refuse_too_few(
    promise: Promise, good: int, defective: int, part: str, way_out: str | None = None
) -> None:
    """Refuse a promise that so many parts cannot keep.

    Args:
        promise: That is asked for.
        good: Number of good parts that choose the threshold.
        defective: The same of defective ones.
        part: What they are taken from: ``validation`` or ``calibration``.
        way_out: What to do; None: of a study file.

    Raises:
        InputError: If they are too few.
    """
    alarms = isinstance(promise, FalseAlarms)
    rate = promise.false_alarms if isinstance(promise, FalseAlarms) else promise.escapes
    what, kind, parts = ("false alarms", "good", good) if alarms else ("escapes", "defective", defective)
    needed = parts_needed(rate, promise.sure)
    if parts >= needed:
        return
    can = f"can promise {limit_text(0, parts, promise.sure)}" if parts else "promises nothing"
    name = "false_alarms" if alarms else "escapes"
    if way_out is None:
        way_out = f"Enlarge data.{part}.share, lower `sure`, or raise `{name}`."
    raise InputError(
        f"at most {100 * rate:g} % {what} with {100 * promise.sure:g} % certainty takes {needed} {kind} "
        f"parts that choose the threshold, found {parts} in {part}, which {can}. {way_out}"
    )


def choose_by_promise(images: ImageScores, promise: Promise, part: str = "validation") -> OperatingPoint:
    """The threshold that keeps a promise on new parts.

    Args:
        images: Labels, scores and items of images that nothing but the threshold has read; its threshold is
            not looked at.
        promise: On false alarms or escapes.
        part: What they are, for the message.

    Raises:
        InputError: If there are too few parts of the kind.
    """
    parts = images.parts_or_images
    good, defective = np.sort(parts.scores[~parts.labels])[::-1], np.sort(parts.scores[parts.labels])
    refuse_too_few(promise, len(good), len(defective), part)
    if isinstance(promise, FalseAlarms):
        allowed = _allowed(len(good), promise.false_alarms, promise.sure)
        threshold = nextafter(float(good[allowed]), inf)
        return OperatingPoint(threshold, int(np.sum(good >= threshold)), len(good))
    threshold = float(defective[_allowed(len(defective), promise.escapes, promise.sure)])
    return OperatingPoint(threshold, int(np.sum(defective < threshold)), len(defective))


def _allowed(parts: int, rate: float, sure: float) -> int:
    """The most wrong parts whose exact upper limit is at most ``rate``; 0 is known to be allowed."""
    number = np.arange(parts)
    # A chance that equals the limit, as of 17 of 35 at 50 %, is not lost to rounding.
    return int(np.flatnonzero(special.bdtr(number, parts, rate) <= 1 - sure + 1e-12)[-1])


def choose_by_cost(images: ImageScores, rule: Cost) -> tuple[float, tuple[float, float]]:
    """The threshold of least expected cost of a part, and 5 % and 95 % quantiles over bootstrap draws.

    Rates are those of the parts, with one right and one wrong part added to each kind: a rate that was not
    seen is not taken for 0. Of thresholds with one cost the lowest is taken. It promises nothing.

    Args:
        images: Labels, scores and items; both kinds of parts are there.
        rule: Costs, and the share of defective parts on the line.
    """
    parts = images.parts_or_images
    good, defective = parts.scores[~parts.labels], parts.scores[parts.labels]
    rng = np.random.default_rng(0)
    draws = [
        _least_cost(rng.choice(good, len(good)), rng.choice(defective, len(defective)), rule)
        for _ in range(_DRAWS)
    ]
    low, high = np.quantile(draws, _SHARES)
    return _least_cost(good, defective, rule), (float(low), float(high))


def _least_cost(good: NDArray[np.floating[Any]], defective: NDArray[np.floating[Any]], rule: Cost) -> float:
    """The lowest of the cheapest thresholds, halfway down to the next lower score."""
    levels = np.unique(np.concatenate([good, defective]))
    levels = np.append(levels, nextafter(float(levels[-1]), inf))  # above all: nothing is an alarm
    alarms = len(good) - np.searchsorted(np.sort(good), levels)
    escapes = np.searchsorted(np.sort(defective), levels)
    cost = (1 - rule.defective) * rule.cost.false_alarm * (alarms + 1) / (len(good) + 2)
    cost = cost + rule.defective * rule.cost.escape * (escapes + 1) / (len(defective) + 2)
    best = int(np.argmin(cost))
    if best in (0, len(levels) - 1):
        return float(levels[best])
    middle = (float(levels[best - 1]) + float(levels[best])) / 2
    return middle if middle > levels[best - 1] else float(levels[best])
