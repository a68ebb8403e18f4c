"""Studies are read once and followed; what was computed from one state of a study is kept with it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.storage import Environment, Progress, Record, Store
from assay.storage.plans import write_plan
from assay.storage.record import StageUse
from assay.storage.stage_store import STAGE_CURVE, begin_stage, end_stage, read_stage, stage_folder
from assay.storage.store import DamagedFileError
from assay.study import Plan, parse_study, plan_study
from assay_dashboard.__main__ import read_ahead
from assay_dashboard.study_view import entry, read_part, stage_curves, studies, view
from tests.analysis.made_studies import lose, numbers_of
from tests.cli.small_search import SEARCH
from tests.cli.small_study import finished, run_elsewhere
from tests.dashboard.conftest import Open, Show, texts_of


def test_the_list_counts_trials_and_names_the_best_cell(store: Store) -> None:
    (entry,) = studies(store)
    assert (entry.counts, entry.total, entry.planned, entry.running) == ({"finished": 3}, 4, 1, 0)
    assert entry.best is not None
    assert (entry.best.variant, entry.best.mean, entry.best.n) == ("balance", 0.95, 1)


def test_the_best_cell_is_not_one_that_diverged(store: Store, plan: Plan, open_page: Open) -> None:
    assert "best variant balance · test images · 1 of 2 repeats" in texts_of(open_page("studies"))
    store.write_record(lose(plan.trials[3], "diverged"))
    assert "best variant no balance · test images · mean of 2 repeats" in texts_of(open_page("studies"))


def test_the_server_reads_all_studies_while_it_starts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["dashboard", "--storage", store.uri])
    monkeypatch.setattr("assay_dashboard.study_view._FRESH", 3600.0)
    read_ahead()
    gc.unfreeze()
    folder = store.local_path
    assert folder is not None
    (folder / "studies").rename(folder / "away")  # what is shown while it is fresh was read before
    assert len(view(store, "small").results.records) == 3


def test_the_server_makes_the_first_answer_while_it_starts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["dashboard", "--storage", store.uri])
    monkeypatch.setattr("assay_dashboard.study_view._FRESH", 3600.0)
    read_ahead()
    gc.unfreeze()
    monkeypatch.setattr("assay_dashboard.study_view.study_answer", lambda _: pytest.fail("it was not kept"))
    assert view(store, "small").answer() is not None


def test_a_storage_that_cannot_be_read_does_not_keep_the_server_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "studies").write_bytes(b"a file")
    with pytest.raises(NotADirectoryError):
        studies(Store(tmp_path))
    monkeypatch.setattr("sys.argv", ["dashboard", "--storage", str(tmp_path)])
    before = gc.get_freeze_count()
    read_ahead()
    assert gc.get_freeze_count() == before, "nothing was read that would stay"


def test_a_new_record_raises_the_version_and_leaves_the_others_as_they_were(store: Store, plan: Plan) -> None:
    before = view(store, "small")
    finished(plan.trials[3], store, image_ap=0.97)
    after = view(store, "small")
    assert after.version == before.version + 1
    assert len(before.results.records) == 3
    assert all(after.results.records[id_] is record for id_, record in before.results.records.items())


def test_a_heartbeat_changes_neither_version_nor_analysis(store: Store, plan: Plan) -> None:
    run_elsewhere(store)
    before = view(store, "small")
    analysis = study_analysis(before.results)
    store.begin_attempt(plan.trials[3].id, next(iter(before.results.records.values())).environment)
    store.write_progress(Progress.now(plan.trials[3].id, 1, 2, {"loss": 0.5}, seconds_per_epoch=3.0))
    after = view(store, "small")
    assert [run.progress.epoch for run in after.running if run.progress is not None] == [1]
    assert after.version == before.version
    assert study_analysis(after.results) is analysis


def test_a_study_is_followed_on_however_many_there_are(store: Store, plan: Plan) -> None:
    """One that is read anew begins with version 0 again: a page with that version would miss the change."""
    before = view(store, "small")
    for number in range(300):
        entry(store, f"other-{number}")  # there is no such study, and it is looked for
    finished(plan.trials[3], store)
    assert view(store, "small").version == before.version + 1


def test_answers_are_the_reports(store: Store, plan: Plan) -> None:
    now = view(store, "small")
    same = StudyResults(plan, now.results.records)
    assert numbers_of(study_analysis(now.results), now.results.metrics) == numbers_of(
        study_analysis(same), same.metrics
    )


def test_a_broken_record_is_named_and_the_others_are_shown(store: Store, plan: Plan) -> None:
    store.write_bytes(f"trials/{plan.trials[3].id}/record.json", b"{")
    now = view(store, "small")
    assert [problem.trial for problem in now.results.problems] == [plan.trials[3].id]
    assert len(now.results.records) == 3
    assert studies(store)[0].problems == 1


def test_a_study_that_cannot_be_read_says_so_and_the_others_are_listed(store: Store) -> None:
    store.write_bytes("studies/other/plan.parquet", b"no parquet")
    troubles = {entry.name: entry.trouble for entry in studies(store)}
    assert troubles["small"] == ""
    assert "studies/other/plan.parquet" in troubles["other"]


def test_a_record_that_may_not_be_read_keeps_no_other_study_from_the_list(store: Store, plan: Plan) -> None:
    assert store.local_path is not None
    write_plan(store, plan_study(parse_study(SEARCH, "hunt.yaml"), None, "cpu"))
    record = store.local_path / store.trial(plan.trials[0].id) / "record.json"
    record.chmod(0)
    program = (
        "import sys; from assay.storage import Store; from assay_dashboard.study_view import studies; "
        "print(*(f'{entry.name}: {entry.trouble}' for entry in studies(Store(sys.argv[1]))), sep='\\n')"
    )
    # root may read everything, unless it gives that up
    user = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
    command = [*user, sys.executable, "-c", program, store.uri]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert "hunt: " in lines
    assert any(line.startswith("small: ") and f"Permission denied: {record}" in line for line in lines)


def with_stages(store: Store, folder: Path) -> Record:
    """A record whose trial used a classifier, made over two epochs, pseudo labels, and a stage now gone."""
    keys = {"classifier": "0" * 16, "pseudo": "1" * 16, "gone": "2" * 16}
    for name in ("classifier", "pseudo"):
        made = folder / name
        made.mkdir()
        (made / "facts.json").write_text("{}", encoding="utf-8")
        if name == "classifier":
            pq.write_table(pa.table({"epoch": [0, 1], "loss": [0.7, 0.4]}), made / STAGE_CURVE)
        end_stage(
            store,
            begin_stage(keys[name]),
            made,
            key=keys[name],
            name=name,
            trainable="focus",
            seconds=1.0,
            environment=Environment(),
        )
    uses = tuple(StageUse(name=name, key=key, seconds=1.0, reused=True) for name, key in keys.items())
    record = next(iter(store.records(store.trials()).values())).model_copy(update={"stages": uses})
    store.write_record(record)
    return record


def test_stages_that_logged_epochs_have_curves(store: Store, tmp_path: Path) -> None:
    curves = stage_curves(store, with_stages(store, tmp_path))
    assert {name: table.column("loss").to_pylist() for name, table in curves.items()} == {
        "classifier": [0.7, 0.4]
    }


def test_a_damaged_curve_of_a_stage_is_refused(store: Store, tmp_path: Path) -> None:
    record = with_stages(store, tmp_path)
    made = read_stage(store, record.stages[0].key)
    assert made is not None
    store.write_bytes(f"{stage_folder(made.key)}/{made.attempt}/{STAGE_CURVE}", b"other")
    with pytest.raises(DamagedFileError, match="the stage is then made anew"):
        stage_curves(store, record)


def test_the_trial_page_draws_the_curves_of_stages(store: Store, tmp_path: Path, show: Show) -> None:
    trial = with_stages(store, tmp_path).trial
    app = show("trial", cell=trial["cell"], repeat=f"seed {trial['seed']}")
    assert not app.exception
    assert "classifier: Loss" in " ".join(str(element.proto.body) for element in app.get("html"))


def test_a_trial_without_a_file_has_none(store: Store) -> None:
    now = view(store, "small")
    assert read_part(store, next(iter(now.results.records.values())), "curve.parquet") is None
