"""Masks that are enough: where a paired loss against all masks is within what matters."""

from __future__ import annotations

import math

import pytest

from assay.statistics.labels import Enough, enough_masks
from benchmarks.calibration.enough_masks import TRUTHS, simulate, true_masks
from tests.statistics.tables import tidy_table

MASKS = {"n0": 0.0, "n5": 5.0, "n15": 15.0, "all": 40.0}


def enough(cells: dict[str, list[object]], resolve: float = 0.02, **options: object) -> tuple[Enough, ...]:
    folds = int(options.pop("folds", 0))  # type: ignore[call-overload]
    table = tidy_table(cells, folds=folds)
    masks = {name: MASKS[name] for name in cells}
    return enough_masks(table, masks, metric="image_ap", resolve=resolve, **options)  # type: ignore[arg-type]


def line(n0: float, n5: float, n15: float, everything: float) -> dict[str, list[object]]:
    """Three repeats around these scores."""
    around = (-0.001, 0.0, 0.001)
    means = zip(MASKS, (n0, n5, n15, everything), strict=True)
    return {name: [mean + k * (i + 1) for k in around] for i, (name, mean) in enumerate(means)}


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0.90, 0.90, 0.91, 0.91), 0),
        ((0.80, 0.90, 0.91, 0.91), 5),
        ((0.80, 0.84, 0.87, 0.91), round(math.exp(math.log(16) + 0.5 * math.log(41 / 16)) - 1)),
        ((0.90, 0.80, 0.91, 0.91), 14),
    ],
    ids=["without masks", "at a trained number", "between two", "a dip counts"],
)
def test_enough_is_the_number_from_which_on_no_more_is_lost(
    scores: tuple[float, float, float, float], expected: int
) -> None:
    (found,) = enough(line(*scores))
    assert found.masks is not None
    assert abs(found.masks - expected) <= 1
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.masks <= found.high


def test_each_repeat_is_compared_with_its_own_score_with_all_masks() -> None:
    """Repeats lie 0.2 apart and lose the same up to 0.001: the interval stays narrow."""
    cells = {
        name: [v + 0.2 * i for i, v in enumerate(of_cell)]
        for name, of_cell in line(0.3, 0.4, 0.42, 0.44).items()
    }  # type: ignore[operator]
    (found,) = enough(cells)
    assert (found.low, found.high) == pytest.approx((14, 17), abs=2)


def test_all_masks_are_enough_where_splits_have_unequal_numbers_of_them() -> None:
    """17 masks in three splits and 18 in two: "all" are 17.4 on average, which no number of masks is."""
    table = tidy_table({"n5": [0.5, 0.51, 0.52], "n15": [0.6, 0.61, 0.63], "all": [0.9, 0.93, 0.91]})
    masks = {"n5": 5.0, "n15": 15.0, "all": 17.4}
    (found,) = enough_masks(table, masks, metric="image_ap", resolve=0.01)
    assert (found.masks, found.low, found.high, found.all_masks) == (17, 17, 17, 17)


@pytest.mark.parametrize(
    ("cells", "masks", "note"),
    [
        (
            {name: of_cell[:2] for name, of_cell in line(0.8, 0.84, 0.87, 0.91).items()},
            25,
            "2 repeats: no interval",
        ),
        ({name: [MASKS[name] / 100] * 4 for name in MASKS}, 38, "no spread seen at n0, n5, n15: no interval"),
        ({name: [None] * 3 for name in MASKS}, None, "no repeat has a value in every cell"),
    ],
    ids=["two repeats", "no spread", "nothing"],
)
def test_without_an_interval_a_sentence_says_why(
    cells: dict[str, list[object]], masks: int | None, note: str
) -> None:
    (found,) = enough(cells)
    assert (found.low, found.high, found.note) == (None, None, note)
    assert found.masks == masks if masks is None else abs((found.masks or 0) - masks) <= 1


def test_a_repeat_counts_where_every_cell_has_a_value() -> None:
    cells = line(0.8, 0.84, 0.87, 0.91)
    cells["n5"][1] = "diverged"
    (found,) = enough({name: [*of_cell, of_cell[0]] for name, of_cell in cells.items()})
    assert (found.n, found.n_planned) == (3, 4)
    assert found.note == "1 diverged and left out"


def test_each_claim_has_its_answer() -> None:
    cells = {name: [[v, v, v] for v in of_cell] for name, of_cell in line(0.8, 0.84, 0.87, 0.91).items()}
    assert [one.claim for one in enough(cells, folds=3)] == ["these folds", "new data"]  # type: ignore[arg-type]


@pytest.mark.parametrize("curve", TRUTHS)
def test_the_interval_holds_the_truth(curve: str) -> None:
    """At five repeats; of 1,000 draws at least 97 % held it."""
    found = [simulate(curve, 5, draw) for draw in range(60)]
    held = [
        one.low is not None and one.high is not None and one.low <= true_masks(curve) <= one.high
        for one in found
    ]
    assert sum(held) >= 54
