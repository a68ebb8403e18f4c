"""The small search with two objectives: five points, of which three are the front, two on fresh seeds."""

from __future__ import annotations

from assay.storage import Result, Store
from assay.storage.plans import write_plan
from assay.storage.search_points import with_points
from assay.study import Plan
from tests.cli.small_search import DRAWN, SEARCH, draw
from tests.cli.small_study import finished

__all__ = ["FRONT", "write_front"]

FRONT = SEARCH.replace(
    "objective: {max: validation.image_ap}",
    "objective: [{max: validation.image_ap}, {min: latency_ms}]",
).replace("best: 2, seeds: [7, 8]", "best: 2, seeds: [7, 8, 9]")
# Of each learning rate: validation AP and ms in the search, test AP and ms on fresh seeds.
_WORTH = {
    0.1: (0.9, 20.0, 0.80, 21.0),
    0.02: (0.7, 5.0, 0.85, 5.5),
    0.3: (0.6, 9.0, 0.6, 9.0),  # beaten by 0.02
    0.05: (0.8, 10.0, 0.7, 10.0),
    0.8: (0.5, 6.0, 0.5, 6.0),  # beaten by 0.02
}


def _score(store: Store, plan: Plan) -> None:
    """A record of each trial that has none; seeds differ a little."""
    trials = with_points(plan, store).trials
    known = store.records(trial.id for trial in trials)
    for trial in (trial for trial in trials if trial.id not in known):
        record = finished(trial, store)
        assert record.result is not None
        chosen, slow, test, later = _WORTH[trial.config["lr"]]
        fresh = trial.seed >= 7
        aside = 0.001 * (trial.seed - 8) if fresh else 0.0
        metrics = {"image_ap": test + aside, "fp": 1.0}
        seen = {**record.result.model_dump(), "metrics": metrics, "validation": {"image_ap": chosen}}
        timings = {"predict_one": (later + aside if fresh else slow) / 1000, "reference_one": 0.002}
        update = {"result": Result.model_validate(seen), "study": "hunt", "timings": timings}
        store.write_record(record.model_copy(update=update))


def write_front(store: Store, plan: Plan) -> None:
    """The search, when it is over."""
    write_plan(store, plan)
    draw(store, plan, DRAWN, _score)
    _score(store, plan)  # now there are winners
