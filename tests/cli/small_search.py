"""A small search with records as workers leave them: five points, and the two best on fresh seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from assay.storage import Result, Store
from assay.storage.plans import write_plan
from assay.storage.search_points import with_points, write_points
from assay.study import Plan, Point, Trial
from assay.study.search.points import make_point
from tests.cli.small_study import STUDY, finished
from trainables.plugins.catalogue import find_trainable

__all__ = ["DRAWN", "SEARCH", "Drawn", "draw", "score_new", "write_search"]

SEARCH = (
    STUDY.partition("factors:")[0].replace("study: small", "study: hunt")
    + """\
search: {sampler: tpe, points: 5, batch: 5, objective: {max: validation.image_ap}}
space:
  config.lr: {float: [0.01, 1.0], log: true}
  config.balance: {choice: [none, power]}
  config.balance_power: {float: [0.5, 4.0], when: {config.balance: power}}
replicate: {best: 2, seeds: [7, 8]}
repeats: {seeds: [0, 1]}
metrics: {primary: image_ap, report: [fp]}
"""
)
Drawn = Sequence[tuple[float, str, float | None]]  # lr, balance, balance_power
DRAWN: Drawn = [
    (0.1, "none", None),
    (0.02, "power", 2.5),
    (0.3, "power", 1.5),
    (0.05, "none", None),
    (0.8, "none", None),
]


def write_search(store: Store, plan: Plan) -> None:
    """The search, when it is over."""
    write_plan(store, plan)
    draw(store, plan, DRAWN)
    score_new(store, plan)  # now there are winners


def draw(store: Store, plan: Plan, drawn: Drawn, score: Callable[[Store, Plan], None] | None = None) -> None:
    """Points of these values, and a record of each of their trials."""
    (cell,) = plan.searched
    points: list[Point] = []
    for index, (lr, balance, power) in enumerate(drawn):
        values = {"config.lr": lr, "config.balance": balance, "config.balance_power": power}
        kept = {path: value for path, value in values.items() if value is not None}
        segdec = find_trainable("segdec")
        points.append(make_point(plan.study, segdec, cell, "cpu", index=index, source="tpe", values=kept))
    write_points(store, plan, points)
    (score or score_new)(store, plan)


def score_new(store: Store, plan: Plan) -> None:
    """A record of each trial that has none."""
    trials = with_points(plan, store).trials
    known = store.records(trial.id for trial in trials)
    for trial in trials:
        if trial.id not in known:
            _score(store, trial)


def _score(store: Store, trial: Trial) -> None:
    """Validation AP falls with the learning rate; test AP says the opposite."""
    record = finished(trial, store)
    assert record.result is not None
    result = Result.model_validate(
        {
            **record.result.model_dump(),
            "metrics": {"image_ap": trial.config["lr"], "fp": 1.0},
            "validation": {"image_ap": max(0.0, 1 - trial.config["lr"] - 0.001 * trial.seed)},
        }
    )
    store.write_record(record.model_copy(update={"result": result, "study": "hunt"}))
