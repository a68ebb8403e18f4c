"""Every command: its help, its answer on a small storage, and how it refuses bad input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest
import typer

from assay.api.planning import read_plan
from assay.cli.app import app
from assay.storage import Environment, Lease, Record, Store
from assay.storage.lease import stop_requested
from assay.storage.plans import write_plan
from assay.storage.preregistration import read_preregistrations
from assay.study import Plan, parse_study, plan_study
from tests.cli.small_study import STUDY, Assay, Output, finished


def _commands(group: Any, *words: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*words, name)
        yield from _commands(command, *words, name) if hasattr(command, "commands") else ()


@pytest.mark.parametrize("command", _commands(typer.main.get_command(app)), ids=" ".join)
def test_help_ends_in_an_example(assay: Assay, command: tuple[str, ...]) -> None:
    answer = assay(*command, "--help")
    assert answer.code == 0
    assert f"Example: assay {command[0]}" in answer.out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_output_that_has_no_sign_for_a_letter_ends_no_command(encoding: str, study_file: Path) -> None:
    words = [sys.executable, "-m", "assay", "plan", study_file, "--no-data"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(words, capture_output=True, env=environment, check=False)
    assert done.returncode == 0
    assert ("2 variants × 2 seeds" in done.stdout.decode(encoding)) == (encoding != "ascii")
    assert "config.balance none ? linear" in done.stdout.decode(encoding)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("logs ffff", "has an id that starts with 'ffff'. `assay plan STUDY` lists them."),
        ("data check mtd --data no-such-folder", "no-such-folder"),
        ("data check synthetic --option images", "--option is NAME=VALUE, such as"),
        ("init --images no-such-folder", "no-such-folder"),
    ],
)
def test_bad_input_is_refused_in_plain_words(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, said: str
) -> None:
    monkeypatch.setenv("ASSAY_STORAGE", str(tmp_path / "storage"))
    answer = assay(*command.split())
    assert answer.code == 2
    assert said in answer.err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("run quickstart --retry all", "Invalid value for '--retry': 'all' is not one of 'failed'."),
        ("mlflow --port x", "Invalid value for '--port': should be a whole number, found 'x'."),
        ("data check synthetic --option image=3", "image: unknown setting (did you mean `images`?), found 3"),
        ("data check synthetic --option images=x", "images: should be a whole number, found 'x'"),
        ("labels mine --next 4", "--next was removed: no rule picked better images than chance."),
        ("submit mine --slurm", "--slurm was removed: Slurm has a command of its own. Type `assay slurm"),
        ("labels mine --outptu f.csv", "No such option: --outptu"),
    ],
)
def test_a_wrong_value_is_refused_in_the_words_of_a_study_file(
    assay: Assay, command: str, words: str
) -> None:
    answer = assay(*command.split())
    assert answer.code == 2
    assert words in " ".join(answer.err.replace("│", " ").split())


def test_a_wrong_key_is_named_with_its_place_and_the_right_one(assay: Assay, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("study: small\nquestin: why?\n", encoding="utf-8")
    answer = assay("plan", bad, "--no-data")
    assert f"{bad}:2:1: questin" in answer.err
    assert "question" in answer.err


def test_the_schema_accepts_the_study_and_refuses_a_wrong_key(assay: Assay, tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    assert assay("schema", "--output", path).code == 0
    schema = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    study = {"study": "small", "trainable": "segdec", "data": {"reader": "synthetic"}}
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(study)
    assert not validator.is_valid({**study, "questin": "why?"})


def test_status_counts_trials_and_names_the_failed(assay: Assay, store: Store, plan: Plan) -> None:
    answer, failed = assay("status", "small", "--once", "--storage", store.uri), plan.trials[2]
    assert answer.code == 0
    shown = ("3/4 trials", "1 planned", f"{failed.id} no balance, seed 1 failed: RuntimeError: it broke")
    assert [text for text in shown if text not in answer.out] == []


def test_status_lists_a_study_that_cannot_be_read_and_says_why(assay: Assay, store: Store) -> None:
    store.write_bytes("studies/other/plan.parquet", b"no parquet")
    answer = assay("status", "--storage", store.uri)
    assert answer.code == 0
    assert "plan.parquet in" in " ".join(answer.out.split())
    assert "Does the balance pay?" in answer.out


def test_status_and_report_load_neither_torch_nor_scikit_learn(store: Store) -> None:
    code = (
        "import sys, assay.cli.app as cli\n"
        "for words in (['status', 'small', '--once'], ['report', 'small']):\n"
        f"    sys.argv = ['assay', *words, '--storage', {store.uri!r}]\n"
        "    try: cli.main()\n"
        "    except SystemExit: print({'torch', 'sklearn', 'ray', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_study_is_named_by_its_file_too(assay: Assay, store: Store, study_file: Path) -> None:
    by_name, by_file = (assay("report", name, "--storage", store.uri) for name in ("small", study_file))
    assert by_name == by_file


def test_logs_take_the_start_of_an_id(assay: Assay, store: Store, plan: Plan) -> None:
    failed = plan.trials[2]
    answer = assay("logs", failed.id[:12], "--storage", store.uri)
    assert answer.code == 0
    assert "RuntimeError: it broke" in answer.out
    assert "failed" in answer.out.splitlines()[0]
    last = assay("logs", plan.trials[0].id, "--lines", "1", "--storage", store.uri)
    assert "epoch 2/2" in last.out
    assert "epoch 1/2" not in last.out


def test_logs_name_a_damaged_record(assay: Assay, store: Store, plan: Plan) -> None:
    store.write_bytes(f"trials/{plan.trials[0].id}/record.json", b"{}")
    answer = assay("logs", plan.trials[0].id, "--storage", store.uri)
    assert "is damaged" in answer.out.splitlines()[0]
    assert "no record yet" not in answer.out


def test_check_of_a_storage_without_anything_does_not_call_it_sound(assay: Assay, tmp_path: Path) -> None:
    answer = assay("check", "--storage", tmp_path / "mistyped")
    assert "no study was run into" in answer.out
    assert "sound" not in answer.out


@pytest.mark.parametrize("status", ["diverged", "pruned"])
def test_the_overview_counts_each_way_to_end(assay: Assay, store: Store, plan: Plan, status: str) -> None:
    record = store.record(plan.trials[2].id)
    assert isinstance(record, Record)
    store.write_record(record.model_copy(update={"status": status}))
    header, _, row, *_ = filter(str.strip, assay("status", "--storage", store.uri).out.splitlines())
    counts = dict(zip(header.split()[1:-1], map(int, row.split()[1 : len(header.split()) - 1]), strict=True))
    assert counts[status] == 1
    assert counts.pop("trials") == sum(counts.values())


@pytest.mark.parametrize(("columns", "titles"), [("200", True), ("40", False), ("20", False)])
def test_the_overview_breaks_no_word_however_narrow_the_terminal(
    assay: Assay, store: Store, monkeypatch: pytest.MonkeyPatch, columns: str, titles: bool
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    store.write_bytes("studies/not_a_study/plan.parquet", b"no parquet")
    out = assay("status", "--storage", store.uri).out
    words = re.findall(r"\w+", out)
    assert {"not_a_study", "small", "trials", "finished", "running", "planned"} <= set(words)
    assert ("balance" in words) == titles


def test_status_says_when_nobody_goes_on_with_a_study(assay: Assay, store: Store) -> None:
    left = assay("status", "small", "--storage", store.uri).out
    assert f"nobody runs this study now; `assay run STUDY --storage {store.uri}` goes on" in left
    with Lease(store, "small"):
        assert "nobody runs" not in assay("status", "small", "--once", "--storage", store.uri).out


def test_stop_leaves_a_request_for_a_study_or_trial_that_runs(assay: Assay, store: Store, plan: Plan) -> None:
    trial = plan.trials[3].id
    store.begin_attempt(trial, Environment(host="here"))
    with Lease(store, "small"):
        answers = [assay("stop", target, "--storage", store.uri) for target in ("small", trial[:12])]
        assert "it was asked to stop" in assay("status", "small", "--once", "--storage", store.uri).out
    for answer in answers:
        assert answer.code == 0
        assert f"`assay run STUDY --storage {store.uri}` goes on" in answer.out
    assert stop_requested(store, "study", "small")
    assert stop_requested(store, "trial", trial)
    assert not stop_requested(store, "trial", plan.trials[1].id)


def test_force_takes_a_study_away_and_names_whom_it_displaces(assay: Assay, store: Store) -> None:
    with Lease(store, "small") as lease:
        answer = assay("stop", "small", "--force", "--storage", store.uri)
        assert answer.code == 0
        assert f"away from process {os.getpid()} on " in answer.out
        assert "last sign of life 0 s ago" in answer.out
        assert not lease.renew()
    assert not stop_requested(store, "study", "small")


def test_force_is_for_studies(assay: Assay, store: Store, plan: Plan) -> None:
    answer = assay("stop", plan.trials[0].id, "--force", "--storage", store.uri)
    assert answer.code == 2
    assert f"found trial {plan.trials[0].id}" in answer.err


@pytest.mark.parametrize(
    ("target", "running", "reason"),
    [
        ("small", "another", "nobody runs small"),
        ("open", "another", "no study that runs"),
        ("done", "small", "has ended: finished"),
    ],
)
def test_what_does_not_run_cannot_be_stopped(  # noqa: PLR0917 - three fixtures and three cases
    assay: Assay, store: Store, plan: Plan, target: str, running: str, reason: str
) -> None:
    store.begin_attempt(plan.trials[3].id, Environment(host="here"))
    study = plan.study.model_copy(update={"study": "another"})
    other = plan.model_copy(update={"study": study, "trials": plan.trials[:1]})
    write_plan(store, other)
    named = {"open": plan.trials[3].id, "done": plan.trials[0].id}.get(target, target)
    with Lease(store, running):
        answer = assay("stop", named, "--storage", store.uri)
    assert answer.code == 2
    assert reason in answer.err
    assert not stop_requested(store, "study", "small")
    assert not any(stop_requested(store, "trial", trial.id) for trial in plan.trials)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            "smal",
            "the storage {uri} holds no study smal. Did you mean small? `assay run` trains a study, and "
            "--storage names another storage.",
        ),
        ("no.yaml", "no.yaml: a study is a readable YAML file: No such file or directory"),
        ("ffff", "no trial in {uri} has an id that starts with 'ffff'. `assay plan STUDY` lists them."),
    ],
)
def test_what_is_not_there_to_be_stopped_is_one_message(
    assay: Assay, store: Store, target: str, said: str
) -> None:
    answer = assay("stop", target, "--storage", store.uri)
    assert (answer.code, answer.err) == (2, f"error: {said.format(uri=store.uri)}\n")


def test_records_are_not_replayed_while_the_study_runs(assay: Assay, store: Store) -> None:
    with Lease(store, "small"):
        answer = assay("mlflow", "--sync", "--storage", store.uri)
    assert answer.code == 2
    assert "one process at a time logs a study in MLflow" in answer.err
    assert not store.exists("mlflow.db")


@pytest.mark.parametrize("command", ["schema", "settings", "report small --format md"])
def test_a_place_that_cannot_be_is_one_line(
    assay: Assay, store: Store, study_file: Path, command: str
) -> None:
    page = study_file / "x"
    storage = ("--storage", store.uri) if "small" in command else ()
    answer = assay(*command.split(), "--output", page, *storage)
    why = "cannot be written: Not a directory. Mend that, or name another place."
    assert (answer.code, answer.err) == (2, f"error: {page} {why}\n")


def test_an_interruption_is_said_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # writing waits for a reader that never comes
    command = [sys.executable, "-m", "assay", "schema", "--output", str(tmp_path / "pipe")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:  # ends its process itself
        _sleeps(psutil.Process(program.pid))
        program.send_signal(signal.SIGINT)
        assert program.communicate(timeout=60)[1] == "interrupted\n"
    assert program.returncode == 130


def _sleeps(process: psutil.Process) -> None:
    """Wait until a process has waited for something, and done nothing else, for a second."""
    idle = 0
    while idle < 20:
        assert process.is_running()
        idle = idle + 1 if process.status() == psutil.STATUS_SLEEPING else 0
        time.sleep(0.05)


def test_mlflow_is_told_all_records_by_sync(assay: Assay, store: Store) -> None:
    answer = assay("mlflow", "--sync", "--storage", store.uri)
    assert answer.code == 0, answer.err
    assert "small: 3 new" in answer.out
    assert "small: 0 new, 3 known" in assay("mlflow", "small", "--sync", "--storage", store.uri).out


AWAY = "http://127.0.0.1:9"  # nobody listens there: the study goes on


@dataclass
class Complete:
    """A study whose trials all have a record and a model, and the command line on it."""

    assay: Assay
    file: Path
    store: Store
    cache: Path

    def __call__(self, command: str, *more: str) -> Output:
        return self.assay(command, self.file, "--cache", self.cache, "--storage", self.store.uri, *more)

    def models(self) -> list[str]:
        """Trials that have one."""
        folders = {trial: self.store.list(f"trials/{trial}") for trial in self.store.trials()}
        exists = self.store.exists
        return [t for t, names in folders.items() if any(exists(f"trials/{t}/{n}model") for n in names)]


@pytest.fixture
def complete(assay: Assay, study_file: Path, tmp_path: Path, cache_root: Path) -> Complete:
    text = study_file.read_text(encoding="utf-8")
    small = "{reader: synthetic, options: {images: 48, positives: 24, items: 24, size: [32, 32]}}"
    study_file.write_text(text.replace("{reader: synthetic}", small), encoding="utf-8")
    store = Store(tmp_path / "storage")
    for trial in read_plan(study_file, data=None, cache=cache_root, say=lambda text: None).trials:
        finished(trial, store, image_ap=0.75, model=True)
    return Complete(assay, study_file, store, cache_root)


def test_a_complete_study_trains_nothing_and_prints_its_table(complete: Complete) -> None:
    assert "4 trials; 4 done, 0 to train" in complete("plan").out
    answer = complete("run", "--tracking-uri", AWAY)
    assert answer.code == 0, answer.err
    assert "0.75" in answer.out
    assert "4 finished; 0 trained now in" in answer.out
    assert complete.store.studies() == ["small"]
    assert complete.store.exists("studies/small/looks.json")  # it was answered with these seeds
    assert len(read_preregistrations(complete.store, "small")) == 1  # what it asks did not change


def test_the_ways_on_work_as_they_are_printed(complete: Complete) -> None:
    answer = complete("run", "--tracking-uri", AWAY)
    assert f"open the runs in MLflow:  open {AWAY}\n" in answer.out
    assert f"assay report small --output small.md --storage {complete.store.uri}\n" in answer.out
    sync = f"assay mlflow --sync --storage {complete.store.uri} --tracking-uri {AWAY}"
    assert f"`{sync}` replays" in answer.out


def test_models_that_keep_leaves_out_go_unless_another_plan_cannot_be_read(complete: Complete) -> None:
    complete.store.write_bytes("studies/other/plan.parquet", b"cut short")
    answer = complete("run", "--tracking-uri", AWAY)
    assert answer.code == 0, answer.err
    assert answer.out.index("0.75") < answer.out.index(
        "models that `keep` leaves out stay for now: studies/other"
    )
    assert len(complete.models()) == 4
    complete.store.delete_tree("studies/other")
    assert "stay for now" not in complete("run", "--tracking-uri", AWAY).out
    assert len(complete.models()) == 2


def test_a_second_run_is_refused_before_it_writes_or_tells_anything(complete: Complete) -> None:
    with Lease(complete.store, "small"):
        answer = complete("run")
    assert answer.code == 2
    assert f"`assay status small --storage {complete.store.uri}`" in answer.err
    assert not complete.store.exists("studies/small/plan.parquet")
    assert not complete.store.exists("mlflow.db")


def test_two_studies_are_put_side_by_side(assay: Assay, store: Store, plan: Plan, tmp_path: Path) -> None:
    longer = plan_study(
        parse_study(STUDY.replace("study: small", "study: longer"), "longer.yaml"), None, "cpu"
    )
    write_plan(store, longer)
    answer = assay("report", "small", "longer", "--storage", store.uri)
    assert "# small and longer" in answer.out
    assert "set alike" in answer.out  # the same settings: the same trials
    page = tmp_path / "pair.html"
    assert assay("report", "small", "longer", "--storage", store.uri, "--output", page).code == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    refused = assay("report", "small", "small", "--storage", store.uri)
    assert (refused.code, "found small twice" in refused.err) == (2, True)
