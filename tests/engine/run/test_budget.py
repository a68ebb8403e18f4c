"""A budget ends a study where all cells have the same seeds."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from assay.engine.durations import cell_seconds
from assay.engine.order import TimeBudget, budget_batches
from assay.study import parse_study, plan_study
from tests.analysis.made_studies import START, make_plan, make_record
from trainables.errors import InputError

CELLS = ("a", "b")


def _trials(seeds: int) -> list[Any]:
    return [SimpleNamespace(id=f"{c}{s}", cell=c, seed=s) for s in range(seeds) for c in CELLS]


class _Cluster:
    """Trains what it is handed, one batch after the other, and counts the time."""

    def __init__(self, costs: dict[str, float], known: bool = False) -> None:
        self.costs, self.now, self.trained = costs, 0.0, list[str]()
        self.known = dict(costs) if known else {}
        self.in_flight: set[str] = set()
        self.said: list[str] = []

    def run(self, seconds: float, seeds: int = 5) -> list[str]:
        budget = TimeBudget(seconds, slots=lambda: 1, size="auto", clock=lambda: self.now)
        for batch in budget_batches(
            _trials(seeds), budget, lambda: self.known, self.in_flight, self.said.append
        ):
            assert batch is not None, "one batch at a time: nothing trains meanwhile"
            for trial in batch:
                self.now += self.costs[trial.cell]
                self.known[trial.cell] = self.costs[trial.cell]
                self.trained.append(trial.id)
        return self.trained


def test_only_whole_rounds_are_trained() -> None:
    cluster = _Cluster({"a": 10.0, "b": 30.0})
    assert cluster.run(seconds=100) == ["a0", "b0", "a1", "b1"]
    (said,) = cluster.said
    assert "seed 2, 3, 4" in said


def test_a_study_that_fits_is_trained_whole() -> None:
    cluster = _Cluster({"a": 10.0, "b": 30.0})
    assert len(cluster.run(seconds=200)) == 10
    assert cluster.said == []


@pytest.mark.parametrize(
    ("known", "trained"),
    [(False, ["a0", "b0"]), (True, [])],
    ids=["unknown: the first round is trained", "known not to fit: it is not begun"],
)
def test_a_round_of_unknown_time_is_trained_whatever_it_takes(known: bool, trained: list[str]) -> None:
    assert _Cluster({"a": 10.0, "b": 30.0}, known=known).run(seconds=1) == trained


def test_the_next_round_waits_until_it_is_known_what_one_takes() -> None:
    budget = TimeBudget(100, slots=lambda: 2, size="auto", clock=lambda: 0.0)
    known: dict[str, float] = {}
    in_flight: set[str] = set()
    batches = budget_batches(_trials(2), budget, lambda: known, in_flight, lambda text: None)
    first = [next(batches), next(batches)]
    in_flight |= {trial.id for batch in first if batch for trial in batch}
    assert next(batches) is None
    known |= {"a": 1.0, "b": 1.0}
    in_flight.clear()
    assert [trial.id for trial in next(batches) or ()] == ["a1"]


def test_what_still_trains_counts_against_the_budget() -> None:
    budget = TimeBudget(100, slots=lambda: 1, size=2, clock=lambda: 0.0)
    in_flight: set[str] = set()
    known = {"a": 30.0, "b": 30.0}
    batches = budget_batches(_trials(2), budget, lambda: known, in_flight, lambda text: None)
    in_flight |= {trial.id for trial in next(batches) or ()}
    assert in_flight == {"a0", "b0"}
    assert list(batches) == []  # 60 s for these, and 60 s for the next round


def test_what_came_before_a_round_counts_against_the_budget() -> None:
    now, said = [0.0], list[str]()
    budget = TimeBudget(100, slots=lambda: 1, size="auto", clock=lambda: now[0])
    now[0] = 70.0  # of stages that trials share, or of an earlier look
    assert list(budget_batches(_trials(2), budget, lambda: {"a": 10.0, "b": 30.0}, set(), said.append)) == []
    assert "the budget of 1.7 min leaves no room for seed 0, 1" in said[0]
    assert "1.8 min would be over by then" in said[0]


def test_the_last_batches_of_the_look_before_cost_nothing_more() -> None:
    budget = TimeBudget(100, slots=lambda: 1, size="auto", clock=lambda: 0.0)
    known = {"a": 10.0, "b": 30.0}
    batches = budget_batches(_trials(1), budget, lambda: known, {"a trial that has its record"}, print)
    assert [trial.id for batch in batches for trial in batch or ()] == ["a0", "b0"]


def test_records_are_read_again_only_when_a_batch_has_ended() -> None:
    budget = TimeBudget(100, slots=lambda: 2, size="auto", clock=lambda: 0.0)
    looks: list[int] = []
    in_flight: set[str] = set()

    def known() -> dict[str, float]:
        looks.append(len(in_flight))
        return {}

    batches = budget_batches(_trials(2), budget, known, in_flight, print)
    in_flight |= {trial.id for batch in (next(batches), next(batches)) for trial in batch or ()}
    assert [next(batches) for _ in range(5)] == [None] * 5
    in_flight.pop()
    assert next(batches) is None
    assert looks == [0, 2, 1]


def test_a_search_has_a_budget_of_its_own() -> None:
    text = """
study: s
trainable: segdec
data: {reader: synthetic, validation: {share: 0.2, by: item}}
config: {preset: ksdd}
search: {sampler: random, points: 5, seed: 0, objective: {max: validation.image_ap}}
space: {config.lr: {float: [0.001, 0.1], log: true}}
budget: {hours: 8}
"""
    with pytest.raises(InputError, match=r"budget: a search has a budget of its own: `search\.points`"):
        plan_study(parse_study(text, "s"), None, "cpu")


@pytest.mark.parametrize(
    ("timings", "ended", "seconds"),
    [
        ({"data": 1.0, "train": 10.0, "finish": 2.0, "evaluate": 1.5}, 30, 13.0),
        ({"train": 10.0}, -86_400, 10.0),  # the clock was set back meanwhile
        ({"train": 10.0}, 86_400, 10.0),
        ({}, 30, 30.0),  # a record of a version without a stopwatch
        ({}, -5, 0.0),
    ],
)
def test_a_trial_takes_what_its_own_stopwatch_says(
    timings: dict[str, float], ended: float, seconds: float
) -> None:
    trial = make_plan().trials[0]
    record = make_record(trial, timings=timings, ended=START + timedelta(seconds=ended))
    assert cell_seconds([trial], {trial.id: record}) == {trial.cell: seconds}
