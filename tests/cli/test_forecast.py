"""`assay plan --forecast`: hours and memory before anything is paid for, and beside the truth afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.api.planning import read_plan
from assay.cli.plan import format_truth, show_forecast
from assay.forecast.forecast import Forecast, Shape
from assay.storage import Store
from tests.cli.small_study import Assay, finished

STUDY = """\
study: price
trainable: segdec
data: {reader: synthetic, options: {images: 24, items: 24, positives: 12, size: [64, 128]}}
config: {preset: ksdd, image_size: [64, 128], channel_scale: 0.0625, epochs: 2}
repeats: {seeds: [0, 1, 2]}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "price.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def test_the_forecast_says_what_a_trial_and_the_rest_of_the_study_take(
    assay: Assay, study: Path, tmp_path: Path
) -> None:
    answer = assay("plan", study, "--forecast", "--storage", tmp_path / "storage")
    assert answer.code == 0, answer.err
    assert "3 of 3" in answer.out
    assert "one after the other" in answer.out
    assert "GB" in answer.out


def test_the_truth_stands_beside_the_forecast_once_trials_have_finished(
    assay: Assay, study: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "storage")
    plan = read_plan(study, data=None, cache=tmp_path / "cache", say=lambda text: None)
    assert format_truth(store, plan) is None
    assay("plan", study, "--forecast", "--storage", store.uri)
    assert format_truth(store, plan) is None
    record = finished(plan.trials[0], store)
    store.write_record(record.model_copy(update={"timings": {"data": 5.0, "train": 60.0, "finish": 10.0}}))
    truth = format_truth(store, plan)
    assert truth is not None
    assert truth.startswith("1 finished trial took 1 min 15 s one after the other, the forecast said ")
    # What has finished is the best forecast of what has not.
    again = assay("plan", study, "--forecast", "--storage", store.uri).out
    assert "2 of 3" in again
    assert "1 finished trial" in again
    assert "2 min 30 s one after the other" in again


@pytest.mark.parametrize(("one_thread", "said"), [(1.4, True), (1.9, False), (None, False)])
def test_one_thread_is_advised_where_it_ends_the_study_sooner(
    capsys: pytest.CaptureFixture[str], one_thread: float | None, said: bool
) -> None:
    shape = Shape(cells=("a",), trials=4, missing=4, seconds=60, memory_mb=1, source="first steps", seen=5)
    show_forecast(Forecast(shapes=(shape,), at_once=1, one_thread=one_thread, content_hash="0"), threads=2)
    shown = " ".join(capsys.readouterr().out.split())
    advice = (
        "with resources: {cpus: 1} 2 min 48 s, 2 at a time: with one thread a trial takes 1.4 times as long"
    )
    assert (advice in shown) == said
    assert ("cpus: 1" in shown) == said


@pytest.mark.parametrize(
    ("options", "more", "reason"),
    [
        (("--no-data",), "", "needs the data"),
        ((), "resources: {gpus: 1024}\n", "GPU"),
    ],
    ids=["no data", "no GPUs"],
)
def test_a_forecast_is_refused_where_the_data_or_the_gpus_of_a_trial_are_missing(
    assay: Assay, study: Path, options: tuple[str, ...], more: str, reason: str
) -> None:
    study.write_text(STUDY + more, encoding="utf-8")
    answer = assay("plan", study, "--forecast", *options)
    assert answer.code == 2
    assert reason in answer.err


def test_a_study_that_was_forecast_and_never_run_is_none_of_the_storage(
    assay: Assay, study: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "storage")
    assay("plan", study, "--forecast", "--storage", store.uri)
    assert store.exists("studies/price/forecast.json")
    assert f"no study was run into {store.uri} yet" in assay("status", "--storage", store.uri).out
    assert f"no study was run into {store.uri} yet" in assay("check", "--storage", store.uri).out
    told = assay("report", "price", "--storage", store.uri)
    assert told.code == 2
    assert "it was never started" in told.err
