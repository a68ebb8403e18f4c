"""What goes to a cluster, and when a node counts as another program."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from assay.engine.cluster.shipping import SETTINGS, SHIPPED, runtime_env, stage
from assay.engine.errors import NoOtherStartError
from assay.engine.on_ray.driver import BatchDriver, OtherProgramError
from assay.engine.trial_batch import TrialBatch
from assay.engine.versions import differences, program, source_roots, source_version
from assay.engine.worker.train_trials import _open_batch, train_trials
from assay.engine.worker.worker import BatchWorker
from assay.storage import Store
from tests.analysis.made_studies import make_plan
from tests.engine.made_batches import lay_down, make_batch
from tests.engine.toy_study import ToyStudy

_PATIENCE = 150.0  # seconds, on a busy machine
Toy = Callable[..., ToyStudy]


def test_both_packages_and_the_study_are_shipped_and_nothing_else(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text("study: a\n")
    (tmp_path / "password.env").write_text("SECRET=1\n")
    folder = tmp_path / "staged"
    stage(folder, {"study.yaml": study.read_bytes(), "methods/blur.py": b"BLUR = 1\n"})
    shipped = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    sources = {
        path.relative_to(root.parent).as_posix()
        for root in source_roots()
        for path in root.rglob("*")
        if path.suffix in SHIPPED and "tests" not in path.relative_to(root).parts
    }
    assert shipped == sources | {"study.yaml", "methods/blur.py"}
    assert {"assay/__main__.py", "trainables/segdec/fit.py"} <= shipped


def test_the_packages_need_no_file_that_is_not_shipped() -> None:
    """A data file among the sources would have to be added to what is shipped."""
    files = {path for root in source_roots() for path in root.rglob("*") if path.is_file()}
    read = [path for path in files if not {"__pycache__", "templates"}.intersection(path.parts)]
    # For type checkers, what `assay demo` and `assay skill` show, and what an extra hands to others.
    unread = {".typed", ".xz", ".md", ".sh", ".yml"}
    assert {path.suffix for path in read} - unread == set(SHIPPED)


def test_workers_are_told_commit_and_weights_and_no_other_variable_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASSAY_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    variables = runtime_env(tmp_path)["env_vars"]
    assert variables["ASSAY_COMMIT"] == source_version().commit
    assert variables["ASSAY_WEIGHTS"] == str(tmp_path)
    assert variables.keys() - {"ASSAY_COMMIT", "ASSAY_WEIGHTS"} == SETTINGS.keys()
    assert all(name.startswith(("RAY_", "TUNE_", "MALLOC_", "GLIBC_TUNABLES")) for name in SETTINGS)


def test_a_program_is_versions_and_sources_also_of_a_third_party() -> None:
    assert program("segdec").keys() == dict(source_version().packages).keys() | {"source of assay"}
    assert program("toy").keys() - program("segdec").keys() == {"assay-toy", "source of assay_toy"}


def test_the_same_program_has_no_differences() -> None:
    assert differences(program("toy"), "toy") == []


@pytest.mark.parametrize(
    ("name", "wanted", "said"),
    [
        ("torch", "1.0", r"torch \S+ \(wanted 1.0\)"),
        (
            "source of assay_toy",
            "0123456789abcdef",
            r"source of assay_toy [0-9a-f]{12} \(wanted 0123456789ab\)",
        ),
        ("assay-other", "2.1", r"assay-other not installed \(wanted 2.1\)"),
        (
            "source of assay_other",
            "0123456789abcdef",
            r"source of assay_other not found \(wanted 0123456789ab\)",
        ),
    ],
)
def test_a_difference_names_what_was_found_and_what_is_wanted(name: str, wanted: str, said: str) -> None:
    (line,) = differences({**program("toy"), name: wanted}, "toy")
    assert re.fullmatch(said, line), line


def _batch_for_another_program(study: ToyStudy) -> TrialBatch:
    other = {**program("toy"), "torch": "1.0"}
    return lay_down(make_batch(study.plan, study.plan.trials, program=other), study.store)


def test_a_worker_that_is_another_program_trains_nothing_and_uses_up_no_attempt(toy: Toy) -> None:
    study = toy()
    batch = _batch_for_another_program(study)
    train_trials(BatchWorker(batch, study.store, 0, 1, "d6fd8a35", 0, "cpu"))
    assert study.store.trials() == []
    said = study.store.read_bytes(batch.refusal).decode()
    assert said.startswith("node d6fd8a35 on ")
    assert "torch 2." in said
    assert "(wanted 1.0)" in said


@pytest.mark.ray
@pytest.mark.usefixtures("free_cluster")
def test_the_batch_of_such_a_worker_breaks_with_the_name_of_the_node(toy: Toy, tmp_path: Path) -> None:
    study = toy()
    batch = _batch_for_another_program(study)
    places = {"storage": study.store.uri, "batch": batch.path, "scratch": str(tmp_path / "scratch")}
    config = {**places, "name": batch.name, "watched": False, "answer_seconds": 2.0}
    driver = ray.remote(num_cpus=0)(BatchDriver).remote(config)
    node = ray.nodes()[0]["NodeID"]
    with pytest.raises(OtherProgramError, match=rf"node {node}.*torch 2.*\(wanted 1.0\)"):
        _step(driver)
    ray.get(driver.cleanup.remote())
    assert study.store.trials() == []
    assert not study.store.exists(batch.refusal), "the next try begins without it"


def _step(driver: Any) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        ray.get(driver.step.remote())


def test_a_batch_that_a_worker_does_not_see_is_not_begun_and_names_node_and_storage(tmp_path: Path) -> None:
    words = f"{socket.gethostname()} does not see the storage {tmp_path}"
    with pytest.raises(NoOtherStartError, match=words):
        _open_batch(Store(tmp_path), "studies/toy/packs/here/0000.json")


def test_a_batch_whose_method_is_lost_is_not_begun(tmp_path: Path) -> None:
    lost = {"trainable": "blur@0123456789abcdef"}
    plan = make_plan().with_cells(lambda cell: cell.model_copy(update=lost))
    store = Store(tmp_path)
    batch = lay_down(make_batch(plan), store)
    with pytest.raises(NoOtherStartError, match="blur@0123456789abcdef lies in methods"):
        _open_batch(store, batch.path)
