"""A search of thousands of points that were never trained: real plan, points and records, made-up values."""

from __future__ import annotations

import math

import numpy as np

from assay.storage import Store
from assay.storage.plans import write_plan
from assay.storage.search_points import with_points, write_points
from assay.study import Plan, parse_study, plan_study
from assay.study.search.points import make_point
from assay.study.search.space import draw
from assay.study.search.spec import Choice, IntRange, Parameter, Scalar
from tests.analysis.made_studies import make_record
from trainables.plugins.catalogue import find_trainable

__all__ = ["make_large_search", "make_started_search"]

_SEARCH = """
study: {name}
question: How does a page hold thousands of points?
trainable: segdec
data: {{reader: synthetic, splits: published, validation: {{share: 0.2, by: item}}}}
config: {{preset: ksdd, image_size: [128, 64]}}
search: {{sampler: random, points: {points}, objective: {{max: validation.image_ap}}}}
space:
  config.lr: {{float: [0.01, 1.0], log: true}}
  config.w_pos: {{float: [0.5, 5.0]}}
  config.p: {{float: [0.5, 4.0]}}
  config.delta: {{float: [0.01, 1.0], log: true}}
  config.batch_size: {{int: [1, 8]}}
  config.epochs: {{int: [10, 100]}}
  config.balance: {{choice: [none, linear]}}
repeats: {{seeds: [0]}}
metrics: {{primary: image_ap}}
"""


def make_large_search(store: Store, name: str, points: int = 10_000) -> Plan:
    """A search whose points all have a record, without files; seven parameters, of which ``lr`` matters.

    Args:
        store: A local one.
        name: Of the study.
        points: How many are drawn.

    Returns:
        Its plan, with the points.
    """
    plan = plan_study(parse_study(_SEARCH.format(name=name, points=points), f"{name}.yaml"), None, "cpu")
    assert store.local_path is not None, "records are written straight into their places"
    (searched,), method, rng = plan.searched, find_trainable("segdec"), np.random.default_rng(0)
    drawn = [
        make_point(
            plan.study, method, searched, "cpu", index=index, source="random",
            values=draw(plan.study.space, lambda _, rule: _by_chance(rule, rng)),
        )
        for index in range(points)
    ]  # fmt: skip
    write_plan(store, plan)
    write_points(store, plan, drawn)
    grown = plan.with_points(drawn)
    for trial in grown.trials:
        far = abs(math.log10(float(trial.config["lr"])) + 1)
        value = float(np.clip(0.9 - 0.2 * far + 0.03 * rng.standard_normal(), 0, 1))
        record = make_record(trial, lambda _, value=value: {"image_ap": value})
        folder = store.local_path / store.trial(trial.id)
        folder.mkdir(parents=True)
        (folder / "record.json").write_bytes(record.model_copy(update={"study": name}).file_bytes())
    return grown


def make_started_search(store: Store, *, gain: float) -> Plan:
    """A search that is over: its start, and its winner, whose ``gain`` on six fresh seeds differs by 0.02."""
    text = _SEARCH.format(name="started", points=3).replace("seeds: [0]", "seeds: [0, 1, 2]")
    text += "start: [{config.lr: 0.1}]\nreplicate: {best: 1, start: true, seeds: [7, 8, 9, 10, 11, 12]}\n"
    plan = plan_study(parse_study(text, "started.yaml"), None, "cpu")
    (searched,), method, rng = plan.searched, find_trainable("segdec"), np.random.default_rng(0)
    drawn = [
        make_point(
            plan.study, method, searched, "cpu", index=index, source=source,
            values={**draw(plan.study.space, lambda _, rule: _by_chance(rule, rng)), "config.lr": lr},
        )
        for index, (source, lr) in enumerate([("given", 0.1), ("random", 0.2), ("random", 0.3)])
    ]  # fmt: skip
    write_plan(store, plan)
    write_points(store, plan, drawn)
    while missing := [t for t in with_points(plan, store).trials if not store.records([t.id])]:
        for trial in missing:
            won = (0.1 if trial.seed < 3 else gain + 0.01 * (-1) ** trial.seed) * (trial.config["lr"] == 0.2)
            value = 0.7 + won + 0.002 * trial.seed
            store.write_record(make_record(trial, lambda _, value=value: {"image_ap": value}))
    return with_points(plan, store)


def _by_chance(rule: Parameter, rng: np.random.Generator) -> Scalar:
    if isinstance(rule, Choice):
        return rule.choice[int(rng.integers(len(rule.choice)))]
    low, high = rule.bounds
    if isinstance(rule, IntRange):
        return int(rng.integers(low, high + 1))
    if rule.log:
        return math.exp(rng.uniform(math.log(low), math.log(high)))
    return float(rng.uniform(low, high))
