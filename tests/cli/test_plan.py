"""`assay plan`: what is shown of a study before anything trains, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from assay.api.planning import read_plan
from assay.storage import Store
from assay.study.file.shipped import shipped_studies
from tests.analysis.data_set_studies import LADDER
from tests.cli.small_study import Assay, finished
from tests.engine.staged_study import StagedStudy

REFUSED = shipped_studies()["segdec_table4_as_published"]  # confounded, as the published lines are


def test_plan_shows_what_differs_and_how_much_it_is(assay: Assay, study_file: Path, tmp_path: Path) -> None:
    answer = assay("plan", study_file, "--no-data", "--storage", tmp_path / "empty")
    assert answer.code == 0
    assert "config.balance" in answer.out
    assert "2 variants × 2 seeds = 4 trials; how many are done is unknown without data" in answer.out
    assert re.search(r"balance +1 +2 +config\.balance none → linear", answer.out)
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(
    ("place", "written"),
    [
        ("Does the balance pay?", r'"\x1b[31m"'),
        ("config: {balance: none}", r'data: {path: "\x1b[31m"}'),
        ("gpus", r'"gpus\x1b[31m"'),
    ],
    ids=["question", "difference", "error"],
)
def test_control_characters_of_a_file_are_written_out(
    assay: Assay, study_file: Path, place: str, written: str
) -> None:
    text = study_file.read_text(encoding="utf-8").replace("cpus: 1}", "cpus: 1, gpus: 0}")
    assert text.count(place) == 1
    study_file.write_text(text.replace(place, written), encoding="utf-8")
    answer = assay("plan", study_file, "--no-data")
    assert "\x1b" not in answer.out + answer.err
    assert r"\x1b[31m" in answer.out + answer.err


SPEAKING = """\
import os
from dataclasses import replace

from assay_toy import method


def footnotes(config):
    {body}


TRAINABLE = replace(method.TRAINABLE, name="speaking", footnotes=footnotes)
"""


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("return [os.environ['MY_TOKEN'], 'from s3://key:hunter2@bucket/a']", 0),
        ("raise RuntimeError(os.environ['MY_TOKEN'] + ' s3://key:hunter2@bucket/a')", 2),
    ],
    ids=["footnote", "error"],
)
def test_what_a_method_says_is_shown_without_credentials(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, code: int
) -> None:
    (tmp_path / "speaking.py").write_text(SPEAKING.format(body=body), encoding="utf-8")
    path = tmp_path / "own.yaml"
    path.write_text(
        "study: own\ntrainable: ./speaking.py:TRAINABLE\ndata: {reader: synthetic}\nsupervision: weak\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("MY_TOKEN", "abcdefgh12345")
    answer = assay("plan", path, "--no-data")
    assert answer.code == code, answer.err
    plan = read_plan(path, data=None, cache=tmp_path, with_data=False, say=print) if code == 0 else None
    shown = answer.out + answer.err + repr(plan and plan.cells)
    assert "abcdefgh12345" not in shown
    assert "hunter2" not in shown
    assert "s3://***@bucket/a" in shown


@pytest.mark.parametrize("command", [("plan", "--no-data"), ("plan",), ("run",)], ids=" ".join)
def test_a_confounded_study_is_refused_with_both_values_side_by_side(
    assay: Assay, tmp_path: Path, command: tuple[str, ...]
) -> None:
    answer = assay(*command, REFUSED, "--storage", tmp_path / "storage")
    assert answer.code == 2
    assert "balance: off → on is confounded, two cells differ outside balance:" in answer.err
    assert re.search(r"\n +config\.lr +0\.01 +1\.0\n", answer.err)
    assert not (tmp_path / "storage").exists()


def test_plan_shows_the_design_what_it_compares_and_the_bundles(assay: Assay, study_file: Path) -> None:
    text = study_file.read_text(encoding="utf-8")
    start = text.index("factors:")
    study_file.write_text(
        text[:start]
        + """\
