"""Without extras a table of scores is tidy or wide, in plain numbers; all else is refused with a way out."""

from __future__ import annotations

import io
import math

import pandas as pd
import pytest

from assay.analysis.scores import score_table
from assay.analysis.scores.score_file import AnalysedScores, ScoreQuestion, analyse_score_file
from assay.analysis.scores.score_table import ColumnNames, ReadTable, TextColumns
from assay.extras import EXTRAS, Extra
from trainables.errors import InputError

pytestmark = pytest.mark.usefixtures("without_extras")


def read(text: str, names: ColumnNames = ColumnNames()) -> AnalysedScores:  # noqa: B008
    """The verdicts on a text."""
    return analyse_score_file("scores.csv", text.encode(), ScoreQuestion(names))


def refused(text: str, names: ColumnNames = ColumnNames()) -> str:  # noqa: B008
    """The refusal of a text."""
    with pytest.raises(InputError) as refusal:
        read(text, names)
    return str(refusal.value)


TIDY = "cell,seed,metric,value\n" + "".join(
    f"{cell},{seed},image_ap,{gain + seed / 100}\n"
    for cell, gain in (("a", 0.5), ("b", 0.7))
    for seed in (0, 1)
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (TIDY, {}),
        (TIDY.replace(",", "\t"), {}),
        (TIDY.replace(",", ";"), {}),
        ("cell,seed,image_ap\na,0,.5\na,1,5.1e-1\nb,0,+.7\nb,1,0.71\n", {}),
        ("cell,seed,quality\na,0,.5\na,1,.51\nb,0,.7\nb,1,.71\n", {}),
        ("cell,seed,x,y\na,0,1,.5\na,1,1,.51\nb,0,1,.7\nb,1,1,.71\n", {"score": ("y",)}),
        ("net,run,ap\na,0,.5\na,1,.51\nb,0,.7\nb,1,.71\n", {"cell": ("net",), "seed": "run"}),
        ("cell,seed,ap,part\na,0,.5,test\na,1,.51,test\nb,0,.7,test\nb,1,.71,test\nb,1,.9,val\n", {}),
        ("cell,seed,ap,comment\na,0,.5,x\na,1,.51,\nb,0,.7,\nb,1,.71,\n", {}),
    ],
)
def test_a_tidy_and_a_wide_table_are_judged(text: str, names: dict[str, str]) -> None:
    (result,) = read(text, ColumnNames(**names)).analysis.comparisons  # pyright: ignore[reportArgumentType]
    assert result.comparison == "a → b"
    assert result.differences == pytest.approx((0.2, 0.2))


def test_every_metric_of_assay_in_a_wide_table_is_a_score_and_the_first_is_the_primary_one() -> None:
    scores = read("cell,seed,image_ap,fp\na,0,.5,3\na,1,.6,4\nb,0,.7,2\nb,1,.8,1\n")
    assert [(metric.name, metric.better) for metric in scores.metrics] == [
        ("image_ap", "higher"),
        ("fp", "lower"),
    ]


def test_several_columns_of_cells_are_factors() -> None:
    rows = [
        f"{m},{s},{seed},.{6 + (s == 'on')}{seed}" for m in "xy" for s in ("off", "on") for seed in (0, 1)
    ]
    scores = read("\n".join(["mask,stop,seed,ap", *rows]), ColumnNames(cell=("mask", "stop")))
    compared = {result.comparison for result in scores.analysis.comparisons}
    assert compared == {"mask: x → y", "stop: off → on"}


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (
            "cell,seed,ap,status\na,0,.5,finished\na,1,,diverged\nb,0,.7,finished\nb,1,.8,finished\n",
            "diverged",
        ),
        ("cell,seed,ap,status\na,0,.5,finished\na,1,.9,failed\nb,0,.7,finished\nb,1,.8,finished\n", "failed"),
        ("cell,seed,ap\na,0,.5\na,1,-inf\nb,0,.7\nb,1,.8\n", "diverged"),
        ("cell,seed,ap\na,0,.5\na,1,\nb,0,.7\nb,1,.8\n", "missing"),
        ("cell,seed,ap\na,0,.5\nb,0,.7\nb,1,.8\n", "missing"),
    ],
)
def test_a_run_without_a_result_is_lost_for_its_reason(text: str, status: str) -> None:
    scores = read(text)
    assert [lost.status for summary in scores.summary(scores.metrics[0]) for lost in summary.lost] == [status]


