"""Which files a study leaves behind, to the last one, for each value of `keep`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from assay.analysis.results.results import StudyResults
from assay.report.masks.sheets import overlay_sheet
from assay.storage import Environment, Store
from assay.storage.check.retention import KeepRule, clean_plan, free, unkept_models
from assay.study import Trial
from tests.analysis.made_studies import markdown_of
from tests.engine.search.search_study import SEARCH, ToySearch
from tests.engine.toy_study import ToyStudy
from tests.engine.worker.worker_alone import train_here
from trainables.errors import InputError

Toy = Callable[..., ToyStudy]

FAULTS = (
    "fault: {well: {config: {lr: 0.1}}, diverge: {config: {fault: diverge}}, raise: {config: {fault: raise}}}"
)
NAMED = ["curve.parquet", "maps.parquet", "predictions.parquet", "regions.parquet"]
MODEL = ["model/config.json", "model/model.safetensors"]


@pytest.fixture
def keeping(toy: Toy, cache_root: Path) -> Callable[..., ToyStudy]:
    """A toy study that was trained, and its models dropped as at the end of `assay run`."""

    def make(keep: str, **settings: object) -> ToyStudy:
        before = toy(**settings)
        study = ToyStudy(before.storage, cache_root, before.text.replace("{models: none, probes: 2}", keep))
        train_here(study.plan, study.store, cache_root)
        _drop(study)
        return study

    return make


def _drop(study: ToyStudy, *others: ToyStudy) -> None:
    plans = [other.plan for other in others]
    free(study.store, unkept_models(study.store, KeepRule.of(study.plan), study.records(), lambda: plans))


def _files(store: Store, trial: str) -> list[str]:
    """All files of a trial, its attempt's name taken out."""
    root = store.local_file(f"trials/{trial}")
    assert root is not None
    found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    attempts = [start.attempt for start in store.attempts(trial)]
    return sorted(name.replace(attempts[-1], "*") for name in found)


def _expected(*of_attempt: str) -> list[str]:
    return sorted(["record.json", "attempts/*.json", *(f"*/{name}" for name in ("log.txt", *of_attempt))])


@pytest.mark.parametrize("models", ["all", "best_per_cell", "none"])
def test_of_two_repeats_exactly_these_files_remain(keeping: Callable[..., ToyStudy], models: str) -> None:
    study = keeping(f"{{models: {models}, probes: 2}}", factor="pace: {slow: {config: {lr: 0.05}}}")
    worth = {id_: record.result.validation["image_ap"] for id_, record in study.records().items()}
    keeps = {"all": list(worth), "best_per_cell": [max(worth, key=lambda id_: worth[id_])], "none": []}
    for trial in study.plan.trials:
        model = MODEL if trial.id in keeps[models] else []
        assert _files(study.store, trial.id) == _expected(*NAMED, *model)
    assert clean_plan(study.store, [study.plan]) == []


@pytest.mark.parametrize("models", ["all", "best_per_cell", "none"])
def test_a_trial_without_a_result_leaves_its_record_and_its_log(
    keeping: Callable[..., ToyStudy], models: str
) -> None:
    study = keeping(f"{{models: {models}, probes: 2}}", seeds=(0,), factor=FAULTS)
    files = {trial.cell: _files(study.store, trial.id) for trial in study.plan.trials}
    assert files["diverge"] == files["raise"] == _expected()
    assert files["well"] == _expected(*NAMED, *(MODEL if models != "none" else []))
    assert clean_plan(study.store, [study.plan]) == []


@pytest.mark.parametrize("probes", [0, 1])
def test_so_many_probe_images_are_kept(keeping: Callable[..., ToyStudy], probes: int) -> None:
    study = keeping(f"{{models: none, probes: {probes}}}", seeds=(0,))
    for record in study.records().values():
        maps = study.store.read_part(record, "maps.parquet")
        assert maps is not None
        assert maps.num_rows == probes


