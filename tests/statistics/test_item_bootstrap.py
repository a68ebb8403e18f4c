"""Test luck: physical items are resampled, and perfect scores get a sentence instead of a zero."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from assay.statistics.intervals import ItemBootstrap, weighted_ap


def predictions(
    seed: int, items: int = 20, images: int = 4, shift: float = 1.5, trials: tuple[str, ...] = ("t",)
) -> pd.DataFrame:
    """Items with one label each; images of an item share most of their score."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(items) % 3 == 0, images)
    item = np.repeat(np.arange(items), images)
    frames = []
    for trial in trials:
        latent = rng.normal(0, 1, items)[item] + rng.normal(0, 0.5, items * images) + shift * label
        frames.append(
            pd.DataFrame(
                {
                    "trial": trial,
                    "sample": [f"{i}-{k}" for k, i in enumerate(item)],
                    "item": [f"item{i}" for i in item],
                    "label": label,
                    "score": 1 / (1 + np.exp(-latent)),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=30).filter(
        lambda rows: any(label and weight for label, _, weight in rows)
    )
)
def test_weighted_ap_is_that_of_scikit_learn(rows: list[tuple[bool, int, int]]) -> None:
    label, score, weight = (np.array(column) for column in zip(*rows, strict=True))
    found = weighted_ap(label.astype(bool), score / 5, weight[None].astype(float))
    assert found[0] == pytest.approx(average_precision_score(label, score / 5, sample_weight=weight))


def test_a_resample_without_a_defective_image_has_no_ap() -> None:
    found = weighted_ap(np.array([True, False]), np.array([0.9, 0.1]), np.array([[0.0, 1.0], [1.0, 1.0]]))
    assert np.isnan(found[0])
    assert found[1] == 1


def test_the_same_predictions_give_the_same_interval_in_any_order() -> None:
    table = predictions(1)
    one = ItemBootstrap(table).cell(["t"])
    assert one == ItemBootstrap(table.sample(frac=1, random_state=0)).cell(["t"])
    assert one.low is not None
    assert one.high is not None
    assert 0 <= one.low < one.high <= 1


def test_photographs_of_one_item_are_not_several_findings() -> None:
    table = predictions(3, items=15, images=8)
    by_item = ItemBootstrap(table).cell(["t"])
    by_image = ItemBootstrap(table.assign(item=None)).cell(["t"])
    assert by_item.high - by_item.low > 1.3 * (by_image.high - by_image.low)


def test_a_perfect_cell_says_what_it_may_have_missed() -> None:
    table = predictions(1)
    table["score"] = np.where(table["label"], 0.9, 0.1)
    luck = ItemBootstrap(table).cell(["t"])
    assert (luck.low, luck.high) == (None, None)
    assert luck.note == "no error on 7 defective items; at most 35 % missed (95 %)"


@pytest.mark.parametrize(
    ("defective", "bound"),
    # 1 − .05^(1/n) is 31.23, 1.902, 0.994 and 0.3997 %: of 8 items "at most 31 %" would claim too much.
    [(8, "32"), (156, "2"), (300, "1.0"), (748, "0.4")],
)
def test_what_a_perfect_cell_may_have_missed_is_a_bound_and_rounded_up(defective: int, bound: str) -> None:
    labels = [*[True] * defective, False]
    names = [f"i{number}" for number in range(len(labels))]
    scores = [0.9 if label else 0.1 for label in labels]
    table = pd.DataFrame({"trial": "t", "sample": names, "item": names, "label": labels, "score": scores})
    assert f"; at most {bound} % missed" in ItemBootstrap(table).cell(["t"]).note


def test_cells_that_rank_alike_differ_by_no_luck() -> None:
    table = predictions(1)
    other = table.assign(trial="u")
    luck = ItemBootstrap(pd.concat([table, other])).difference(["t"], ["u"])
    assert (luck.low, luck.note) == (None, "no resample changes the difference")


def test_a_difference_shares_its_items_so_it_is_narrower_than_its_cells() -> None:
    table = predictions(1)
    rng = np.random.default_rng(0)
    other = table.assign(trial="u", score=np.clip(table["score"] + rng.normal(0, 0.02, len(table)), 0, 1))
    both = ItemBootstrap(pd.concat([table, other]))
    cell, difference = both.cell(["t"]), both.difference(["u"], ["t"])
    assert difference.high - difference.low < 0.5 * (cell.high - cell.low)


def test_several_repeats_average_the_statistic_under_the_same_weights() -> None:
    trials = ("a", "b", "c", "d")
    table = predictions(4, trials=trials, shift=1.0)
    both = ItemBootstrap(table)
    mean = np.mean([average_precision_score(t["label"], t["score"]) for _, t in table.groupby("trial")])
    luck = both.cell(trials)
    assert luck.low < mean < luck.high
    assert luck.high - luck.low < both.cell(["a"]).high - both.cell(["a"]).low


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda t: t.assign(label=False), "no predictions with both classes"),
        (lambda t: t.assign(trial="other"), "no predictions with both classes"),
        (lambda t: t.iloc[:0], "no predictions with both classes"),
        (
            lambda t: t.assign(label=t["item"] == "item0", score=np.where(t["item"] == "item0", 0.4, 0.5)),
            "one defective item: nothing to resample",
        ),
    ],
)
def test_what_cannot_be_resampled_says_so(change: object, note: str) -> None:
    assert ItemBootstrap(change(predictions(0))).cell(["t"]).note == note  # type: ignore[operator]
