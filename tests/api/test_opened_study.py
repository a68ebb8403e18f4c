"""``assay.open(…).study(…)``: tables of a study, live, and as a notebook shows them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import assay
from assay.api.opened_storage import OpenedStudy
from assay.report.formats import FORMATS
from assay.storage import Store
from assay.storage.plans import write_plan
from assay.study import Plan
from tests.analysis.made_studies import lose, make_plan, make_record, score, with_predictions

HALF = 6  # of the trials have ended at first


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan()


@pytest.fixture
def store(tmp_path: Path, plan: Plan) -> Store:
    """The first trials have ended, the fourth of them without a result."""
    store = Store(tmp_path)
    write_plan(store, plan)
    for number, trial in enumerate(plan.trials[:HALF]):
        record = with_predictions(store, make_record(trial), trial.seed)
        store.write_record(lose(trial, "diverged", "NaN loss") if number == 3 else record)
    return store


@pytest.fixture
def study(store: Store) -> OpenedStudy:
    return assay.open(store.uri).study("additions")


def end(store: Store, plan: Plan) -> None:
    for trial in plan.trials[HALF:]:
        store.write_record(with_predictions(store, make_record(trial), trial.seed))


@pytest.mark.parametrize(
    ("table", "file"),
    [(OpenedStudy.comparisons, "report_comparisons.csv"), (OpenedStudy.cells, "report.csv")],
    ids=["comparisons", "cells"],
)
def test_a_table_is_that_of_the_reports_csv_to_the_last_digit(
    table: Callable[[OpenedStudy], pd.DataFrame], file: str, study: OpenedStudy, store: Store, plan: Plan
) -> None:
    end(store, plan)
    frame, text = table(study), FORMATS["csv"].study_files(study.results, "report.csv")[file].decode()
    head, *rows = csv.reader(io.StringIO(text))
    assert list(frame.columns) == head
    assert len(frame) == len(rows) > 3
    for name, *column in zip(head, *rows, strict=True):
        for value, written in zip(frame[name], column, strict=True):
            if pd.isna(value):
                assert not written
            elif isinstance(value, float):
                assert float(f"{value:.10g}") == float(written)
            else:
                assert str(value).lower() == written.lower()


def test_effects_are_rows_of_the_comparisons(study: OpenedStudy, store: Store, plan: Plan) -> None:
    end(store, plan)
    effects, comparisons = study.effects(), study.comparisons()
    assert len(effects)
    assert effects.equals(comparisons.iloc[: len(effects)])


def test_a_second_call_sees_what_ended_since(study: OpenedStudy, store: Store, plan: Plan) -> None:
    before = study.trials()
    assert list(before["status"]) == ["finished"] * 3 + ["diverged"] + ["finished"] * 2 + ["planned"] * 6
    assert study.results is study.results
    end(store, plan)
    after = study.trials()
    assert list(after["status"][HALF:]) == ["finished"] * 6
    assert after.iloc[:HALF].notna().sum().sum() == before.iloc[:HALF].notna().sum().sum()


def test_a_row_of_trials_says_what_was_trained_and_how_it_ended(study: OpenedStudy, plan: Plan) -> None:
    trials = study.trials()
    assert list(trials.index) == [trial.id for trial in plan.trials]
    for trial in plan.trials[:HALF]:
        row = trials.loc[trial.id]
        assert (row["cell"], row["seed"]) == (trial.cell, trial.seed)
        assert row["factor:stop"] == trial.levels["stop"]
        assert row["config.gradient_stop"] == trial.config["gradient_stop"]
        if row["status"] == "finished":
            assert row["image_ap"] == score(trial)["image_ap"]
            assert (row["epochs"], row["seconds"]) == (3, 12.5)
        else:
            assert (row["reason"], pd.isna(row["image_ap"])) == ("NaN loss", True)


@pytest.mark.parametrize("digits", [16, 8])
def test_predictions_are_the_file_of_the_trial(
    digits: int, study: OpenedStudy, store: Store, plan: Plan
) -> None:
    record = study.results.records[plan.trials[0].id]
    table = store.read_part(record, "predictions.parquet")
    assert table is not None
    assert study.predictions(record.id[:digits]).equals(table.to_pandas())


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (None, "its id or a start of it that no other has, found 'none', with which none of 12 begin"),
        (0, "has no curve: it was not kept"),
        (3, "has no curve: its record says diverged"),
        (HALF, "has left nothing to read yet"),
    ],
    ids=["unknown", "not kept", "diverged", "planned"],
)
def test_a_trial_without_the_file_is_refused_with_why(
    number: int | None, message: str, study: OpenedStudy, plan: Plan
) -> None:
    with pytest.raises(assay.InputError, match=message):
        study.curve("none" if number is None else plan.trials[number].id)


@pytest.mark.parametrize("trial", [3, None, ["3f9c"]])
def test_a_trial_is_named_by_a_text(trial: Any, study: OpenedStudy) -> None:
    with pytest.raises(assay.InputError, match=f"its id, which is a text, found {re.escape(repr(trial))}"):
        study.predictions(trial)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cells": "a"}, "`cells` are a list of names, found 'a'"),
        ({"cells": 3}, "`cells` are a list of names, found 3"),
        ({"cells": [3]}, r"`cells` are a list of names, found \[3\]"),
        ({"images": 0}, "1 or more, found 0"),
        ({"images": "6"}, "1 or more, found '6'"),
    ],
)
def test_masks_of_no_list_or_no_row_are_refused(
    study: OpenedStudy, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(assay.InputError, match=message):
        study.masks(**arguments)


def test_a_notebook_shows_the_study_as_its_table(study: OpenedStudy) -> None:
    page = study._repr_html_()
    assert "Which addition pays?" in page
    assert "5 finished, 1 diverged, 6 missing" in page
    assert page.count("<tr>") == 1 + 4
    assert "5 finished" in repr(study)


def test_a_notebook_shows_comparisons_below_their_plot(study: OpenedStudy, store: Store, plan: Plan) -> None:
    end(store, plan)
    comparisons = study.comparisons()
    shown = comparisons._repr_html_()  # type: ignore[operator]
    assert "data:image/svg+xml;base64," in shown
    assert "<table" in shown
    assert "svg" not in str(comparisons[comparisons["p"] < 1]._repr_html_())  # type: ignore[operator]