def test_without_probes_there_is_a_report_and_a_refusal_of_pictures(
    keeping: Callable[..., ToyStudy],
) -> None:
    study = keeping("{models: none, probes: 0}", seeds=(0,))
    assert "| slow" in markdown_of(study.plan, study.records())
    with pytest.raises(InputError, match=r"keep\.probes above 0"):
        overlay_sheet(StudyResults(study.plan, study.records()), study.store)


def test_report_and_pictures_need_no_models(keeping: Callable[..., ToyStudy]) -> None:
    kept, dropped = (keeping(f"{{models: {models}, probes: 2}}") for models in ("all", "none"))
    assert not any("/model/" in name for record in dropped.records().values() for name in record.files)
    assert markdown_of(dropped.plan, dropped.records()) == markdown_of(kept.plan, kept.records())
    sheet = overlay_sheet(StudyResults(dropped.plan, dropped.records()), dropped.store)
    assert sheet.shape[0] > 32


def test_a_model_that_another_study_keeps_stays_until_that_drops_it(toy: Toy, cache_root: Path) -> None:
    base = toy(seeds=(0,))
    keepers = [
        ToyStudy(base.storage, cache_root, base.text.replace("models: none", f"models: {models}"))
        for models in ("best_per_cell", "none", "all")
    ]
    best, none, everything = keepers
    train_here(best.plan, best.store, cache_root)
    trial = best.plan.trials[0].id
    _drop(none, everything, best)
    assert _files(best.store, trial) == _expected(*NAMED, *MODEL)
    _drop(none)
    assert _files(best.store, trial) == _expected(*NAMED)
    record = best.records()[trial]
    assert sorted(path.partition("/")[2] for path in record.removed) == MODEL


def test_a_trial_whose_workers_died_leaves_no_checkpoint_and_only_its_last_log(
    toy: Toy, cache_root: Path
) -> None:
    study = toy(seeds=(0,), factor="pace: {slow: {config: {lr: 0.05}}}")
    (trial,) = study.plan.trials
    attempts = [study.store.begin_attempt(trial.id, Environment(host="here", pid=n)) for n in range(4)]
    for attempt in attempts:
        started = json.loads(study.store.read_bytes(f"trials/{trial.id}/attempts/{attempt.name}.json"))
        study.store.write_json(
            f"trials/{trial.id}/attempts/{attempt.name}.json", {**started, "started": "2999-01-01T00:00:00Z"}
        )
        study.store.write_bytes(f"{attempt.prefix}/log.txt", b"killed")
    study.store.write_bytes(f"trials/{trial.id}/checkpoint.safetensors", b"1")
    study.store.write_bytes(f"trials/{trial.id}/progress.json", b"{}")
    train_here(study.plan, study.store, cache_root)
    assert study.records()[trial.id].status == "failed"
    free(study.store, clean_plan(study.store, [study.plan]))
    names = study.store.list(f"trials/{trial.id}")
    assert names == [f"{attempts[-1].name}/", "attempts/", "record.json"]


@pytest.mark.parametrize(
    ("models", "points", "winners"), [("all", 6, 4), ("best_per_cell", 0, 2), ("none", 0, 0)]
)
def test_of_a_search_with_replicated_winners_those_keep_their_models(
    models: str, points: int, winners: int, tmp_path: Path, cache_root: Path
) -> None:
    text = SEARCH.replace("models: none", f"models: {models}")
    search = ToySearch(tmp_path, cache_root, text, points=3, seeds=[0, 1], start="[]")

    def train(trials: Sequence[Trial]) -> None:
        train_here(search.plan.model_copy(update={"trials": tuple(trials)}), search.store, cache_root)

    search.run(train=train)
    free(search.store, unkept_models(search.store, KeepRule.of(search.grown), search.records(), list))
    fresh = {trial.id for trial in search.grown.trials if trial.seed in (10, 11)}
    kept = {
        id_
        for id_, record in search.records().items()
        if any("/model/" in name for name in record.files)
        and search.store.exists(f"trials/{id_}/{record.attempt}/model")
    }
    assert (len(kept - fresh), len(kept & fresh)) == (points, winners)
