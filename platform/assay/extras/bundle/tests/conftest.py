"""A study of twelve made-up records on a few synthetic images, and its bundle, made once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.analysis.results.reading import read_results
from assay.analysis.summary import write_summary
from assay.extras.bundle.tests.forging import PHOTO
from assay.storage import Record, Store
from assay.storage.plans import write_plan
from assay.storage.preregistration import preregister, record_interim_look
from assay.study import Plan, Trial, parse_study, plan_study
from tests.analysis.made_studies import make_record, with_predictions
from tests.cli.conftest import assay
from tests.conftest import one_thread
from trainables.data import open_manifest

__all__ = ["assay", "bundled", "one_thread"]

STUDY = """\
study: {name}
question: Does the balance pay?
trainable: segdec
data:
  reader: synthetic
  splits: per_seed
  options: {{images: 48, positives: 24, items: 24, size: [32, 32]}}
config: {{preset: ksdd, image_size: [64, 128], channel_scale: 0.125}}
factors:
  balance: {{off: {{config: {{balance: none}}}}, on: {{config: {{balance: linear}}}}}}
design: {{full: all}}
comparisons: [{{factor: balance}}]
repeats: {{seeds: [{seeds}]}}
metrics: {{primary: image_ap, report: [fp, fn]}}
resolve: 0.01
"""


@pytest.fixture(scope="session")
def bundle_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A storage with the study `small`, and `again`, which asks the same of the same data."""
    root = tmp_path_factory.mktemp("bundled")
    store = Store(root / "storage")
    for name, seeds in (("again", "7, 8"), ("small", "0, 1, 2, 3, 4, 5")):
        write(store, STUDY.format(name=name, seeds=seeds), root / "cache")
    return store


def write(store: Store, text: str, cache: Path) -> Plan:
    """Write a study as `assay run` leaves it."""
    study = parse_study(text, "small.yaml")
    plan = plan_study(study, lambda spec: open_manifest(spec, None, cache), "cpu")
    write_plan(store, plan)
    preregister(store, plan)
    for trial in plan.trials:
        store.write_record(_record(store, trial))
    record_interim_look(store, plan)
    write_summary(read_results(store, study.study), store)
    return plan


def _record(store: Store, trial: Trial) -> Record:
    def scores(trial: Trial) -> dict[str, float]:
        gain = 0.1 * (trial.levels["balance"] == "on")
        return {"image_ap": 0.7 + gain + 0.01 * trial.seed, "fp": 1.0, "fn": 2.0}

    record = with_predictions(store, make_record(trial, scores), trial.seed)
    name = f"{record.attempt}/maps.parquet"
    files = {**record.files, name: store.write_bytes(f"{store.trial(trial.id)}/{name}", PHOTO)}
    return record.model_copy(update={"files": files})


@pytest.fixture(scope="session")
def bundled(bundle_store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the bundle of `small`."""
    from assay.extras.bundle.write import bundle_files

    cache = tmp_path_factory.mktemp("cache")
    return bundle_files(bundle_store, "small", lambda spec: open_manifest(spec, None, cache))
