"""Stages: made once for all trials that share them, kept whole or not at all, found without a trace."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.analysis.results.watch import Watch
from assay.engine.errors import DiedError
from assay.engine.retries import MAX_ATTEMPTS
from assay.engine.trial_batch import StageTask
from assay.engine.worker.train_trials import train_trials
from assay.engine.worker.worker import BatchWorker
from assay.storage.check.retention import clean_plan, free
from assay.storage.lease import Lease, request_stop
from assay.storage.stage_store import StageRecord, made_stages, read_stage
from assay.storage.store import DamagedFileError
from assay.study.planning.stage_graph import stage_graph
from tests.engine.made_batches import make_batch
from tests.engine.run.killing import EPOCHS, in_the_middle, kill_first
from tests.engine.staged_study import STAGED, StagedStudy
from tests.engine.worker.two_workers import fail_in_a_stage
from tests.helpers.ranks import two_ranks
from trainables.contract import LocalRun
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.spec import Supervision
from trainables.plugins.catalogue import find_trainable


@pytest.fixture
def study(tmp_path: Path, cache_root: Path) -> StagedStudy:
    return StagedStudy.of(tmp_path / "storage", cache_root, seeds=(0,))


def records_of(study: StagedStudy) -> dict[str, StageRecord]:
    """Stages that are made, by key."""
    return made_stages(study.store, stage_graph(study.plan.trials))


def all_stages(study: StagedStudy) -> list[StageTask]:
    return [task for batch in study.stages() for task in batch]


def test_shared_stages_are_made_first_and_found_by_every_trial(study: StagedStudy) -> None:
    study.train(stages=all_stages(study))
    made = records_of(study)
    assert sorted(record.name for record in made.values()) == ["base", "maps", "maps"]
    study.train(study.plan.trials)
    assert {use.reused for record in study.records().values() for use in record.stages} == {True}
    assert records_of(study) == made, "a stage was made again"
    assert study.stages() == []


def test_a_stage_that_is_made_leaves_no_trial_that_seems_to_run(study: StagedStudy) -> None:
    with Lease(study.store, study.plan.study.study):
        study.train(stages=all_stages(study))
        assert Watch(study.store, study.plan).take_snapshot().running == ()


def test_the_log_of_a_stage_that_is_stopped_says_so_without_a_traceback(study: StagedStudy) -> None:
    request_stop(study.store, "trial", all_stages(study)[0].trial.id)
    study.train(stages=all_stages(study)[:1])
    (log,) = (study.storage / "stages").rglob("log.txt")
    assert log.read_text().endswith("  stopped on request\n")


def test_a_trial_makes_what_it_lacks_and_the_next_one_finds_it(study: StagedStudy) -> None:
    study.train(study.plan.trials)
    found = [[use.reused for use in study.records()[trial.id].stages] for trial in study.plan.trials]
    assert found == [[False, False], [True, True], [True, False], [True, True]]


def test_a_stage_that_was_found_shifts_no_later_random_number(
    study: StagedStudy, tmp_path: Path, cache_root: Path
) -> None:
    study.train(stages=all_stages(study))
    study.train(study.plan.trials)
    alone = StagedStudy.of(tmp_path / "alone", cache_root, seeds=(0,))
    for trial in reversed(alone.plan.trials):
        alone.train([trial])
        alone.store.delete_tree("stages")
    assert alone.results() == study.results()


def test_a_local_run_ends_with_the_same_model(study: StagedStudy) -> None:
    """In a notebook, without storage: stages are made anew, from the same random numbers."""
    images = {str(i): np.full((32, 32, 1), 10 * i, np.uint8) for i in range(8)}
    labels = np.arange(8) % 2 == 0
    data = TrainingData(ImageSet(tuple(images), labels, images), None, Supervision(kind="weak"))
    staged = find_trainable("staged")
    fits = [staged.fit(staged.Config(base=0.2), data, LocalRun(seed=seed)).weight for seed in (0, 0, 1)]
    assert abs(fits[0] - fits[1]) < 2e-3 < abs(fits[0] - fits[2])  # the last step draws from torch itself


def test_the_price_of_a_stage_counts_for_every_trial_that_used_it(tmp_path: Path, cache_root: Path) -> None:
    study = StagedStudy.of(tmp_path, cache_root, seeds=(0,), seconds=0.2)
    study.train(stages=all_stages(study))
    study.train(study.plan.trials)
    for record in study.records().values():
        own = sum(record.timings[part] for part in ("data", "train", "finish"))
        assert {use.reused for use in record.stages} == {True}, "no part of its own holds the price"
        assert record.seconds - own >= 0.6


def test_an_epoch_takes_no_time_of_stages_that_the_trial_made(tmp_path: Path, cache_root: Path) -> None:
    study = StagedStudy.of(tmp_path, cache_root, seeds=(0,), seconds=0.5)
    (trial, *_) = study.plan.trials
    study.train([trial])
    record = study.records()[trial.id]
    assert record.stages[0].seconds >= 1.5
    curve = study.store.read_part(record, "curve.parquet")
    assert curve is not None
    assert sum(curve["seconds"].to_pylist()) < 0.5


def test_a_stage_is_there_with_its_record_or_not_at_all(study: StagedStudy) -> None:
    (base, *_) = all_stages(study)
    study.store.write_bytes(f"stages/{base.id}/001-deadbeef/base.safetensors", b"half")
    assert read_stage(study.store, base.id) is None
    study.store.write_bytes(f"stages/{base.id}/done.json", b'{"key": "')
    assert read_stage(study.store, base.id) is None
    study.train(study.plan.trials)
    record = read_stage(study.store, base.id)
    assert record is not None
    assert sorted(record.files) == ["base.safetensors", "curve.parquet"]
    assert len(study.records()) == 4


def test_a_damaged_stage_is_named_with_what_to_do(study: StagedStudy) -> None:
    study.train(stages=all_stages(study))
    (base, *_) = [record for record in records_of(study).values() if record.name == "base"]
    study.store.write_bytes(f"stages/{base.key}/{base.attempt}/base.safetensors", b"other")
    with pytest.raises(DamagedFileError, match=f"Remove stages/{base.key} from"):
        study.train(study.plan.trials[:1])


def test_a_stage_that_diverges_is_the_record_of_every_trial_that_needs_it(
    tmp_path: Path, cache_root: Path
) -> None:
    text = STAGED.replace("seconds: {seconds}", "seconds: {seconds}, fault: diverge")
    study = StagedStudy.of(tmp_path, cache_root, seeds=(0,), text=text)
    (base, *_) = all_stages(study)
    study.train(stages=all_stages(study))
    attempts = [name for name in study.store.list(f"stages/{base.id}") if name.endswith("/")]
    logs = [study.store.read_bytes(f"stages/{base.id}/{attempt}log.txt").decode() for attempt in attempts]
    assert logs
    assert all("the base is not a number" in log for log in logs)
    study.train(study.plan.trials)
    assert {record.status for record in study.records().values()} == {"diverged"}
    assert all("the base is not a number" in (record.reason or "") for record in study.records().values())


def test_a_stage_whose_training_dies_is_tried_as_often_as_a_trial_and_then_left(study: StagedStudy) -> None:
    class Dies:
        @contextmanager
        def train(self, *_: object) -> Generator[Any]:
            raise DiedError("killed")
            yield

    batch = make_batch(study.plan, stages=all_stages(study)[:1], cache=study.cache)
    worker = BatchWorker(batch, study.store, 0, 1, "here", 0, "cpu", trainer=Dies())
    for _ in range(MAX_ATTEMPTS - 1):
        with pytest.raises(DiedError):
            train_trials(worker)
    train_trials(worker)  # the rest of the batch goes on


def test_a_stage_in_which_two_workers_fail_is_not_tried_again(tmp_path: Path, cache_root: Path) -> None:
    with two_ranks(fail_in_a_stage, tmp_path, str(cache_root)):
        pass
    (stage,) = (tmp_path / "storage" / "stages").iterdir()
    assert len(list(stage.glob("001-*"))) == 1


def test_clean_lists_dead_attempts_of_stages_and_keeps_made_ones(study: StagedStudy) -> None:
    study.train(study.plan.trials)
    (base, *_) = [record for record in records_of(study).values() if record.name == "base"]
    study.store.write_bytes(f"stages/{base.key}/001-deadbeef/base.safetensors", b"half")
    study.store.write_bytes("stages/0123456789abcdef/001-deadbeef/x", b"half")
    found = [one for one in clean_plan(study.store, [study.plan]) if one.path.startswith("stages/")]
    assert sorted(one.path for one in found) == [
        "stages/0123456789abcdef/001-deadbeef",
        f"stages/{base.key}/001-deadbeef",
    ]
    free(study.store, found)
    assert records_of(study).keys() == stage_graph(study.plan.trials).keys()


def test_the_log_of_a_trial_says_which_stages_it_made_and_found(study: StagedStudy) -> None:
    study.train(study.plan.trials[:2])
    logs = [
        study.store.read_bytes(f"trials/{trial.id}/{study.records()[trial.id].attempt}/log.txt").decode()
        for trial in study.plan.trials[:2]
    ]
    assert "stage base" in logs[0]
    assert ": made," in logs[0]
    assert ": found," in logs[1]


def test_a_stages_curve_is_kept_with_it(study: StagedStudy) -> None:
    study.train(stages=all_stages(study))
    (base, *_) = [record for record in records_of(study).values() if record.name == "base"]
    curve = study.store.read_table(f"stages/{base.key}/{base.attempt}/curve.parquet")
    assert curve["epoch"].to_pylist() == [0, 1, 2]


# Through Ray ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> dict[str, bytes]:
    """What the study of these tests must end with, whatever happens: trained without Ray, trial by trial."""
    study = StagedStudy.of(tmp_path_factory.mktemp("undisturbed"), cache_root, seeds=(0,), epochs=EPOCHS)
    study.train(study.plan.trials)
    return by_cell(study)


def by_cell(study: StagedStudy) -> dict[str, bytes]:
    """Results by cell: the pace of an epoch is part of the id, and differs between the studies here."""
    records = study.records()
    return {trial.cell: json.dumps(records[trial.id].result.model_dump(mode="json")).encode()
            for trial in study.plan.trials}  # fmt: skip


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_two_workers_make_a_stage_together_and_end_with_the_results_of_one(
    tmp_path: Path, cache_root: Path, undisturbed: dict[str, bytes]
) -> None:
    text = STAGED.replace("cpus: 1}}", "cpus: 1, pack: 4}}")
    study = StagedStudy.of(tmp_path, cache_root, seeds=(0,), text=text, epochs=EPOCHS, workers=2)
    outcome = study.run()
    assert (outcome.finished, outcome.missing) == (4, 0)
    assert by_cell(study) == undisturbed
    assert {use.reused for record in study.records().values() for use in record.stages} == {True}


@pytest.mark.ray
@pytest.mark.usefixtures("free_cluster")
def test_a_worker_that_is_killed_in_a_stage_leaves_nothing_half_written(
    tmp_path: Path, cache_root: Path, undisturbed: dict[str, bytes]
) -> None:
    storage = tmp_path / "storage"
    study = StagedStudy.of(storage, cache_root, seeds=(0,), epochs=EPOCHS, seconds=0.8, held=True)
    (base, *_) = all_stages(study)
    killed = kill_first("ray::BatchDriver", study, in_the_middle(study, "base"))
    outcome = study.run()
    assert len(killed) == 1
    assert (outcome.finished, outcome.missing) == (4, 0), outcome
    assert by_cell(study) == undisturbed
    attempts = [name for name in study.store.list(f"stages/{base.id}") if name.endswith("/")]
    assert len(attempts) == 2, "the killed attempt left its log, the next one the stage"
    logs = [study.store.read_bytes(f"stages/{base.id}/{name}log.txt").decode() for name in attempts]
    assert any("resumed after epoch" in text for text in logs)
