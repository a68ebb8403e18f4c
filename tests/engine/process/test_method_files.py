"""A study whose method is a file: workers and later commands run the copy that the storage keeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from assay.engine import EngineOptions
from assay.storage import Record, Store
from assay.storage.method_store import load_methods, read_method
from assay.storage.plans import write_plan
from assay.study import Plan
from tests.engine.process.file_method import CODE, STUDY, plan_of, write
from tests.engine.toy_study import run_missing
from trainables.errors import InputError

Trained = tuple[Plan, Store]


# In a process that has not seen the method: each command stands on a line of the input.
_COMMANDS = """
import os, shlex, sys
from tests.helpers.in_process import assay_here
for line in sys.stdin:
    done = assay_here(*shlex.split(line), environment=os.environ)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
"""


def assay_lines(folder: Path, *lines: str) -> str:
    """Call the program's commands in a process of their own, in a folder without the method's file."""
    ended = subprocess.run(
        [sys.executable, "-c", _COMMANDS],
        input="\n".join(lines),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, cache_root: Path, ray_session: None) -> Trained:
    """A trained study; its folder is gone before anything trains."""
    folder = tmp_path_factory.mktemp("own")
    study, store = write(folder), Store(folder / "storage")
    plan = plan_of(study, cache_root)
    (folder / "blur.py").unlink()
    store.write_bytes("studies/own/study.yaml", STUDY.encode())
    write_plan(store, plan)
    outcome = run_missing(plan, store, EngineOptions(data_root=None, cache=cache_root))
    assert outcome.finished == 1, outcome
    return plan, store


@pytest.mark.ray
def test_workers_train_with_the_copy_on_the_storage(trained: Trained) -> None:
    plan, store = trained
    record = store.record(plan.trials[0].id)
    assert isinstance(record, Record)
    assert record.trial["trainable"] == plan.trainables[0]
    assert read_method(store, plan.trainables[0]).files == {"blur.py": CODE.encode()}


@pytest.mark.ray
def test_a_stored_model_finds_its_code_in_a_folder_without_the_file(
    trained: Trained, tmp_path: Path, cache_root: Path
) -> None:
    plan, store = trained
    trial = plan.trials[0].id
    photo = next(cache_root.rglob("*.png"))
    out = assay_lines(
        tmp_path,
        f"export --trial {trial} --to mlflow --output mlflow --storage {store.uri}",
        f"predict --trial {trial} {photo} --storage {store.uri}",
        f"report own --storage {store.uri}",
    )
    assert "checked on" in out
    assert (tmp_path / "mlflow" / "data" / "model" / "method" / "blur.py").read_text() == CODE
    assert "1 image predicted" in out
    assert "1 finished" in out


@pytest.mark.ray
def test_after_an_edit_a_run_trains_anew_and_leaves_old_records_as_they_are(
    trained: Trained, tmp_path: Path, cache_root: Path
) -> None:
    plan, store = trained
    before = store.read_bytes(f"trials/{plan.trials[0].id}/record.json")
    edited = plan_of(write(tmp_path, CODE.replace("Blur", "Softer")), cache_root)
    outcome = run_missing(edited, store, EngineOptions(data_root=None, cache=cache_root, local=True))
    assert (outcome.finished, outcome.trained_now) == (1, 1)
    assert store.read_bytes(f"trials/{plan.trials[0].id}/record.json") == before
    assert len(store.list("methods")) == 2


@pytest.mark.parametrize(
    ("content", "found"), [(b"", "found 1 files with the hash e3b0c44298fc1c14"), (None, "found nothing")]
)
def test_code_that_was_changed_or_lost_is_not_run(content: bytes | None, found: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    if content is not None:
        store.write_bytes("methods/blur@0123456789abcdef/blur.py", content)
    with pytest.raises(InputError, match=rf"blur@0123456789abcdef lies in methods/.*{found}"):
        load_methods(store, ["toy", "blur@0123456789abcdef"])
