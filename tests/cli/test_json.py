"""Answers as JSON: one document on standard output, valid by its schema, with the numbers of the report."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from assay.demo.demo import unpack_demo
from assay.report.answers import ANSWERS, answer_schema
from assay.report.answers.base import Answer, Value
from assay.report.answers.plans import plan_answer
from assay.storage import Progress, Store
from assay.storage.plans import write_plan
from assay.study import Plan, parse_study, plan_study, read_study
from tests.analysis.label_studies import GRID, trained
from tests.analysis.made_studies import STUDY as MADE
from tests.analysis.made_studies import make_plan, make_records
from tests.cli.small_search import SEARCH, write_search
from tests.cli.small_study import STUDY, Assay, run_elsewhere
from tests.report.test_stage_tables import LONG, SHORT, with_stages
from tests.study.test_studies import SOUND

STUDIES = ("small", "labels", "hunt", "chain")
SCORES = "method,seed,ap\n" + "".join(
    f"{m},{s},0.{8 + (m == 'new')}{s}\n" for m in ("old", "new") for s in range(6)
)
# Arguments, exit code, schema; storage and study file are filled in.
CASES = [
    ("plan {study} --no-data", 0, "plan"),
    ("plan {study} --no-data --trials none", 0, "plan"),
    ("plan no-such-file.yaml", 2, "error"),
    ("plan {study} --no-such-option", 2, "error"),
    *((f"status {name}", 0, "status") for name in STUDIES),
    ("status", 0, "status-all"),
    ("status nobody", 2, "error"),
    *((f"report {name}", 0, "report") for name in STUDIES),
    ("report small labels", 2, "error"),
    ("report nobody", 2, "error"),
    ("report small --output x.md", 2, "error"),
    ("best hunt --as winner", 0, "best"),
    ("best hunt", 0, "best-points"),
    ("best small --as winner", 2, "error"),
    ("labels labels", 0, "labels"),
    ("labels small", 2, "error"),
    ("judge {scores} --resolve 0.01", 0, "judge"),
    ("judge no-such-file.csv", 2, "error"),
    (
        "data check synthetic --option images=24 --option positives=12 --option items=24",
        0,
        "data-check",
    ),
    ("data check no-such-reader", 2, "error"),
    ("settings", 0, "settings"),
    ("settings data", 0, "settings"),
    ("settings segdec --preset ksdd", 0, "settings"),
    ("settings segdec delta", 0, "settings"),
    ("settings no-such-method", 2, "error"),
    ("doctor --quick", 0, "doctor"),
    ("doctor --ports", 0, "doctor"),
    ("doctor --quick --storage {scores}", 1, "doctor"),  # a file is no storage: a finding, not an error
    ("doctor --no-such-option", 2, "error"),
    ("run no-such-file.yaml", 2, "error"),
    ("run {study} --processes 1", 2, "error"),
    ("no-such-command", 2, "error"),
]
_WITH_STORAGE = {"plan", "status", "report", "best", "labels"}
_AJV = """
const Ajv = require("ajv/dist/2020"), read = require("fs").readFileSync(0, "utf8");
const ajv = new Ajv({strict: false, allErrors: true}), {schemas, documents} = JSON.parse(read);
const valid = Object.fromEntries(Object.entries(schemas).map(([name, each]) => [name, ajv.compile(each)]));
const failed = documents.filter(([name, text]) => !valid[name](JSON.parse(text)));
console.log(JSON.stringify(failed.map(([name, text]) => [name, valid[name].errors, text.slice(0, 200)])));
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with a study of each kind: two factors, labels, a search, and stages."""
    folder = tmp_path_factory.mktemp("stored")
    store = Store(folder)
    small = make_plan(MADE.replace("study: additions", "study: small"))
    chain = make_plan(MADE.replace("study: additions", "study: chain").replace("[128, 64]", "[128, 128]"))
    labels, labelled = trained(GRID, lambda images, masks: 0.4 + 0.01 * masks + 0.001 * images, 0.003)
    studies = [
        (small, make_records(small)),
        (labels, labelled),
        (chain, with_stages(chain, {"off": SHORT, "on": LONG})),
    ]
    for plan, records in studies:
        write_plan(store, plan)
        for record in records.values():
            store.write_record(record)
    write_search(store, make_plan(SEARCH))
    return folder


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    path = tmp_path / "scores.csv"
    path.write_text(SCORES, encoding="utf-8")
    return path


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = answer_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def refused(_: str) -> None:
    raise AssertionError("JSON has no NaN and no infinity")


# Of answers that are not as they first were: verdicts know `dispensable`.
VERSIONS = {"agent-report": 2, "event": 2, "judge": 2, "report": 2}


@pytest.mark.parametrize(("line", "code", "schema"), CASES, ids=[case[0] for case in CASES])
def test_standard_output_is_one_document_of_the_schema_it_names(  # noqa: PLR0917 - three fixtures, three facts
    assay: Assay, stored: Path, study_file: Path, scores: Path, line: str, code: int, schema: str
) -> None:
    words = [word.format(study=study_file, scores=scores) for word in line.split()]
    storage = ("--storage", stored) if words[0] in _WITH_STORAGE else ()
    answer = assay(*words, "--json", *storage)
    assert answer.code == code, answer.err
    content = json.loads(answer.out, parse_constant=refused)
    assert content["schema"] == f"assay/{schema}/{VERSIONS.get(schema, 1)}"
    validator(schema).validate(content)
    if schema == "error":
        assert content["exit_code"] == code
        assert content["error"] in answer.err


@pytest.mark.parametrize("study", STUDIES)
def test_the_numbers_are_those_of_the_csv_to_its_last_digit(
    assay: Assay, stored: Path, tmp_path: Path, study: str
) -> None:
    assert assay("report", study, "--output", tmp_path / "x.csv", "--storage", stored).code == 0
    content = json.loads(assay("report", study, "--json", "--storage", stored).out)
    for part, file in (("cells", "x.csv"), ("comparisons", "x_comparisons.csv"), ("stages", "x_stages.csv")):
        path = tmp_path / file
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        rows = list(csv.DictReader(lines))
        assert len(rows) == len(content[part])
        for row, answer in zip(rows, content[part], strict=True):
            assert {name: _text(answer[name]) for name in row if name in answer} == {
                name: text for name, text in row.items() if name in answer
            }


def _text(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else str(value)


@pytest.fixture
def others(tmp_path: Path, scores: Path) -> list[tuple[str, str]]:
    """Answers of commands that ask for more than a storage: schema and arguments."""
    unpack_demo(tmp_path / "demo")
    demo = f"--storage {tmp_path / 'demo'}"
    return [
        ("status", f"status quickstart {demo}"),
        ("report", f"report quickstart {demo}"),
        ("status-all", f"status {demo}"),
        ("judge", f"judge {scores} --resolve 0.01"),
        ("data-check", "data check synthetic --option images=24 --option positives=12 --option items=24"),
        ("settings", "settings segdec --preset ksdd"),
        ("doctor", "doctor --quick"),
        ("error", "plan no-such-file.yaml"),
    ]


def _plan_of(path: Path) -> str:
    return plan_answer(plan_study(read_study(path), None, "cpu"), {}, known=False).text()


def documents(assay: Assay, stored: Path, others: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Plans of all shipped studies, all that the stored ones answer, the quickstart's among them."""
    for path in SOUND:
        yield "plan", _plan_of(path)
    for name in STUDIES:
        for command in ("status", "report"):
            yield command, assay(command, name, "--json", "--storage", stored).out
    yield "labels", assay("labels", "labels", "--json", "--storage", stored).out
    yield "best", assay("best", "hunt", "--as", "x", "--json", "--storage", stored).out
    yield "best-points", assay("best", "hunt", "--json", "--storage", stored).out
    for name, line in others:
        yield name, assay(*line.split(), "--json").out


