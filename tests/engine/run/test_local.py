"""`assay run --local`: the records of a run on Ray, without Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assay.api.running import train
from assay.engine import EngineOptions
from assay.engine.local import local_slots
from assay.storage import Record
from assay.storage.plans import written_plan
from assay.storage.preregistration import read_preregistrations
from assay.study import parse_study, plan_study
from tests.engine.staged_study import StagedStudy
from tests.engine.toy_study import TOY, ToyStudy
from tests.engine.worker.worker_alone import train_here
from tests.helpers.waiting import slowness, wait_for
from trainables.errors import InputError

Toy = Callable[..., ToyStudy]


@pytest.mark.parametrize("processes", [0, 2])
def test_records_are_those_of_any_other_way_to_train(
    toy: Toy, tmp_path: Path, cache_root: Path, processes: int
) -> None:
    here = ToyStudy.make(tmp_path / "here", cache_root, epochs=2)
    train_here(here.plan, here.store, cache_root)
    local = toy(epochs=2)
    outcome = local.run(local=True, processes=processes)
    assert (outcome.finished, outcome.missing, outcome.interrupted) == (4, 0, False)
    assert local.results() == here.results()


def test_a_study_that_was_begun_in_one_way_is_finished_in_another(toy: Toy, cache_root: Path) -> None:
    study = toy(epochs=2)
    train_here(study.plan, study.store, cache_root)
    taken = study.plan.trials[0].id
    before = study.results()
    study.store.forget_record(taken, "finished")
    assert study.run(local=True, processes=1).trained_now == 1
    assert study.results() == before


def test_of_two_runs_at_once_the_one_that_is_refused_has_written_nothing(toy: Toy) -> None:
    study = toy(seeds=(0,))
    refused = ToyStudy.make(study.storage, study.cache, seeds=(0, 1)).plan
    options = EngineOptions(data_root=None, cache=study.cache, local=True, processes=0)

    def begin_another(*_: object) -> None:
        with pytest.raises(InputError, match="is run by one process at a time"):
            train(study.store, refused, options, begun=never_begun, say=print)

    outcome, results = train(
        study.store, study.plan, options, begun=begin_another, say=print, asked_by="somebody"
    )
    assert outcome.finished == 2
    assert results.plan == written_plan(study.store, "toy")
    (entry,) = read_preregistrations(study.store, "toy")
    assert (entry.study, entry.asked_by) == (study.plan.study.content_hash, "somebody")


def never_begun(*_: object) -> None:
    raise AssertionError("a run that is refused begins nothing")


def test_failed_trials_are_tried_again_only_when_asked(toy: Toy) -> None:
    study = toy(seeds=(0,))
    now = datetime.now(UTC)
    for trial in study.plan.trials:
        study.store.write_record(
            Record(id=trial.id, status="failed", trial={}, study="toy", started=now, ended=now)
        )
    assert study.run(local=True, processes=0).trained_now == 0
    assert study.run(local=True, processes=0, retry_failed=True).trained_now == 2


def test_a_record_that_cannot_be_read_is_trained_anew(toy: Toy) -> None:
    study = toy(seeds=(0,))
    damaged = study.plan.trials[0].id
    study.store.write_bytes(f"trials/{damaged}/record.json", b"{")
    outcome = study.run(local=True, processes=0)
    assert (outcome.finished, outcome.missing, outcome.interrupted) == (2, 0, False)


def test_stages_that_trials_share_are_made_once(tmp_path: Path, cache_root: Path) -> None:
    study = StagedStudy.of(tmp_path, cache_root, seeds=(0,), epochs=2)
    outcome = study.run(local=True, processes=2)
    assert (outcome.finished, outcome.problems) == (len(study.plan.trials), ())
    folders = list((tmp_path / "stages").iterdir())
    assert [len(list(folder.glob("001-*"))) for folder in folders] == [1] * len(folders)
    assert len(folders) >= 3  # a base and two maps


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"workers": 2}, "found resources.workers 2"),
        ({"gpus": 0.5}, "found resources.gpus 0.5"),
        ({"cpus": 4096}, "a trial needs 4096 CPU(s)"),
    ],
)
def test_what_only_ray_can_do_is_refused_by_name(change: dict[str, float], words: str) -> None:
    settings = {"name": "toy", "epochs": 1, "seconds": 0, "workers": 1, "pack": "auto", "seeds": [0]}
    text = TOY.format(**settings, factor="pace: {slow: {config: {lr: 0.05}}, fast: {config: {lr: 0.2}}}")
    study = parse_study(text, "toy")
    study = study.model_copy(update={"resources": study.resources.model_copy(update=change)})
    with pytest.raises(InputError, match=words.replace("(", r"\(").replace(")", r"\)")):
        local_slots(plan_study(study, None, "cpu"), 2, None)


@pytest.mark.parametrize("way", ["ctrl-c", "assay stop, started by a script with &"])
def test_a_stop_ends_it_at_once(tmp_path: Path, cache_root: Path, way: str) -> None:
    (tmp_path / "toy.yaml").write_text(
        TOY.format(
            name="toy", epochs=600, seconds=0.5, workers=1, pack="auto", seeds=[0],
            factor="pace: {slow: {config: {lr: 0.05}}, fast: {config: {lr: 0.2}}}",
        )
    )  # fmt: skip
    assay, storage = [sys.executable, "-m", "assay"], tmp_path / "storage"
    by_script = way != "ctrl-c"
    command = [
        *assay, "run", str(tmp_path / "toy.yaml"), "--local", "--processes", "1", "--storage", str(storage),
        "--cache", str(cache_root),
    ]  # fmt: skip
    with subprocess.Popen(
        ["sh", "-c", '"$@" & wait $!', "sh", *command] if by_script else command,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as run:  # fmt: skip
        wait_for(lambda: any(storage.glob("trials/*/progress.json")), run)
        asked = time.monotonic()
        if by_script:
            subprocess.run([*assay, "stop", "toy", "--storage", str(storage)], check=True)
        else:
            run.send_signal(signal.SIGINT)
        text = run.communicate(timeout=200)[0]
        assert time.monotonic() - asked < (20 if by_script else 10) * slowness()
    assert run.returncode == 130, text
    assert "Traceback" not in text
    assert not _trainings(tmp_path)


def _trainings(folder: Path) -> list[str]:
    """Command lines of processes that know ``folder``."""
    lines: list[str] = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        if entry.parent.name != str(os.getpid()):
            try:
                lines.append(entry.read_text().replace("\0", " "))
            except OSError:
                continue
    return [line for line in lines if str(folder) in line]
