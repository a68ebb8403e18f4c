"""The label planner: it refuses what a study cannot tell, and is right where it speaks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import product

import numpy as np
import pytest

from assay.statistics.labels import (
    Kind,
    LabelAdvice,
    Labels,
    _judged,
    advise_labels,
    most_hours,
)
from benchmarks.calibration.label_planner import Outcome, simulate
from tests.statistics.tables import tidy_table

SECONDS = Labels(1.0, 12.0)
NOW = Labels(200, 45)
GRID = {f"{i}·{m}": Labels(i, m) for i, m in product((50, 100, 200), (5, 15, 45))}


def masks_only(labels: Labels) -> float:
    return 0.5 + 0.1 * float(np.log1p(labels.masks))


def ask(
    score: Callable[[Labels], float] = masks_only,
    *,
    counts: Mapping[str, Labels] = GRID,
    repeats: int = 5,
    noise: float = 0.005,
    now: Labels = NOW,
    hours: float | None = None,
    metric: str = "image_ap",
) -> LabelAdvice:
    rng = np.random.default_rng(0)
    values = {cell: score(labels) + rng.normal(0, noise, repeats) for cell, labels in counts.items()}
    hours = most_hours(now, SECONDS) if hours is None else hours
    return advise_labels(
        tidy_table(values, metric=metric), counts, now=now, hours=hours, seconds=SECONDS, metric=metric
    )


def some(images: tuple[int, ...], masks: tuple[int, ...]) -> dict[str, Labels]:
    return {f"{i}·{m}": Labels(i, m) for i, m in product(images, masks)}


TOGETHER = {f"{i}·{m}": Labels(i, m) for i in range(50, 500, 50) for m in (i // 10,)}


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"metric": "fp"}, "a score from 0 to 1 of which more is better, and FP is none"),
        ({"counts": some((50, 100), (5, 15, 45))}, "(50, 100), and it takes 3: vary `data: {positives: N}`"),
        ({"counts": some((50, 100, 200), (5, 15))}, "masks (5, 15), and it takes 3: vary `supervision`"),
        ({"counts": dict(list(GRID.items())[:8])}, "8 cells, and it takes 9: combine all numbers"),
        ({"repeats": 2}, "2 repeats of all cells, and it takes 3: add seeds"),
        ({"counts": TOGETHER}, "go together over the cells"),
        ({"score": lambda _: 0.8, "noise": 0.0}, "all cells score the same"),
        ({"hours": 0.06}, "buy 216 image labels, which would more than double the 200:"),
        ({"now": Labels(2000, 5), "hours": 0.05}, "buy 15 masks, which would more than double the 5:"),
        ({"score": lambda _: 0.8, "noise": 0.05}, "not sure enough"),
    ],
    ids=[
        "no share", "image labels", "masks", "cells", "repeats", "correlated", "constant", "labels doubled",
        "masks doubled", "unsure",
    ],
)  # fmt: skip
def test_what_a_study_does_not_tell_is_refused_with_its_reason(asked: dict[str, object], reason: str) -> None:
    advice = ask(**asked)  # type: ignore[arg-type]
    assert advice.choice is None
    assert reason in advice.reason


def test_a_chance_just_below_what_advice_takes_is_not_rounded_to_it() -> None:
    draws = np.zeros((1000, 3))
    draws[:898, 1] = 1.0
    words: dict[Kind, str] = {"image labels": "image labels", "masks": "masks"}
    advice = _judged(1.0, Labels(1, 1), draws, np.array([1.0]), words)
    assert advice.reason == "it is not sure enough: masks gain more with P = 0.898, and advice takes 0.90"


@pytest.mark.parametrize("images", [199, 200, 2013])
def test_the_hours_that_a_refusal_names_are_not_refused(images: int) -> None:
    now = Labels(images, 500)
    refused = ask(now=now, hours=2 * most_hours(now, SECONDS))
    (named,) = re.findall(r"ask for (\S+) hours or fewer", refused.reason or "")
    assert 0.9 * most_hours(now, SECONDS) < float(named) <= most_hours(now, SECONDS)


def test_a_gain_that_may_be_none_is_no_advice() -> None:
    """Image labels do harm, masks nothing: masks are surely the better buy, and still not worth it."""
    advice = ask(lambda labels: 0.9 - 0.08 * float(np.log1p(labels.image_labels)), noise=0.02)
    assert advice.p_masks is not None
    assert advice.p_masks >= 0.9
    assert advice.choice is None
    assert advice.reason == "the gain of masks, the better one, may be none: its interval includes 0"


@pytest.mark.parametrize(
    ("score", "choice"),
    [
        (masks_only, "masks"),
        (lambda labels: 0.3 + 0.1 * float(np.log1p(labels.image_labels)), "image labels"),
    ],
    ids=["masks", "image labels"],
)
def test_the_kind_that_alone_matters_is_advised(score: Callable[[Labels], float], choice: str) -> None:
    advice = ask(score)
    assert (advice.choice, advice.reason) == (choice, "")


def test_the_hours_buy_either_kind_at_its_price() -> None:
    assert ask(hours=0.05).bought == pytest.approx((180, 15))


def test_a_lost_repeat_leaves_the_others() -> None:
    rng = np.random.default_rng(0)
    values = {cell: [*(masks_only(labels) + rng.normal(0, 0.005, 4)), None] for cell, labels in GRID.items()}
    advice = advise_labels(tidy_table(values), GRID, now=NOW, hours=0.05, seconds=SECONDS, metric="image_ap")
    assert advice.choice == "masks"


def test_what_a_repeat_shares_is_no_noise() -> None:
    values = {
        c: [masks_only(labels) + 0.05 * r + 0.001 * (r == len(c) % 4) for r in range(4)]
        for c, labels in GRID.items()
    }
    advice = advise_labels(tidy_table(values), GRID, now=NOW, hours=0.05, seconds=SECONDS, metric="image_ap")
    assert advice.masks is not None
    assert advice.masks.high - advice.masks.low < 0.05


def test_the_same_study_gets_the_same_answer() -> None:
    assert ask() == ask()


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[Outcome]]:
    """Draws of `python -m benchmarks.calibration.label_planner`."""
    return {
        surface: [simulate(surface, "3 × 3", draw) for draw in range(15)] for surface in ("log", "logistic")
    }


@pytest.mark.parametrize("surface", ["log", "logistic"])
def test_advice_is_right_and_its_intervals_hold(outcomes: dict[str, list[Outcome]], surface: str) -> None:
    """Of 100 draws 57 and more got advice, all of it right; the intervals held in 99 and more."""
    drawn = outcomes[surface]
    advised = [one for one in drawn if one.advised]
    assert len(advised) >= 6
    assert all(one.right for one in advised)
    assert sum(one.difference_covered for one in drawn) >= 14
    assert sum(one.masks_covered for one in drawn) >= 14
    assert sum(one.labels_covered for one in drawn) >= 14


def test_the_even_price_lies_where_both_gain_the_same(outcomes: dict[str, list[Outcome]]) -> None:
    priced = [
        one.even_covered for drawn in outcomes.values() for one in drawn if one.even_covered is not None
    ]
    assert len(priced) >= 3
    assert sum(priced) >= 0.6 * len(priced)  # an 80 % interval
