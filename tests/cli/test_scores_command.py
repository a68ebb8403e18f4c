"""`assay judge`: what it prints and writes of a table, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.small_study import Assay

SCORES = "method,seed,ap,loss\n" + "".join(
    f"{cell},{seed},{0.8 + gain + change * (-1) ** seed * (seed + 1) + 0.003 * (seed * 5 % 7)},{seed + 1}\n"
    for cell, gain, change in (("base", 0.0, 0.0), ("new", 0.05, 0.001), ("lite", 0.0, 0.001))
    for seed in range(6)
)


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    file = tmp_path / "scores.csv"
    file.write_text(SCORES, encoding="utf-8")
    return file


def test_verdicts_are_printed_as_a_table_and_as_json(assay: Assay, scores: Path) -> None:
    asked = ("judge", scores, "--against", "base", "--resolve", "0.02", "--lower", "loss")
    printed = assay(*asked)
    assert printed.code == 0, printed.err
    content = json.loads(assay(*asked, "--json").out)
    of_ap = {row["comparison"]: row["verdict"] for row in content["comparisons"] if row["metric"] == "ap"}
    assert of_ap == {"base → new": "shown", "base → lite": "negligible"}
    assert all(verdict in printed.out for verdict in ("Keep", "No difference"))


@pytest.mark.parametrize(
    ("name", "start"),
    [("x.md", "# scores.csv"), ("x.html", "<!doctype html>"), ("x.tex", "% Written by"), ("x.csv", "study,")],
)
def test_verdicts_are_written_as_the_file_ends(
    assay: Assay, scores: Path, tmp_path: Path, name: str, start: str
) -> None:
    answer = assay("judge", scores, "--output", tmp_path / name)
    assert answer.code == 0, answer.err
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--against", "best"), "--against names a cell, found best"),
        (("--against", "base", "--compare", "base -> new"), "found --compare base -> new beside it"),
        (("--splits", "own"), "'own' is not one of 'prescribed', 'per_seed'."),
        (("--exact-test", "anova"), "'anova' is not one of 'sign-flip', 'wilcoxon'."),
        (("--resolve", "0"), "--resolve is a difference above 0, found 0"),
        (("--json", "--output", "x.md"), "--json is printed"),
        (("--seed", "run"), "--seed names a column of scores.csv, found run"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    assay: Assay, scores: Path, options: tuple[str, ...], said: str
) -> None:
    answer = assay("judge", scores, *options)
    assert answer.code == 2
    assert said in answer.err


def test_a_file_that_is_not_there_is_a_line(assay: Assay, tmp_path: Path) -> None:
    answer = assay("judge", tmp_path / "none.csv")
    assert answer.code == 2
    assert "No such file" in answer.err


@pytest.mark.parametrize(
    ("options", "printed"),
    [((), {"image_ap"}), (("--score", "m7", "--score", "m8"), {"m7", "m8"})],
    ids=["nobody named one", "named"],
)
def test_of_many_metrics_the_primary_one_is_printed_and_the_others_are_named(
    assay: Assay, tmp_path: Path, options: tuple[str, ...], printed: set[str]
) -> None:
    names = ["image_ap", *(f"m{number}" for number in range(1, 9))]
    rows = [f"{c},{s},{m},0.{5 + (c == 'b')}{s}" for c in "ab" for s in range(4) for m in names]
    file = tmp_path / "scores.csv"
    file.write_text("\n".join(["cell,seed,metric,value", *rows]), encoding="utf-8")
    shown = assay("judge", file, *options).out.partition("\nvariant ")[2]
    table, _, notes = shown.partition("\n- ")
    titles = {"image_ap": "AP ↑"} | {name: f"{name} ↑" for name in names[1:]}
    assert {name for name, title in titles.items() if title in table} == printed
    assert options or all(word in notes for word in ("`--score NAME`", *names[1:]))
    written = json.loads(assay("judge", file, "--json").out)
    assert {row["metric"] for row in written["comparisons"]} == set(names)
