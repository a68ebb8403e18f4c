"""Every command: its help, its answer on a small storage, and how it refuses bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from assay.cli.planning import read_plan
from assay.results import Environment, Lease, Store
from assay.results.stop import stop_requested
from assay.study import Plan
from tests.cli.small_study import Assay, finished

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))
COMMANDS = [
    ("plan",),
    ("run",),
    ("status",),
    ("report",),
    ("logs",),
    ("stop",),
    ("clean",),
    ("mlflow",),
    ("data",),
    ("data", "check"),
    ("init",),
    ("schema",),
    ("doctor",),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_ends_in_an_example(assay: Assay, command: tuple[str, ...]) -> None:
    answer = assay(*command, "--help")
    assert answer.code == 0
    assert f"Example: assay {command[0]}" in answer.out


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, assay.cli.app; "
        "print({'torch', 'ray', 'mlflow', 'pyarrow', 'pydantic', 'cv2', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "no-such-file.yaml"),
        ("plan", "{study}", "--trials", "some"),
        ("run", "{bad}"),
        ("run", "{study}", "--retry", "finished"),
        ("status", "nobody", "--once"),
        ("report", "nobody"),
        ("logs", "ffff"),
        ("stop", "nobody"),
        ("data", "check", "no-such-reader"),
        ("data", "check", "mtd", "--data", "no-such-folder"),
        ("data", "check", "synthetic", "--option", "images"),
        ("data", "check", "synthetic", "--option", "images=few"),
        ("init",),
        ("init", "--images", "no-such-folder"),
        ("plan", "{study}", "--no-such-option"),
        ("no-such-command",),
    ],
    ids=" ".join,
)
def test_bad_input_is_refused_in_plain_words(
    assay: Assay, tmp_path: Path, study_file: Path, store: Store, arguments: tuple[str, ...]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("study: small\nquestin: why?\n", encoding="utf-8")
    storage = () if arguments[0] in ("data", "init", "no-such-command") else ("--storage", store.uri)
    answer = assay(*(part.format(study=study_file, bad=bad) for part in arguments), *storage)
    assert answer.code == 2
    assert answer.err
    assert "Traceback" not in answer.out + answer.err


def test_a_wrong_key_is_named_with_its_place_and_the_right_one(assay: Assay, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("study: small\nquestin: why?\n", encoding="utf-8")
    answer = assay("plan", bad, "--no-data")
    assert f"{bad}:2:1: questin" in answer.err
    assert "question" in answer.err


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_shipped_studies_can_be_planned_without_data(assay: Assay, path: Path) -> None:
    answer = assay("plan", path, "--no-data")
    assert answer.code == 0, answer.err
    assert "trials; 0 done" in answer.out


def test_plan_shows_what_differs_and_what_is_done(assay: Assay, study_file: Path, tmp_path: Path) -> None:
    answer = assay("plan", study_file, "--no-data", "--storage", tmp_path / "empty")
    assert answer.code == 0
    assert "config.balance" in answer.out
    assert "2 cells × 2 seeds = 4 trials; 0 done, 4 to train" in answer.out
    assert "balance: off → on in 1 pair of cells" in answer.out
    assert not (tmp_path / "empty").exists()


def test_a_long_plan_is_a_line_for_each_cell(assay: Assay, study_file: Path) -> None:
    text = study_file.read_text(encoding="utf-8")
    seeds = ", ".join(map(str, range(100)))
    study_file.write_text(text.replace("seeds: [0, 1]", f"seeds: [{seeds}]"), encoding="utf-8")
    short, long = (assay("plan", study_file, "--no-data", *more) for more in ((), ("--trials", "all")))
    assert "200 trials" in short.out
    assert len(short.out.splitlines()) < 20
    assert len(long.out.splitlines()) > 200


def test_the_schema_accepts_the_study_and_refuses_a_wrong_key(assay: Assay, tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    assert assay("schema", "--output", path).code == 0
    schema = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    study = {"study": "small", "trainable": "segdec", "data": {"reader": "synthetic"}}
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(study)
    assert not validator.is_valid({**study, "questin": "why?"})


def test_status_counts_and_names_the_failed(assay: Assay, store: Store, plan: Plan) -> None:
    answer = assay("status", "small", "--once", "--storage", store.uri)
    assert answer.code == 0
    assert "3/4 trials" in answer.out
    assert "1 planned" in answer.out
    assert f"{plan.trials[2].id} {plan.trials[2].cell} failed: RuntimeError: it broke" in answer.out


def test_status_without_a_study_lists_all(assay: Assay, store: Store) -> None:
    answer = assay("status", "--storage", store.uri)
    assert answer.code == 0
    assert "small" in answer.out
    assert "Does the balance pay?" in answer.out


def test_report_reads_the_records_as_they_are(assay: Assay, store: Store, tmp_path: Path) -> None:
    page = tmp_path / "report.md"
    assert assay("report", "small", "--storage", store.uri, "--output", page).code == 0
    answer = assay("report", "small", "--storage", store.uri)
    assert answer.out == page.read_text(encoding="utf-8")
    assert "0.8" in answer.out
    assert "| balance |" in answer.out


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


def test_stop_leaves_a_request_for_study_or_trial(assay: Assay, store: Store, plan: Plan) -> None:
    trial = plan.trials[0].id
    assert assay("stop", "small", "--storage", store.uri).code == 0
    assert assay("stop", trial[:12], "--storage", store.uri).code == 0
    assert stop_requested(store, "study", "small")
    assert stop_requested(store, "trial", trial)
    assert not stop_requested(store, "trial", plan.trials[1].id)


def test_clean_says_first_and_frees_only_what_no_result_needs(assay: Assay, store: Store, plan: Plan) -> None:
    done, open_ = plan.trials[0].id, plan.trials[3].id
    kept = store.read_bytes(f"trials/{done}/record.json")
    store.write_bytes(f"trials/{done}/checkpoint.safetensors", b"x" * 1000)
    store.write_bytes(f"trials/{done}/000-dead/curve.parquet", b"x" * 2000)
    store.write_bytes(f"trials/{open_}/checkpoint.safetensors", b"still needed")
    listed = assay("clean", "--storage", store.uri)
    assert "would free 3 kB" in listed.out, listed.out
    assert store.exists(f"trials/{done}/checkpoint.safetensors")
    assert "freed 3 kB" in assay("clean", "--yes", "--storage", store.uri).out
    assert not store.exists(f"trials/{done}/checkpoint.safetensors")
    assert not store.exists(f"trials/{done}/000-dead")
    assert store.exists(f"trials/{open_}/checkpoint.safetensors")
    assert store.read_bytes(f"trials/{done}/record.json") == kept
    assert "would free 0 B" in assay("clean", "--storage", store.uri).out


def test_clean_leaves_attempts_alone_while_a_study_runs(assay: Assay, store: Store, plan: Plan) -> None:
    running = plan.trials[3].id
    for _ in range(2):
        attempt = store.begin_attempt(running, Environment(host="here"))
        store.write_bytes(f"{attempt.prefix}/log.txt", b"training\n")
    with Lease(store, "small"):
        assert "would free 0 B" in assay("clean", "--storage", store.uri).out
    assert "would free 9 B" in assay("clean", "--storage", store.uri).out


def test_trials_of_no_study_go_only_when_asked(assay: Assay, store: Store) -> None:
    store.write_bytes(f"trials/{'e' * 16}/record.json", b"{}")
    assert "would free 0 B" in assay("clean", "--storage", store.uri).out
    assert "e" * 16 in assay("clean", "--orphans", "--storage", store.uri).out


def test_doctor_finds_this_machine_in_order(assay: Assay, tmp_path: Path) -> None:
    answer = assay("doctor", "--quick", "--storage", tmp_path / "storage")
    assert answer.code == 0, answer.out
    assert {"python", "ray", "machine", "storage", "tracking"} <= {
        line.split()[1] for line in answer.out.splitlines()
    }
    assert not (tmp_path / "storage").exists()


def test_doctor_names_a_storage_that_cannot_be(assay: Assay, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    answer = assay("doctor", "--quick", "--storage", tmp_path / "file")
    assert answer.code == 1
    assert "BAD  storage" in answer.out


def test_mlflow_is_told_all_records_by_sync(assay: Assay, store: Store) -> None:
    answer = assay("mlflow", "--sync", "--storage", store.uri)
    assert answer.code == 0, answer.err
    assert "small: 3 new" in answer.out
    assert "small: 0 new, 3 known" in assay("mlflow", "small", "--sync", "--storage", store.uri).out


def test_a_complete_study_trains_nothing_and_prints_its_table(
    assay: Assay, study_file: Path, tmp_path: Path, cache_root: Path
) -> None:
    text = study_file.read_text(encoding="utf-8")
    small = "{reader: synthetic, options: {images: 48, positives: 24, items: 24, size: [32, 32]}}"
    study_file.write_text(text.replace("{reader: synthetic}", small), encoding="utf-8")
    where = ("--cache", cache_root, "--storage", tmp_path / "storage")
    away = ("--tracking-uri", "http://127.0.0.1:9")  # nobody listens there: the study goes on
    store = Store(tmp_path / "storage")
    for trial in read_plan(study_file, data=None, cache=cache_root, say=lambda text: None).trials:
        finished(trial, store, image_ap=0.75)
    assert "4 trials; 4 done, 0 to train" in assay("plan", study_file, *where).out
    answer = assay("run", study_file, *where, *away)
    assert answer.code == 0, answer.err
    assert "0.75" in answer.out
    assert "4 finished; 0 trained now in" in answer.out
    assert "assay mlflow --storage" in answer.out
    assert "assay report small --storage" in answer.out
    assert "`assay mlflow --sync` replays" in answer.out
    assert store.studies() == ["small"]
