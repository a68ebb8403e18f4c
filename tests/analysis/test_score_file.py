"""A table of scores gets the verdicts of a study, in the layouts of other programs too."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest

from assay.analysis.results.results import StudyResults
from assay.analysis.scores import score_file
from assay.analysis.scores.score_file import AnalysedScores, ScoreQuestion, analyse_score_file
from assay.analysis.scores.score_table import ColumnNames
from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import tidy
from assay.report.formats import FORMATS
from assay.report.pages import score_page
from assay.statistics.contrasts import comparison
from assay.statistics.families import Rules, compare
from tests.analysis.made_studies import STUDY, make_plan, make_record, numbers_of, uneven
from tests.report.goldens import GOLDENS
from tests.statistics.tables import tidy_table
from trainables.errors import InputError

pytestmark = pytest.mark.usefixtures("with_and_without_extras")

PRESCRIBED = STUDY.replace(", splits: per_seed", "")
ONE_FACTOR = STUDY.replace(
    "  supervision: {full: {supervision: full}, few: {supervision: {mixed: 5}}}\n", ""
).replace(", {factor: supervision, from: few, to: full}", "")
LONG = "cell,seed,score\n" + "".join(
    f"{cell},{seed},{0.8 + gain + 0.01 * (seed * 7 % 5)}\n"
    for cell, gain in (("base", 0.0), ("new", 0.05), ("lite", 0.0001))
    for seed in range(6)
)


def read(text: str | bytes, question: ScoreQuestion = ScoreQuestion()) -> AnalysedScores:  # noqa: B008
    """The verdicts on a text."""
    return analyse_score_file("scores.csv", text.encode() if isinstance(text, str) else text, question)


def verdicts(scores: AnalysedScores) -> dict[str, str]:
    """Comparison → verdict."""
    return {result.comparison: result.verdict for result in scores.analysis.comparisons}


@pytest.mark.parametrize("cells", [3, 30])
def test_the_rows_are_gone_through_as_often_for_many_cells_as_for_few(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    keys = score_file.repeat_keys

    def counted(table: pd.DataFrame) -> list[tuple[str, int, int, str]]:
        passes.append(len(table))
        return keys(table)

    rows = [f"m{cell},{seed},{0.5 + seed / 100}" for cell in range(cells) for seed in range(3)]
    scores = read("\n".join(["cell,seed,AP", *rows]), ScoreQuestion(against="m0"))
    monkeypatch.setattr(score_file, "repeat_keys", counted)
    page = score_page(scores)
    assert len(page.table.rows) == cells
    assert len(passes) == 3  # the means, the table of cells, the repeats


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("text", "seeds"),
    [(STUDY, 3), (STUDY, 7), (PRESCRIBED, 6), (PRESCRIBED, 16), (PRESCRIBED + "resolve: 0.05\n", 8)],
)
def test_the_summary_of_a_study_gets_the_answers_of_the_study(text: str, seeds: int, suffix: str) -> None:
    plan = make_plan(text.replace("[0, 1, 2]", str(list(range(seeds)))))
    study = plan.study
    results = StudyResults(plan, {trial.id: make_record(trial, uneven) for trial in plan.trials})
    file = io.BytesIO()
    table = tidy(results).to_pandas()
    table.to_parquet(file) if suffix == "parquet" else table.to_csv(file, index=False)
    question = ScoreQuestion(
        columns=ColumnNames(score=(study.metrics.primary, *study.metrics.report)),
        compared=("stop", "supervision: few -> full"),
        resolve=study.resolve,
        splits="per_seed" if text is STUDY else "prescribed",
        signs=study.content_hash,
    )
    scores = analyse_score_file(f"summary.{suffix}", file.getvalue(), question)
    assert numbers_of(scores.analysis, scores.metrics) == numbers_of(study_analysis(results), results.metrics)


@pytest.mark.parametrize("golden", ["seeds", "folds"])
def test_the_summary_of_a_study_that_lost_trials_gets_its_answers_too(golden: str) -> None:
    plan, records, damaged = GOLDENS[golden]()
    results = StudyResults(plan, records, damaged)
    study = plan.study
    question = ScoreQuestion(
        columns=ColumnNames(score=(study.metrics.primary, *study.metrics.report)),
        compared=("stop", "supervision: few -> full"),
        resolve=study.resolve,
        signs=study.content_hash,
    )
    scores = analyse_score_file("summary.csv", tidy(results).to_pandas().to_csv().encode(), question)
    assert numbers_of(scores.analysis, scores.metrics) == numbers_of(study_analysis(results), results.metrics)


def test_the_summary_of_a_study_of_one_factor_is_compared_by_its_factor() -> None:
    plan = make_plan(ONE_FACTOR)
    results = StudyResults(plan, {trial.id: make_record(trial, uneven) for trial in plan.trials})
    summary = tidy(results).to_pandas().to_csv(index=False)
    names = ["stop: off → on"]
    assert {result.comparison for result in study_analysis(results).comparisons} == set(names)
    for compared in ((), ("stop",), ("stop: off -> on",)):
        scores = read(summary, ScoreQuestion(ColumnNames(score=("image_ap",)), compared=compared))
        assert list(verdicts(scores)) == names


def test_verdicts_are_those_of_the_statistics() -> None:
    scores = read(LONG, ScoreQuestion(against="base", resolve=0.01))
    values = {cell: list(scores.table.loc[scores.table["cell"] == cell, "value"]) for cell in scores.cells}
    table = tidy_table(values)
    contrasts = [comparison(f"base → {cell}", "base", cell) for cell in ("new", "lite")]
    expected = compare(table, contrasts, metric="image_ap", rules=Rules(resolve=0.01))
    assert [r.p_adjusted for r in scores.analysis.comparisons] == [r.p_adjusted for r in expected]
    assert list(verdicts(scores).values()) == [r.verdict for r in expected]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cell,seed,ap\na,0,.5\na,0,.6\nb,0,.7\n", "found 2 of a, seed 0 in scores.csv: line 2 (0.5) and"),
        ("cell,seed,ap\na,0,.5\na,1,.6\n", "a comparison is of two cells, found a"),
        ("cell,seed,ap\na,0,.5\nb,1,.6\n", "no two in scores.csv have one: a has 0, b has 1"),
        ("cell,fold,ap\na,0,.5\nb,1,.6\n", "a has fold 0, b has fold 1"),
        ("cell,seed,ap\na,0,.5\na,1,high\nb,0,.6\n", "found 'high' for ap in line 3"),
        ("cell seed ap\na 0 .5\nb 0 .6\n", "found one column, 'cell seed ap', in scores.csv. Save"),
        ("cell,ap\na,.5\nb,.6\n", "--seed"),
        ("cell,seed,ap\na,0,.5\n,0,.6\n", "cell is empty in line 3"),
        ("cell,seed,ap\na,0\n", "found 2 in line 2"),
        ("cell,seed,seed\na,0,1\n", "found 'seed' more than once"),
        ("cell,seed,ap\n", "found 1 lines"),
        (b"cell,seed\n\xff\xfe", "CSV in UTF-8"),
        (b"PAR1 and no more", "is no readable Parquet"),
        ("study,cell,seed,ap\nx,a,0,.5\ny,b,0,.6\n", "one study at a time, found x, y"),
        ("cell,seed,part,ap\na,0,val,.5\nb,0,val,.6\n", "has 'val'"),
        ("cell,seed,ap\na,0,.5\nb,0,-1e300\n", "1e+100, found '-1e300' for ap in line 3 of scores.csv"),
        ("cell,seed,image_ap\na,0,.5\nb,0,100.5\n", "image_ap is a share from 0 to 1, found '100.5'"),
        ("cell,seed,fp\na,0,1\nb,0,1.5\n", "fp counts images and is a whole number, found '1.5' for"),
        ("cell,seed,ap,status\na,0,.5,good\nb,0,.6,good\n", "found 'good' in"),
        (
            "cell,seed,ap\n" + "".join(f"a,{seed},.5\nb,{seed + 6},.6\n" for seed in range(6)),
            "a has 0, 1, 2, 3, 4 and 1 more, b has 6, 7, 8, 9, 10 and 1 more. Give",
        ),
    ],
)  # fmt: skip
def test_an_odd_table_is_refused_with_a_way_out(text: str | bytes, said: str) -> None:
    with pytest.raises(InputError) as refusal:
        read(text)
    assert said in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"x", b"PAR1PAR1", b"cell,seed,ap\na,0,.5\nb,0,.6\n"])
def test_a_damaged_parquet_is_called_one(content: bytes) -> None:
    with pytest.raises(InputError, match=r"^scores\.parquet is no readable Parquet"):
        analyse_score_file("scores.parquet", content, ScoreQuestion())


def test_a_parquet_with_a_damaged_page_is_refused() -> None:
    file = io.BytesIO()
    pd.read_csv(io.StringIO(LONG)).to_parquet(file)
    whole = file.getvalue()
    with pytest.raises(InputError, match="is no readable Parquet"):
        read(whole[:4] + bytes(60) + whole[64:])


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (ScoreQuestion(against="best"), "--against names a cell, found best"),
        (ScoreQuestion(compared=("base -> best",)), "--compare names a cell, found best"),
        (ScoreQuestion(compared=("base -> base",)), "two sides, found base twice in base -> base"),
        (ScoreQuestion(compared=("balance",)), "found balance. The cells are base, new, lite"),
        (ScoreQuestion(lower=("loss",)), "--lower names a metric of scores.csv, found loss"),
        (
            ScoreQuestion(columns=ColumnNames(score=("loss",))),
            "--score names a column of scores.csv, found loss",
        ),
        (ScoreQuestion(splits="per_seed"), "columns n_train and n_test"),
        (ScoreQuestion(resolve=5), "--resolve is a difference of score, a share, and below 1, found 5"),
        (ScoreQuestion(signs="no hash"), "found no hash"),
        (ScoreQuestion(looks=(3, 7)), "which has 6, found 7"),
        (ScoreQuestion(can_go=("lite -> base",)), "less than --resolve, found lite -> base without it"),
        (ScoreQuestion(can_go=("lite -> best",), resolve=0.01), "--can-go names a cell, found best"),
        (
            ScoreQuestion(can_go=("lite -> base", "base -> lite"), resolve=0.01),
            "found lite and base each way round",
        ),
    ],
)
def test_a_question_beside_the_table_is_refused(question: ScoreQuestion, said: str) -> None:
    with pytest.raises(InputError) as refusal:
        read(LONG, question)
    assert said in str(refusal.value)


@pytest.mark.parametrize("compared", [(), ("base -> lite",), ("lite -> base",)])
def test_what_can_go_is_asked_of_a_table_in_one_direction(compared: tuple[str, ...]) -> None:
    gains = (0.002, -0.003, 0.001, -0.002, 0.003, 0.0)
    noisy = [f"lite,{seed},{0.8 + 0.01 * seed - gain}" for seed, gain in enumerate(gains)]
    question = ScoreQuestion(compared=compared, can_go=("lite -> base",), resolve=0.02)
    table = "\n".join(["cell,seed,score", *(f"base,{seed},{0.8 + 0.01 * seed}" for seed in range(6)), *noisy])
    (result,) = read(table, question).analysis.comparisons
    assert (result.comparison, result.ask, result.verdict) == ("lite → base", "can go", "dispensable")
    assert result.loses_at_most is not None
    assert 0 < result.loses_at_most < 0.02


@pytest.mark.parametrize("levels", [("on", "off"), ("Full", "None")])
def test_a_part_that_is_left_out_on_the_right_cannot_go(levels: tuple[str, str]) -> None:
    rows = [f"a,{level},{seed},.5{seed}" for level in levels for seed in range(3)]
    table = "\n".join(["mask,stop,seed,ap", *rows, "b,on,0,.5"])

    def asked(text: str) -> AnalysedScores:
        columns = ColumnNames(cell=("mask", "stop"), seed="seed", score=("ap",))
        return read(table, ScoreQuestion(columns, can_go=(text,), resolve=0.02))

    with pytest.raises(InputError, match=f'Turn it round: --can-go "stop: {levels[1]} -> {levels[0]}"'):
        asked(f"stop: {levels[0]} -> {levels[1]}")
    names = [result.comparison for result in asked("stop").analysis.comparisons]
    assert f"stop: {levels[1]} → {levels[0]}" in names


def test_a_level_is_not_compared_with_itself() -> None:
    rows = [f"{mask},{stop},{seed},.5" for mask in "ab" for stop in ("on", "off") for seed in (0, 1)]
    text = "\n".join(["mask,stop,seed,ap", *rows])
    question = ScoreQuestion(ColumnNames(cell=("mask", "stop")), compared=("stop: on -> on",))
    with pytest.raises(InputError, match="two sides, found on twice"):
        read(text, question)


def test_a_score_on_a_split_of_its_own_without_the_sizes_of_its_parts_is_refused() -> None:
    text = "cell,seed,ap,n_train,n_test\na,0,.5,100,30\na,1,.6,100,30\nb,0,.7,100,30\nb,1,.9,,\n"
    with pytest.raises(InputError, match=r"of 4 scores of scores.csv, 1 lack them"):
        read(text, ScoreQuestion(splits="per_seed"))


@pytest.mark.parametrize(
    ("row", "n", "planned", "status"),
    [
        ("", 2, 3, "missing"),
        ("b,2,\n", 2, 3, "missing"),
        ("b,2,nan\n", 2, 3, "diverged"),
        ("b,2,.8\n", 3, 3, None),
    ],
)
def test_a_repeat_without_a_value_is_lost_and_counted(
    row: str, n: int, planned: int, status: str | None
) -> None:
    scores = read("cell,seed,ap\na,0,.5\na,1,.6\na,2,.75\nb,0,.7\nb,1,.9\n" + row)
    (result,) = scores.analysis.comparisons
    assert (result.n, result.n_planned) == (n, planned)
    lost = [lost.status for summary in scores.summary(scores.metrics[0]) for lost in summary.lost]
    assert lost == ([] if status is None else [status])


@pytest.mark.parametrize("lost", ["b,6,nan,100,30\n", ""])
def test_a_comparison_that_seeds_may_settle_is_not_called_one_of_folds(lost: str) -> None:
    rows = "".join(
        f"a,{seed},{0.8 + 0.01 * seed},100,30\nb,{seed},{0.82 - 0.01 * seed},100,30\n" for seed in range(6)
    )
    text = f"cell,seed,ap,n_train,n_test\n{rows}" + (f"a,6,.9,100,30\n{lost}" if lost else "")
    scores = read(text, ScoreQuestion(splits="per_seed"))
    (result,) = (each for each in scores.analysis.comparisons if each.claim == "new data")
    assert (result.verdict, result.more is None) == ("open", bool(lost))
    assert "More seeds do not settle" not in FORMATS["md"].score_files(scores, "")[""].decode()


def test_equal_differences_on_splits_of_their_own_are_not_called_ones_of_folds() -> None:
    rows = "".join(f"a,{seed},.8{seed},100,30\nb,{seed},.9{seed},100,30\n" for seed in range(6))
    scores = read(f"cell,seed,ap,n_train,n_test\n{rows}", ScoreQuestion(splits="per_seed"))
    (result,) = (each for each in scores.analysis.comparisons if each.claim == "new data")
    assert (result.verdict, result.more) == ("open", None)
    assert "More seeds do not settle" not in FORMATS["md"].score_files(scores, "")[""].decode()


@pytest.mark.parametrize("looks", [(), (3,)])
def test_what_a_table_does_not_tell_is_said_whether_or_not_looks_are_named(looks: tuple[int, ...]) -> None:
    (note,) = (note for note in read(LONG, ScoreQuestion(looks=looks)).notes if "does not tell" in note)
    assert "tried and left out" in note
    assert ("somebody looked before" in note) == (not looks)


@pytest.mark.parametrize("form", ["md", "html", "latex", "csv"])
def test_verdicts_are_written_in_every_form(form: str) -> None:
    files = FORMATS[form].score_files(read(LONG, ScoreQuestion(against="base")), f"x{FORMATS[form].suffix}")
    (content,) = files.values()
    assert "base" in content.decode()
    assert "lite" in content.decode()


def test_json_has_no_number_that_is_none() -> None:
    scores = read(LONG, ScoreQuestion(against="base", resolve=0.01))
    content = json.loads(FORMATS["json"].score_files(scores, "")[""])
    assert [row["comparison"] for row in content["comparisons"]] == ["base → new", "base → lite"]
    assert content["cells"][0]["n"] == 6
    assert content["resolve"] == 0.01


def test_an_unknown_score_may_be_of_any_size() -> None:
    cells = (("a", 1.0), ("b", 1.5))
    text = "cell,seed,loss\n" + "".join(f"{c},{s},{s * g - 3}\n" for c, g in cells for s in range(7))
    scores = read(text, ScoreQuestion(lower=("loss",)))
    assert scores.metrics[0].better == "lower"
    assert scores.analysis.comparisons[0].better == 0


def test_a_mean_below_zero_has_the_minus_of_its_interval() -> None:
    page = score_page(read("cell,seed,reward\na,0,-1.5\na,1,-2.5\na,2,-2\nb,0,1\nb,1,2\nb,2,3\n"))
    assert page.table.rows[0][1:3] == ("−2.000 ± 0.500", "[−3.242, −0.758]")


def test_a_cell_that_always_diverged_has_its_seeds() -> None:
    """It is no cell of other seeds: the page says that its repeats are lost."""
    scores = read("cell,seed,ap\na,0,nan\na,1,nan\na,2,inf\nb,0,.9\nb,1,.8\nb,2,.7\n")
    (result,) = scores.analysis.comparisons
    assert (result.n, result.n_planned, result.note) == (0, 3, "3 diverged")
