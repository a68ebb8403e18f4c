"""A record carries its own checksum: an edit, another trial's, a score that cannot be, and files that are
gone."""

from __future__ import annotations

import json

import pytest

from assay.storage import Store
from assay.storage.files.checksum import lines_with_checksum, without_checksum, without_last_line
from assay.storage.record import Record, StageUse
from tests.analysis.made_studies import make_plan
from tests.storage.test_store import ID, make_record

RECORD = f"trials/{ID}/record.json"


def with_metrics(part: str, metrics: dict[str, float]) -> Record:
    """A record with these scores; ``part``: `metrics` or `validation`."""
    result = make_record().result
    assert result is not None
    return make_record(result=result.model_copy(update={part: metrics}))


def test_a_record_opens_with_the_checksum_of_its_content(store: Store) -> None:
    store.write_record(make_record())
    data = store.read_bytes(RECORD)
    assert next(iter(json.loads(data))) == "checksum"
    assert without_checksum(data) == (make_record().to_bytes(), "right")


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ('"image_ap": 0.30000000000000004', '"image_ap": 0.31', "its checksum is another"),
        ('"study": "s"', '"study": "t"', "its checksum is another"),
        ('"checksum": "', '"checksum": "0', "its checksum is another"),
        ('"epochs": 3', '"epochs": NaN', "not a record"),
    ],
    ids=["score", "study", "checksum", "no number"],
)
def test_an_edited_record_is_named_and_left_out(store: Store, before: str, after: str, text: str) -> None:
    store.write_record(make_record())
    data = store.read_bytes(RECORD).decode()
    assert before in data
    store.write_bytes(RECORD, data.replace(before, after).encode())
    records, problems = store.records_of([ID])
    assert not records
    assert text in problems[0].text


def test_a_record_that_was_laid_out_anew_is_read(store: Store) -> None:
    store.write_record(make_record())
    content = json.loads(store.read_bytes(RECORD))
    content["attempt"] = content.pop("attempt")
    store.write_bytes(RECORD, json.dumps(content).encode())
    assert store.records([ID]) == {ID: make_record()}


def test_a_record_that_lost_its_checksum_is_damaged(store: Store) -> None:
    store.write_record(make_record())
    store.write_bytes(RECORD, make_record().to_bytes())
    assert "changed since it was written" in store.records_of([ID])[1][0].text


@pytest.mark.parametrize(
    ("part", "metric", "value", "text"),
    [
        ("metrics", "image_ap", 7.0, "image_ap of test is 7, its range is from 0 to 1"),
        ("metrics", "fp", -1.0, "fp of test is -1, its range is from 0 up"),
        ("validation", "pixel_iou", 1.1, "pixel_iou of validation is 1.1, its range is from 0 to 1"),
        ("validation", "erasure_drop", -0.5, "erasure_drop of validation is -0.5"),
    ],
)
def test_a_score_out_of_its_metrics_range_is_damage(
    store: Store, part: str, metric: str, value: float, text: str
) -> None:
    store.write_record(with_metrics(part, {metric: value}))
    assert store.records_of([ID])[1][0].text.startswith(text)


@pytest.mark.parametrize(("metric", "value"), [("image_ap", 1 + 1e-12), ("of_a_plug_in", 7.0), ("fp", 1e6)])
def test_rounding_counts_and_metrics_of_others_are_believed(store: Store, metric: str, value: float) -> None:
    store.write_record(with_metrics("metrics", {metric: value}))
    assert list(store.records([ID])) == [ID]


@pytest.mark.parametrize(
    ("name", "value"), [("seed", 1), ("fold", 2), ("manifest", "m2"), ("split", "s2"), ("revision", 9)]
)
def test_the_record_of_another_trial_than_the_planned_is_damage(
    store: Store, name: str, value: object
) -> None:
    trial = make_plan().trials[0]
    record = make_record(trial.id, trial=trial.model_dump(mode="json"))
    store.write_record(record)
    assert store.records_of_trials([trial]) == ({trial.id: record}, ())
    records, problems = store.records_of_trials([trial.model_copy(update={name: value})])
    assert not records
    assert f"not the planned trial ({name} is " in problems[0].text


@pytest.mark.parametrize("lost", [b"", None], ids=["emptied", "deleted"])
def test_files_of_a_record_that_are_gone_are_named(store: Store, lost: bytes | None) -> None:
    files = {
        f"001/{name}": store.write_bytes(f"trials/{ID}/001/{name}", data)
        for name, data in {"curve.parquet": b"1", "maps.parquet": b"2", "model/note": b""}.items()
    }
    record = make_record(files=files, attempt="001")
    assert store.gone_files([record]) == []
    store.delete_tree(f"trials/{ID}/001/maps.parquet")
    if lost is not None:
        store.write_bytes(f"trials/{ID}/001/maps.parquet", lost)
    assert store.gone_files([record]) == [(record, ["001/maps.parquet"])]


LINES = b'{"a": 1}\n{"a": 2}\n'


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (lines_with_checksum(LINES), "right"),
        (lines_with_checksum(b""), "right"),
        (LINES, "wrong"),
        (lines_with_checksum(LINES).replace(b"2", b"3", 1), "wrong"),
        (lines_with_checksum(LINES)[9:], "wrong"),
        (lines_with_checksum(LINES)[:-4], "wrong"),
        (lines_with_checksum(LINES) + b'{"a": 3}\n', "wrong"),
    ],
    ids=["whole", "no lines", "no checksum", "edited", "first cut", "last cut", "one more"],
)
def test_lines_end_with_the_checksum_of_all_before(data: bytes, checksum: str) -> None:
    assert without_last_line(data).checksum == checksum


@pytest.mark.parametrize(("reused", "seconds"), [(True, 50), (False, 30)])
def test_a_stage_of_the_method_that_the_trial_made_is_within_its_training(
    reused: bool, seconds: float
) -> None:
    stage = StageUse(name="cam", key="0" * 16, seconds=20, reused=reused)
    assert make_record(timings={"train": 30.0}, stages=(stage,)).cost("train_seconds") == seconds