factors:
  supervision:
    full: {supervision: full}
    weak: {supervision: weak, config: {lr: 0.01, delta: 0.5}}
  balance: {off: {config: {balance: none}}, on: {config: {balance: linear}}}
design: {leave_one_out: {whole: {supervision: full, balance: on}}}
repeats: {seeds: [0, 1, 2]}
""",
        encoding="utf-8",
    )
    said = assay("plan", study_file, "--no-data").out
    assert "design: leave one out of supervision full, balance on: supervision weak, balance off" in said
    assert re.search(r"all masks instead of none +1 +3 +config\.delta 0\.5 → 0\.01", said)
    assert re.search(r"; config\.lr 0\.01 → 1\.0; supervision weak → full", said)
    assert re.search(r"balance +1 +3 +config\.balance none → linear", said)


def test_plan_says_how_many_data_sets_a_claim_takes(assay: Assay, study_file: Path) -> None:
    study_file.write_text(LADDER, encoding="utf-8")
    said = assay("plan", study_file, "--no-data").out
    assert (
        "claim over data sets: 6 levels of surface. To be significant (p ≤ .05) takes 6, all of which go one "
        "way (p = .031): enough"
    ) in " ".join(said.split())
    fewer = re.sub(r"    (wood|paper|glass): .*\n", "", LADDER)
    study_file.write_text(fewer, encoding="utf-8")
    assert "(p = .031): 3 data sets more" in " ".join(assay("plan", study_file, "--no-data").out.split())
    rows = json.loads(assay("plan", study_file, "--no-data", "--json").out)["comparisons"]
    assert rows[0]["over"] == "surface"
    assert rows[0]["data_sets"] == ["steel", "cells", "tiles"]


def test_plan_of_a_screen_says_what_is_mixed_up_and_how_to_go_on(assay: Assay, study_file: Path) -> None:
    text = study_file.read_text(encoding="utf-8")
    switches = "".join(
        f"  {name}: {{off: {{config: {{{name}: 0.1}}}}, on: {{}}}}\n" for name in ("lr", "delta")
    )
    study_file.write_text(
        text[: text.index("factors:")]
        + f"""\
