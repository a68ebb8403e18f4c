"""Seeds × folds: what each claim averages over, and Nadeau–Bengio's t by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from assay.statistics.contrasts import comparison
from assay.statistics.families import Rules, compare
from assay.statistics.paired import exact_p, rounded
from tests.statistics.tables import tidy_table

ASK = [comparison("x: b → a", "b", "a")]
OWN = Rules(splits="per_seed")
RNG = np.random.default_rng(5)
BASE = RNG.normal(0.6, 0.03, (6, 3))  # seeds × folds
GAIN = RNG.normal(0.02, 0.02, (6, 3))


def nadeau_bengio(d: np.ndarray, ratio: float, df: int) -> tuple[float, float, float]:
    se = np.sqrt((1 / d.size + ratio) * np.var(d, ddof=1))
    half = stats.t.ppf(0.975, df) * se
    return d.mean() - half, d.mean() + half, 2 * stats.t.sf(abs(d.mean()) / se, df)


def test_one_split_makes_the_claim_this_split() -> None:
    (answer,) = compare(tidy_table({"b": BASE[:, 0], "a": BASE[:, 0] + GAIN[:, 0]}), ASK, metric="image_ap")
    assert (answer.claim, answer.n) == ("this split", 6)


def test_prescribed_folds_make_two_claims_the_narrower_first() -> None:
    table = tidy_table({"b": BASE, "a": BASE + GAIN}, folds=3)
    these, new = compare(table, ASK, metric="image_ap")
    by_seed, by_fold = rounded(GAIN.mean(axis=1)), GAIN.mean(axis=0)
    assert (these.claim, these.n, these.p) == ("these folds", 6, exact_p(by_seed))
    assert these.differences == pytest.approx(by_seed)
    assert these.units == tuple(f"seed {seed}" for seed in range(6))
    low, high, p = nadeau_bengio(by_fold, 1 / 2, 2)
    assert (new.claim, new.n, new.p_min, new.test) == ("new data", 3, None, "Nadeau–Bengio t")
    assert new.units == ("fold 0", "fold 1", "fold 2")
    assert (new.low, new.high, new.p) == pytest.approx((low, high, p))


def test_what_a_seed_moves_in_all_folds_at_once_widens_the_claim_new_data() -> None:
    of_seed = np.array([0.06, -0.05, 0.03, 0.01, -0.02, 0.05])
    gain = GAIN + of_seed[:, None]
    _, new = compare(tidy_table({"b": BASE, "a": BASE + gain}, folds=3), ASK, metric="image_ap")
    # The sums of squares of a two-way layout, as a table of variance components has them.
    grand, of_seeds, of_folds = gain.mean(), gain.mean(axis=1), gain.mean(axis=0)
    ms_seeds = 3 * np.sum((of_seeds - grand) ** 2) / 5
    ms_folds = 6 * np.sum((of_folds - grand) ** 2) / 2
    total = np.sum((gain - grand) ** 2)
    ms_rest = (total - 5 * ms_seeds - 2 * ms_folds) / 10
    parts = [((1 / 3 + 1 / 2) / 6 * ms_folds, 2), (ms_seeds / 18, 5), (-ms_rest / 18, 10)]
    variance = sum(part for part, _ in parts)
    df = variance**2 / sum(part**2 / n for part, n in parts)
    half = stats.t.ppf(0.975, df) * np.sqrt(variance)
    assert (new.low, new.high) == pytest.approx((grand - half, grand + half))
    assert new.p == pytest.approx(2 * stats.t.sf(grand / np.sqrt(variance), df))


@pytest.mark.parametrize("seeds", [1, 6])
def test_seeds_that_move_the_folds_no_more_than_chance_change_nothing(seeds: int) -> None:
    gain = GAIN - GAIN.mean(axis=1)[:, None] + 0.02 * np.array([0.9, 1.0, 1.1])
    gain = gain[:seeds]
    _, new = compare(
        tidy_table({"b": BASE[:seeds], "a": BASE[:seeds] + gain}, folds=3), ASK, metric="image_ap"
    )
    low, high, p = nadeau_bengio(gain.mean(axis=0), 1 / 2, 2)
    assert (new.low, new.high, new.p) == pytest.approx((low, high, p))


@pytest.mark.parametrize(("size", "reached"), [(3.90, False), (3.96, True)])
def test_three_folds_need_a_difference_of_four_sd_of_their_means(size: float, reached: bool) -> None:
    gain = 0.01 * (np.array([-1, 0, 1.0]) + size)  # the means of the folds have sd 1
    table = tidy_table({"b": BASE[:3], "a": BASE[:3] + gain}, folds=3)
    assert (compare(table, ASK, metric="image_ap")[1].p <= 0.05) is reached


def test_own_splits_make_the_claim_this_data_whose_units_are_seeds() -> None:
    table = tidy_table({"b": BASE[:, 0], "a": BASE[:, 0] + GAIN[:, 0]})
    this, _ = compare(table, ASK, metric="image_ap", rules=OWN)
    d = rounded(GAIN[:, 0])
    half = stats.t.ppf(0.975, 5) * np.std(d, ddof=1) / np.sqrt(6)
    assert (this.claim, this.n, this.p) == ("this data", 6, exact_p(d))
    assert (this.low, this.high) == pytest.approx((d.mean() - half, d.mean() + half))


def test_of_own_partitions_into_folds_this_data_takes_the_mean_of_each_seed() -> None:
    table = tidy_table({"b": BASE, "a": BASE + GAIN}, folds=3)
    this, _ = compare(table, ASK, metric="image_ap", rules=OWN)
    assert this.units == tuple(f"seed {seed}" for seed in range(6))
    assert this.differences == pytest.approx(rounded(GAIN.mean(axis=1)))


def test_own_splits_make_the_claim_new_data_with_the_sizes_of_the_parts() -> None:
    table = tidy_table({"b": BASE[:, 0], "a": BASE[:, 0] + GAIN[:, 0]})
    _, answer = compare(table, ASK, metric="image_ap", rules=OWN)
    low, high, p = nadeau_bengio(GAIN[:, 0], 50 / 100, 5)
    assert (answer.claim, answer.n) == ("new data", 6)
    assert (answer.low, answer.high, answer.p) == pytest.approx((low, high, p))
    assert answer.more is None or answer.more.half_width > 0


def test_new_data_takes_the_sizes_of_the_compared_parts_whatever_other_cells_have() -> None:
    cells = {"b": BASE[:, 0], "a": BASE[:, 0] + GAIN[:, 0]}
    compared, beside = tidy_table(cells), tidy_table({"c": BASE[:, 1]}, n_train=40)
    alone = compare(compared, ASK, metric="image_ap", rules=OWN)
    with_another = compare(pd.concat([compared, beside]), ASK, metric="image_ap", rules=OWN)
    assert with_another == alone


def test_new_data_takes_the_sizes_of_the_common_repeats() -> None:
    base = tidy_table({"b": BASE[:, 0]})
    base.loc[base["seed"] == 0, "n_train"] = 10
    gained = tidy_table({"a": [None, *(BASE[1:, 0] + GAIN[1:, 0])]})
    _, answer = compare(pd.concat([base, gained]), ASK, metric="image_ap", rules=OWN)
    assert (answer.low, answer.high, answer.p) == pytest.approx(nadeau_bengio(GAIN[1:, 0], 50 / 100, 4))


def test_where_everything_diverged_new_data_has_no_sizes_and_needs_none() -> None:
    table = tidy_table({"b": ["diverged"] * 6, "a": ["diverged"] * 6}, n_train=None, n_test=None)
    assert [each.verdict for each in compare(table, ASK, metric="image_ap", rules=OWN)] == [
        "too few", "too few",
    ]  # fmt: skip


def test_own_partitions_into_folds_have_a_degree_less_for_each_side() -> None:
    table = tidy_table({"b": BASE, "a": BASE + GAIN}, folds=3)
    _, answer = compare(table, ASK, metric="image_ap", rules=OWN)
    low, high, p = nadeau_bengio(GAIN, 1 / 2, 6 + 3 - 2)
    assert answer.n == 18
    assert (answer.units[1], len(answer.units)) == ("seed 0 fold 1", 18)
    assert (answer.low, answer.high, answer.p) == pytest.approx((low, high, p))


@pytest.mark.parametrize("folds", [2, 3])
def test_below_three_units_there_is_no_interval_for_new_data(folds: int) -> None:
    table = tidy_table({"b": BASE[:, :folds], "a": (BASE + GAIN)[:, :folds]}, folds=folds)
    new = compare(table, ASK, metric="image_ap")[1]
    assert (new.verdict == "too few") is (folds < 3)
    assert (new.low is None) is (folds < 3)


def test_more_seeds_do_not_settle_what_three_folds_leave_open() -> None:
    noise = GAIN - GAIN.mean() + 0.001
    these, new = compare(tidy_table({"b": BASE, "a": BASE + noise}, folds=3), ASK, metric="image_ap")
    assert (these.verdict, new.verdict) == ("open", "open")
    assert these.more is not None
    assert new.more is None


def test_a_seed_that_lost_a_fold_is_no_seed_of_these_folds_but_counts_in_the_others() -> None:
    gained = (BASE + GAIN).tolist()
    gained[2][1] = None
    these, new = compare(tidy_table({"b": BASE, "a": gained}, folds=3), ASK, metric="image_ap")
    assert (these.n, these.n_planned) == (5, 6)
    assert these.units == ("seed 0", "seed 1", "seed 3", "seed 4", "seed 5")
    assert new.n == 3
    middle = np.delete(GAIN[:, 1], 2).mean()
    assert new.differences == pytest.approx([GAIN[:, 0].mean(), middle, GAIN[:, 2].mean()])


def test_new_data_without_the_sizes_of_the_parts_is_refused() -> None:
    table = tidy_table({"b": BASE[:, 0], "a": BASE[:, 1]}, n_train=None)
    with pytest.raises(ValueError, match="needs n_train and n_test"):
        compare(table, ASK, metric="image_ap", rules=OWN)


def test_without_spread_the_smallest_step_stands_in_for_new_data_too() -> None:
    table = tidy_table({"b": BASE[:, 0], "a": BASE[:, 0] + 0.02})
    _, answer = compare(table, ASK, metric="image_ap", rules=Rules(splits="per_seed", resolution=1 / 17))
    half = stats.t.ppf(0.975, 5) / 17 * np.sqrt(1 / 6 + 0.5)
    assert (answer.low, answer.high) == pytest.approx((0.02 - half, 0.02 + half))
    assert answer.verdict == "open"
    assert answer.p > 0.05


def test_cells_on_data_with_other_splits_make_their_own_claims_and_families() -> None:
    by_fold = tidy_table({"b": BASE, "a": BASE + GAIN}, folds=3)
    by_seed = tidy_table({"d": BASE[:, 0], "c": BASE[:, 0] + GAIN[:, 0]})
    splits = {"a": "prescribed", "b": "prescribed", "c": "per_seed", "d": "per_seed"}
    asked = [*ASK, comparison("x: d → c", "d", "c")]
    answers = compare(pd.concat([by_fold, by_seed]), asked, metric="image_ap", rules=Rules(splits=splits))
    assert [(one.comparison[-1], one.claim, one.m, one.n) for one in answers] == [
        ("a", "these folds", 1, 6),
        ("c", "this data", 1, 6),
        ("a", "new data", 2, 3),
        ("c", "new data", 2, 6),
    ]