@pytest.mark.parametrize("path", SOUND[::8], ids=lambda path: path.stem)
def test_the_plan_of_a_shipped_study_is_a_document_of_its_schema(path: Path) -> None:
    validator("plan").validate(json.loads(_plan_of(path)))


def test_the_answers_about_the_demo_are_documents_of_their_schemas(
    assay: Assay, others: list[tuple[str, str]]
) -> None:
    for name, line in others[:3]:
        validator(name).validate(json.loads(assay(*line.split(), "--json").out))


def test_answers_are_valid_by_a_second_implementation(
    assay: Assay, stored: Path, others: list[tuple[str, str]]
) -> None:
    if not _has_ajv():
        pytest.skip("node cannot load the npm package ajv: install it, and name its folder in NODE_PATH")
    pairs = list(documents(assay, stored, others))
    assert len(pairs) == len(SOUND) + 2 * len(STUDIES) + 3 + len(others)
    schemas = {name: answer_schema(name) for name in ANSWERS}
    wrong = ("status", json.dumps({"schema": "assay/status/1"}))  # which it must see
    asked = json.dumps({"schemas": schemas, "documents": [*pairs, wrong]})
    done = subprocess.run(["node", "-e", _AJV], input=asked, capture_output=True, text=True, check=True)
    assert [name for name, *_ in json.loads(done.stdout)] == ["status"], done.stdout[:2000]
    assert '"required"' in done.stdout