def test_folds_of_a_data_frame_may_be_floats_and_empty() -> None:
    rows = [
        (c, s, f, g + s / 10) for c, g in (("a", 0.5), ("b", 0.7)) for s in (0, 1) for f in (0.0, math.nan)
    ]
    table = pd.DataFrame(rows, columns=["cell", "seed", "fold", "ap"])
    for name in ("scores.csv", "scores.parquet"):
        file = io.BytesIO()
        table.to_csv(file, index=False) if name.endswith("csv") else table.to_parquet(file)
        scores = analyse_score_file(name, file.getvalue(), ScoreQuestion())
        assert list(scores.table["fold"].dropna().unique()) == [0]
        assert len(scores.table) == len(rows)


def test_of_a_score_that_is_no_metric_of_assay_the_direction_is_left_open() -> None:
    scores = read("cell,seed,loss\na,0,.5\na,1,.6\nb,0,.7\nb,1,.8\n")
    assert scores.metrics[0].better == "higher"
    assert any("add `--lower NAME`" in note and "loss" in note for note in scores.notes)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "dataset,base,new\nd0,.5,.6\nd1,.6,.7\n",
            "scores.csv has dataset, base, new. Call them so, or name",
        ),
        ("run_id,params.method,params.seed,metrics.ap\nx,a,0,.5\ny,b,0,.6\n", "columns cell and seed"),
        ("Name,State,method,seed,ap\nx,finished,a,0,.5\ny,finished,b,0,.6\n", "columns cell and seed"),
        ("cell,seed,ap\na,0,91 %\nb,0,95 %\n", "found '91 %' for ap in line 2 of scores.csv. Write it so"),
        ('cell,seed,ap\na,0,"0,91"\nb,0,"0,95"\n', "found '0,91' for ap in line 2"),
        ("cell,seed,fp\na,0,980\nb,0,1 012\n", "found '1 012' for fp in line 3"),
        ("cell,seed,ap\na,0,0.91\nb,0,0.95 ± 0.01\n", "found '0.95 ± 0.01' for ap in line 3"),
        ("cell,seed,ap\na,0,0.91\nb,0,n/a\n", "found 'n/a' for ap in line 3"),
        ("cell,seed,ap\na,s1,.5\nb,s1,.6\n", "whole numbers, found 's1' for seed in line 2"),
        ("cell,seed,ap\na,0,.5\na,Mean,.5\nb,0,.6\n", "whole numbers, found 'Mean' for seed in line 3"),
        ("cell,seed,lr,ap\na,0,.1,.5\nb,0,.2,.6\n", "found lr, ap in scores.csv. Name the scores: --score"),
        ("cell,seed,lr,image_ap\na,0,.1,.5\nb,0,.2,.6\n", "found lr, image_ap in"),
        ("cell,seed,ap,status\na,0,.5,ok\nb,0,.6,ok\n", "found 'ok' in line 2"),
    ],
)
def test_any_other_layout_is_refused_with_what_to_write(text: str, told: str) -> None:
    assert told in refused(text)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            {"cell": ("net",)},
            "--cell names a column of scores.csv, found net; it has cell, seed, metric",
        ),
        ({"seed": "run"}, "--seed names a column of scores.csv, found run"),
        ({"fold": "k"}, "--fold names a column of scores.csv, found k"),
        ({"score": ("loss",)}, "--score names a metric of scores.csv, found loss; it has image_ap"),
    ],
)
def test_a_name_that_the_table_does_not_have_is_refused(names: dict[str, str], told: str) -> None:
    assert told in refused(TIDY, ColumnNames(**names))  # pyright: ignore[reportArgumentType]


def read_pairs(text: TextColumns, names: ColumnNames, file: str) -> ReadTable | None:
    """The layout of another package: lines such as ``a|0|.5`` in one column."""
    if list(text.columns) != ["pair", "more"]:
        return None
    cells, seeds, values = zip(*(pair.split("|") for pair in text.columns["pair"]), strict=True)
    columns = {"cell": list(cells), "seed": list(seeds), "quality": list(values)}
    return score_table.read_plain_table(TextColumns(columns, text.lines), names, file)


@pytest.mark.parametrize("text", [TIDY, "pair,more\na|0|.5,\na|1|.51,\nb|0|.7,\nb|1|.71,\n"])
def test_an_extra_of_another_package_reads_its_layout_and_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    pairs = Extra(name="pairs", summary="Pairs.", score_tables="tests.analysis.test_score_table:read_pairs")
    monkeypatch.setattr(score_table, "EXTRAS", {**EXTRAS, "pairs": pairs})
    (result,) = read(text).analysis.comparisons
    assert result.differences == pytest.approx((0.2, 0.2))


def test_a_fold_alone_names_a_repeat() -> None:
    (result, *_) = read(TIDY.replace("seed", "fold")).analysis.comparisons
    assert result.difference == pytest.approx(0.2)
