"""Studies are read once and followed; what was computed from one state of a study is kept with it."""

from __future__ import annotations

import time

import pytest

from assay.results import Progress, Store
from assay.results.answers import study_answers
from assay.study import Plan
from dashboard.store import StudyView, answers, curve, studies, view
from tests.cli.small_study import finished


def later(store: Store) -> StudyView:
    """The study when a look is no longer fresh."""
    time.sleep(1.05)
    return view(store, "small")


def test_the_list_counts_trials_and_names_the_best_cell(store: Store) -> None:
    (entry,) = studies(store)
    assert (entry.counts, entry.total, entry.planned, entry.running) == ({"finished": 3}, 4, 1, 0)
    assert entry.best is not None
    assert (entry.best.cell, entry.best.mean, entry.best.n) == ("on", 0.95, 1)


def test_a_new_record_raises_the_version_and_leaves_the_others_as_they_were(store: Store, plan: Plan) -> None:
    before = view(store, "small")
    finished(plan.trials[3], store, image_ap=0.97)
    after = later(store)
    assert after.version == before.version + 1
    assert len(before.records) == 3
    assert all(after.records[id_] is record for id_, record in before.records.items())


def test_a_heartbeat_changes_neither_version_nor_answers(store: Store, plan: Plan) -> None:
    before = view(store, "small")
    said = answers(before)
    store.begin_attempt(plan.trials[3].id, next(iter(before.records.values())).environment)
    store.write_progress(Progress.now(plan.trials[3].id, 1, 2, {"loss": 0.5}, seconds_per_epoch=3.0))
    after = later(store)
    assert after.progress[plan.trials[3].id].epoch == 1
    assert after.version == before.version
    assert answers(after) is said


def test_answers_are_the_reports(store: Store, plan: Plan) -> None:
    now = view(store, "small")
    assert answers(now) == study_answers(plan, now.records)


def test_a_broken_record_is_named_and_the_others_are_shown(store: Store, plan: Plan) -> None:
    store.write_bytes(f"trials/{plan.trials[3].id}/record.json", b"{")
    now = view(store, "small")
    assert [problem.trial for problem in now.problems] == [plan.trials[3].id]
    assert len(now.records) == 3
    assert studies(store)[0].problems == 1


@pytest.mark.parametrize("content", [None, b"no parquet"])
def test_a_study_that_cannot_be_read_says_so_and_the_others_are_listed(
    store: Store, content: bytes | None
) -> None:
    store.write_bytes("studies/other/study.yaml", b"")
    if content is not None:
        store.write_bytes("studies/other/plan.parquet", content)
    troubles = {entry.name: entry.trouble for entry in studies(store)}
    assert troubles["small"] == ""
    assert "studies/other/plan.parquet" in troubles["other"]


def test_a_trial_without_a_file_has_none(store: Store) -> None:
    now = view(store, "small")
    assert curve(store, next(iter(now.records.values()))) is None