def _has_ajv() -> bool:
    if shutil.which("node") is None:
        return False
    return (
        subprocess.run(
            ["node", "-e", 'require("ajv/dist/2020")'], capture_output=True, check=False
        ).returncode
        == 0
    )


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_the_schema_of_an_answer_is_printed(assay: Assay, name: str) -> None:
    printed = json.loads(assay("schema", "--of", name).out)
    jsonschema.Draft202012Validator.check_schema(printed)
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert f'"assay/{name}/{VERSIONS.get(name, 1)}"' in json.dumps(printed)


@pytest.mark.parametrize(
    ("name", "words"), [("staus", "did you mean `status`?"), ("xyz", "there is no answer called xyz")]
)
def test_a_schema_that_is_not_there_is_refused(assay: Assay, name: str, words: str) -> None:
    answer = assay("schema", "--of", name)
    assert answer.code == 2
    assert words in answer.err


class _Numbers(Answer):
    value: Value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "null"),
        (float("inf"), "null"),
        (np.float64("nan"), "null"),
        (np.float64(0.1), "0.1"),
        (np.int64(3), "3.0"),
        (0.1 + 0.2, "0.30000000000000004"),
    ],
    ids=str,
)
def test_a_number_has_all_its_digits_and_what_is_none_is_null(value: Any, text: str) -> None:
    assert _Numbers(value=value).text(None) == f'{{"value": {text}}}'


def test_an_answer_holds_no_secret(assay: Assay, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = assay("status", "small", "--json", "--storage", store.uri)
    assert "Does the balance pay?" in shown.out
    monkeypatch.setenv("ASSAY_WEBHOOK", "balance pay?")  # a secret that a text holds
    assert "balance pay?" not in assay("status", "small", "--json", "--storage", store.uri).out


def test_status_tells_what_has_no_result_and_why(assay: Assay, store: Store) -> None:
    content = json.loads(assay("status", "small", "--json", "--storage", store.uri).out)
    assert (content["trials"], content["done"], content["planned"]) == (4, 3, 1)
    assert content["counts"] == {"finished": 2, "failed": 1}
    assert [row["reason"] for row in content["unfinished"]] == ["RuntimeError: it broke"]
    assert (content["held"], content["over"]) == (False, False)


def test_trials_of_a_run_that_was_killed_are_planned_in_words_and_in_json(
    assay: Assay, store: Store, plan: Plan
) -> None:
    run_elsewhere(store, silent=61.0)
    store.write_progress(Progress.now(plan.trials[3].id, 3, 10, {}, seconds_per_epoch=2.0))
    content = json.loads(assay("status", "small", "--json", "--storage", store.uri).out)
    assert (content["held"], content["running"], content["planned"]) == (False, [], 1)
    assert "3/4 trials · 2 finished · 1 failed · 0 running · 1 planned" in (
        assay("status", "small", "--storage", store.uri).out
    )


def test_a_record_that_cannot_be_believed_is_named_in_words_and_in_json(
    assay: Assay, store: Store, plan: Plan
) -> None:
    path = f"trials/{plan.trials[0].id}/record.json"
    store.write_bytes(path, b"{")
    content = json.loads(assay("status", "small", "--json", "--storage", store.uri).out)
    assert content["damaged"] == [plan.trials[0].id]
    shown = assay("status", "small", "--storage", store.uri).out
    assert f"{path}: " in shown
    assert "`assay check --repair` sets it aside" in shown


def test_two_studies_side_by_side_are_an_answer(assay: Assay, store: Store) -> None:
    text = STUDY.replace("study: small", "study: longer")
    longer = plan_study(parse_study(text, "longer.yaml"), None, "cpu")
    write_plan(store, longer)
    content = json.loads(assay("report", "small", "longer", "--json", "--storage", store.uri).out)
    validator("report-pair").validate(content)
    assert (content["left"], content["right"], len(content["cells"])) == ("small", "longer", 2)


def test_a_study_that_cannot_be_read_is_a_line_with_its_error(assay: Assay, store: Store) -> None:
    store.write_bytes("studies/other/plan.parquet", b"no parquet")
    lines = {
        line["study"]: line
        for line in json.loads(assay("status", "--json", "--storage", store.uri).out)["studies"]
    }
    assert "plan.parquet" in lines["other"]["error"]
    assert lines["small"]["error"] is None


def test_what_a_library_or_a_child_prints_goes_to_standard_error(tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys, typer\nfrom assay.cli import app as program\n"
        "sys.argv = ['assay', 'settings', '--json']\n"
        "import assay.cli.studies as settings\nreal = settings.answer_of_settings\n"
        "def noisy(*arguments):\n"
        "    print('python'); os.write(1, b'descriptor\\n'); subprocess.run(['echo', 'child'])\n"
        "    return real(*arguments)\n"
        "settings.answer_of_settings = noisy\nprogram.main()"
    )
    environment = {**os.environ, "ASSAY_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert json.loads(done.stdout)["schema"] == "assay/settings/1"
    assert {"python", "descriptor", "child"} <= set(done.stderr.split())
