"""Studies with made-up records: a plan as the program makes it, scores as a formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from assay.analysis.results.search_results import results_of_records
from assay.analysis.scores.score_analysis import ScoreAnalysis
from assay.report.page.markdown import markdown_page
from assay.report.page.model import Page
from assay.report.pages import study_page
from assay.storage import DamagedRecord, Environment, Record, Result, Store
from assay.study import Plan, Trial, parse_study, plan_study
from trainables.evaluation.evaluate import ChosenThresholds
from trainables.evaluation.metrics import Metric

START = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)

STUDY = """
study: additions
question: Which addition pays?
trainable: segdec
data: {reader: synthetic, splits: per_seed}
config: {preset: ksdd, image_size: [128, 64]}
factors:
  supervision: {full: {supervision: full}, few: {supervision: {mixed: 5}}}
  stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}
design: {full: all}
comparisons: [{factor: stop}, {factor: supervision, from: few, to: full}]
repeats: {seeds: [0, 1, 2]}
metrics: {primary: image_ap, report: [fp, pixel_iou]}
"""


def page_of(plan: Plan, records: Mapping[str, Record], problems: Sequence[DamagedRecord] = ()) -> Page:
    """The report of a study."""
    return study_page(results_of_records(plan, records, tuple(problems)))


def markdown_of(plan: Plan, records: Mapping[str, Record], problems: Sequence[DamagedRecord] = ()) -> str:
    """The report of a study as Markdown without pictures."""
    return markdown_page(page_of(plan, records, problems))


def numbers_of(analysis: ScoreAnalysis, metrics: Sequence[Metric]) -> tuple[object, ...]:
    """All groups of an analysis, for comparing two."""
    groups = (analysis.comparisons, analysis.main_effects, analysis.interactions, analysis.further)
    return (*groups, analysis.best, *(analysis.intervals(metric.name) for metric in metrics))


def make_plan(text: str = STUDY) -> Plan:
    """The plan of a study text, without data."""
    return plan_study(parse_study(text, "made.yaml"), None, "cpu")


def score(trial: Trial) -> dict[str, float]:
    """Scores that differ in every trial: 0.8 + 0.05 for each level after the first + 0.01 per seed."""
    gain = 0.05 * (trial.levels.get("stop") == "on") + 0.02 * (trial.levels.get("supervision") == "full")
    ap = 0.8 + gain + 0.01 * trial.seed + 0.002 * (trial.fold or 0)
    return {"image_ap": ap, "fp": 3.0 + trial.seed, "fn": 1.0, "pixel_iou": ap / 2}


def make_record(
    trial: Trial, scores: Callable[[Trial], Mapping[str, float]] = score, **changes: object
) -> Record:
    """A finished record of a trial."""
    metrics = dict(scores(trial))
    result = Result(
        metrics=metrics,
        validation={name: value + 0.001 for name, value in metrics.items()},
        thresholds=ChosenThresholds(
            image=0.4, image_source="validation F1", pixel=0.5, pixel_source="validation IoU"
        ),
        epochs=3,
        weights_hash=trial.id,
        n_train=100,
        n_positives=40,
        n_masks=40,
        n_validation=20,
        n_test=60,
    )
    values = {
        "status": "finished",
        "result": result,
        "timings": {"train": 12.5},
        "environment": Environment(node="n1", host="h", pid=7, commit="abc", versions={"torch": "2.13.0"}),
        "attempt": "001-aa",
        "started": START,
        "ended": START + timedelta(seconds=30),
        **changes,
    }
    return Record(id=trial.id, trial=trial.model_dump(mode="json"), study="additions", **values)  # type: ignore[arg-type]


def lose(trial: Trial, status: str, reason: str | None = None) -> Record:
    """The record of a trial that has no result."""
    return make_record(trial, status=status, reason=reason, result=None)


def make_records(plan: Plan) -> dict[str, Record]:
    """A finished record for every trial."""
    return {trial.id: make_record(trial) for trial in plan.trials}


def with_predictions(store: Store, record: Record, seed: int, shift: float = 1.5) -> Record:
    """The record, naming predictions of 20 items with two images each that are on the storage."""
    from trainables.evaluation.evaluate import PREDICTIONS_SCHEMA  # imports torch: only where it is asked for

    rng = np.random.default_rng(seed)
    item = np.repeat(np.arange(20), 2)
    label = item % 3 == 0
    score = 1 / (1 + np.exp(-(rng.normal(0, 1, 40) + shift * label)))
    columns = {
        "sample": [f"{i}-{k}" for k, i in enumerate(item)],
        "item": [str(i) for i in item],
        "label": label,
        "score": score,
        "decision": score > 0.5,
    }
    empty = {name: [None] * 40 for name in PREDICTIONS_SCHEMA.names if name not in columns}
    table, name = (
        pa.table(columns | empty, schema=PREDICTIONS_SCHEMA),
        f"{record.attempt}/predictions.parquet",
    )
    content_hash = store.write_table(f"{store.trial(record.id)}/{name}", table)
    return record.model_copy(update={"files": {name: content_hash}})


def moved(record: Record, metric: str, by: float) -> Record:
    """The record with another value of a metric."""
    assert record.result is not None
    metrics = {**record.result.metrics, metric: record.result.metrics[metric] + by}
    return record.model_copy(update={"result": record.result.model_copy(update={"metrics": metrics})})


def uneven(trial: Trial) -> dict[str, float]:
    """Scores without a pattern that the statistics could mistake for no spread."""
    rng = np.random.default_rng([trial.seed, trial.fold or 0, *map(len, trial.levels.values())])
    ap = 0.7 + 0.03 * (trial.levels["stop"] == "on") + 0.02 * float(rng.standard_normal())
    return {"image_ap": ap, "fp": float(rng.integers(1, 9)), "fn": 1.0, "pixel_iou": ap / 2}
