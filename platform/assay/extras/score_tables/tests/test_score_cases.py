"""Forms of one table of scores get its one answer or are refused; none is read as another table."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import mlflow
import optuna
import pandas as pd
import pytest

from assay.analysis.results.reading import results_of_plan
from assay.analysis.scores.score_file import ScoreQuestion, analyse_score_file
from assay.analysis.scores.score_table import ColumnNames
from assay.analysis.study_analysis import study_analysis
from assay.extras.score_tables.tests.score_cases import (
    BASE,
    CASES,
    GAINS,
    NEW,
    Case,
    as_parquet,
    fault,
    table,
    tidy,
)
from assay.storage import Environment, Store
from assay.tracking import MlflowSync
from tests.analysis.made_studies import START, STUDY, lose, make_plan, make_record, uneven
from trainables.errors import InputError


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_form_of_a_table_is_answered_rightly_as_text(case: Case) -> None:
    _, wrong = fault(case, "scores.csv", case.text.encode())
    assert not wrong


@pytest.mark.parametrize("case", [case for case in CASES if case.parquet], ids=str)
def test_a_form_of_a_table_is_answered_rightly_as_parquet(case: Case) -> None:
    _, wrong = fault(case, "scores.parquet", as_parquet(case.text))
    assert not wrong


def test_an_answer_to_another_table_is_called_a_misreading() -> None:
    other = Case("means", "another", tidy("method,seed,AP", base=NEW, new=BASE), GAINS)
    assert "differences" in fault(other, "scores.csv", other.text.encode())[1]
    read = Case("means", "not refused", tidy("method,seed,AP"), "seed is empty")
    assert "read, and not refused" in fault(read, "scores.csv", read.text.encode())[1]


def test_the_runs_that_assay_synced_get_the_answers_of_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = STUDY.replace(", splits: per_seed", "").replace("seeds: [0, 1, 2]", "seeds: [0, 1, 2, 3, 4, 5]")
    plan, store = make_plan(text), Store(tmp_path / "storage")
    for minutes, trial in enumerate(plan.trials):
        attempt = store.begin_attempt(trial.id, Environment())
        started = START + timedelta(minutes=minutes)
        record = make_record(trial, uneven, attempt=attempt.name, started=started)
        lost = lose(trial, "diverged", "NaN loss at epoch 3").model_copy(update={"started": started})
        store.write_record(lost if trial is plan.trials[-1] else record)
    results = results_of_plan(plan, store)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    MlflowSync(uri, store).sync(results)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    runs = mlflow.search_runs(experiment_names=[results.name])
    assert isinstance(runs, pd.DataFrame)

    question = ScoreQuestion(compared=("stop", "supervision: few -> full"), signs=plan.study.content_hash)
    expected = {(r.comparison, r.cell_a, r.cell_b): r for r in study_analysis(results).comparisons}
    for suffix in ("csv", "parquet"):
        file = io.BytesIO()
        runs.to_parquet(file) if suffix == "parquet" else runs.to_csv(file, index=False)
        scores = analyse_score_file(f"runs.{suffix}", file.getvalue(), question)
        assert scores.metrics[0].name == "test/image_ap"
        counts = {metric.name for metric in scores.metrics if metric.better == "lower"}
        assert counts == {"test/fn", "test/fp"}
        assert any("4 parent runs" in note for note in scores.notes)
        answers = {(r.comparison, r.cell_a, r.cell_b): r for r in scores.analysis.comparisons}
        assert answers.keys() == expected.keys()
        for name, result in expected.items():
            assert answers[name].differences == result.differences
            assert answers[name].p_adjusted == result.p_adjusted
            assert answers[name].n_planned == result.n_planned
            assert answers[name].n_diverged == result.n_diverged


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_trials_of_a_grid_of_optuna_are_repeats(suffix: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    grid = {"method": ["base", "new"], "seed": list(range(5))}
    study = optuna.create_study(sampler=optuna.samplers.GridSampler(grid, seed=0), direction="maximize")

    def objective(trial: optuna.Trial) -> float:
        method = trial.suggest_categorical("method", grid["method"])
        seed = trial.suggest_int("seed", 0, 4)
        return float((BASE if method == "base" else NEW)[seed])

    study.optimize(objective, n_trials=10)
    file = io.BytesIO()
    trials = study.trials_dataframe()
    trials = trials.astype({"duration": str, "system_attrs_search_space": str})
    trials.to_parquet(file) if suffix == "parquet" else trials.to_csv(file)
    scores = analyse_score_file(f"t.{suffix}", file.getvalue(), ScoreQuestion(against="base"))
    (result,) = scores.analysis.comparisons
    assert sorted(result.differences) == pytest.approx(sorted(GAINS))


def test_an_unknown_status_is_named_with_those_that_are_known() -> None:
    text = table(("method", "seed", "AP", "status"), ("a", 0, 0.5, "gut"), ("b", 0, 0.6, "gut"))
    with pytest.raises(InputError, match=r"found 'gut' in status in line 2 .* done, finish, finished, ok,"):
        analyse_score_file("scores.csv", text.encode(), ScoreQuestion())


def test_the_page_shows_repeats_by_their_names_in_the_file() -> None:
    from assay.report.pages import score_page

    text = tidy("method,seed,AP").replace(",0,", ",first,")
    page = score_page(analyse_score_file("scores.csv", text.encode(), ScoreQuestion()))
    assert page.trials is not None
    assert page.trials.table is not None
    assert [row[1] for row in page.trials.table.rows[:2]] == ["first", "1"]


@pytest.mark.parametrize(("option", "name"), [("seed", "epoch"), ("fold", "global_step")])
def test_nobody_can_call_an_epoch_a_repeat(option: str, name: str) -> None:
    text = table(("method", name, "AP"), *((m, e, 0.5 + e / 10) for m in "ab" for e in range(3)))
    question = ScoreQuestion(ColumnNames(**{option: name}))  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=f"--{option} names the column of repeats, found {name}"):
        analyse_score_file("scores.csv", text.encode(), question)