factors:
  supervision: {{full: {{supervision: full}}, weak: {{supervision: weak}}}}
  balance: {{off: {{config: {{balance: none}}}}, on: {{config: {{balance: linear}}}}}}
{switches}design: {{screen: {{cells: 8}}}}
repeats: {{seeds: [0, 1, 2]}}
""",
        encoding="utf-8",
    )
    said = assay("plan", study_file, "--no-data").out
    assert "design: screen of 4 factors in 8 cells" in said
    assert "main effects: supervision, balance, lr, delta; each from all 8 variants" in said
    assert re.search(r"supervision × balance +lr × delta", said)
    assert "`design: {screen: {cells: 8, fold_over: [supervision]}}` adds 8 cells" in " ".join(said.split())
    assert "compares nothing" not in said


@pytest.mark.parametrize(
    ("text", "replacement", "shown"),
    [
        (
            "design: {full: all}",
            "design: {rows: [{balance: off}, {balance: on, override: {config: {lr: 0.5}}}]}\n"
            "allow: {config.lr: tuned for each}",
            "config.lr, allowed: tuned for each",
        ),
        ("comparisons: [{factor: balance}]\n", "", "compares nothing"),
    ],
    ids=["a difference that is allowed, with its reason", "no comparison"],
)
def test_plan_says_what_a_comparison_allows_and_when_there_is_none(
    assay: Assay, study_file: Path, text: str, replacement: str, shown: str
) -> None:
    changed = study_file.read_text(encoding="utf-8").replace(text, replacement)
    study_file.write_text(changed, encoding="utf-8")
    assert shown in assay("plan", study_file, "--no-data").out


def test_a_long_plan_is_a_line_for_each_cell(assay: Assay, study_file: Path) -> None:
    text = study_file.read_text(encoding="utf-8")
    seeds = ", ".join(map(str, range(100)))
    study_file.write_text(text.replace("seeds: [0, 1]", f"seeds: [{seeds}]"), encoding="utf-8")
    short, long = (assay("plan", study_file, "--no-data", *more) for more in ((), ("--trials", "all")))
    assert "200 trials" in short.out
    assert len(short.out.splitlines()) < 20
    assert len(long.out.splitlines()) > 200


def test_plan_shows_how_many_stages_there_are_and_how_many_are_shared_and_made(
    assay: Assay, tmp_path: Path
) -> None:
    study = StagedStudy.of(tmp_path / "storage", tmp_path / "cache", seeds=(0, 1))
    file = tmp_path / "staged.yaml"
    file.write_text(study.text, encoding="utf-8")
    study.train(study.plan.trials[:1])
    rows = [line.split() for line in assay("plan", file, "--storage", study.storage).out.splitlines()]
    assert ["stage", "reads", "to", "make", "shared", "made", "used", "by", "trials"] in rows
    assert ["base", "–", "1", "2", "1", "8"] in rows
    assert ["maps", "base", "3", "4", "1", "8"] in rows
    assert "base" in assay("plan", file, "--no-data").out


DECIDES = "repeats: {decide: [6, 8, 10]}\nresolve: 0.01\n"


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ((), ["where every comparison differs by 0.01: expect ", "where nothing differs: expect "]),
        (
            ("--effect", "0.5"),
            ["where every comparison differs by 0.5: expect 12 of 20 trainings (12 in 8 of"],
        ),
    ],
)
def test_plan_says_how_many_trainings_a_study_that_decides_will_take(
    assay: Assay, study_file: Path, tmp_path: Path, options: tuple[str, ...], lines: list[str]
) -> None:
    text = re.sub(r"repeats: .*\n", DECIDES, study_file.read_text(encoding="utf-8"))
    study_file.write_text(text, encoding="utf-8")
    answer = assay("plan", study_file, "--no-data", "--storage", tmp_path / "empty", *options)
    assert answer.code == 0, answer.err
    printed = " ".join(answer.out.split())
    assert all(line in printed for line in lines)
    assert "assumed to be `resolve`: nothing was trained on these data yet" in printed
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(("seeds", "to_train"), [(0, 12), (5, 2), (6, 0)])
def test_plan_of_a_study_that_decides_counts_what_trains_until_the_next_verdicts(
    assay: Assay, study_file: Path, tmp_path: Path, seeds: int, to_train: int
) -> None:
    text = re.sub(r"repeats: .*\n", DECIDES, study_file.read_text(encoding="utf-8"))
    study_file.write_text(text, encoding="utf-8")
    store = Store(tmp_path / "storage")
    for trial in read_plan(study_file, data=None, cache=tmp_path / "cache", say=lambda text: None).trials:
        if trial.seed < seeds:
            alike = 0.5 + 0.001 * (trial.seed % 3) * (trial.levels["balance"] == "on")
            finished(trial, store, alike)
    answer = assay("plan", study_file, "--storage", store.uri)
    printed = " ".join(answer.out.split())
    until = " before the next verdicts" if to_train else " verdicts come at"
    assert f"at most 20 trials; {2 * seeds} done, {to_train} to train{until}" in printed
    assert ("expect" in printed) == bool(to_train)


@pytest.mark.parametrize(
    ("effect", "said"),
    [("0.02", "found 0.02 and a study without"), ("nan", "found nan"), ("inf", "found inf")],
)
def test_an_effect_is_refused_where_all_repeats_train_and_where_it_is_no_number(
    assay: Assay, study_file: Path, effect: str, said: str
) -> None:
    answer = assay("plan", study_file, "--no-data", "--effect", effect)
    assert answer.code == 2
    assert said in " ".join(answer.err.split())


def test_without_data_what_is_done_is_null(assay: Assay) -> None:
    answer = json.loads(assay("plan", "quickstart", "--no-data", "--json").out)
    assert (answer["done"], answer["to_train"], answer["cells"][0]["done"]) == (None, None, None)
    assert {trial["state"] for trial in answer["trials"]} == {None}
