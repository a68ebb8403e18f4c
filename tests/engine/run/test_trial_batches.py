"""How trials are divided into batches: all of them once, in order, no larger than asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.engine.cluster.capacity import workers_on
from assay.engine.cluster.cluster import Cluster, _connect
from assay.engine.options import EngineOptions
from assay.engine.order import RunBatches, batches_during_stages, batches_on_demand, stage_batches
from assay.engine.trial_batch import BatchReader
from assay.storage import Store
from assay.storage.plans import write_plan
from assay.study import Trial, plan_study, read_study
from assay.study.file.schema import Resources
from assay.study.file.shipped import shipped_studies
from assay.study.planning.stage_graph import stage_graph
from tests.engine.made_batches import lay_down, make_batch
from tests.engine.search.search_study import ToySearch, made_record, made_result
from tests.engine.staged_study import StagedStudy
from tests.engine.toy_study import ToyStudy
from trainables.errors import InputError, StorageError


def _trials(count: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(id=f"{i:016x}") for i in range(count)]


@given(
    count=st.integers(0, 200),
    size=st.one_of(st.just("auto"), st.integers(1, 12)),
    slots=st.integers(1, 16),
)
def test_every_trial_is_in_exactly_one_batch_and_none_is_too_large(
    count: int, size: int | str, slots: int
) -> None:
    batches = list(batches_on_demand(_trials(count), size, lambda: slots))  # type: ignore[arg-type]
    assert [trial for batch in batches for trial in batch] == _trials(count)
    assert all(1 <= len(batch) <= (50 if size == "auto" else int(size)) for batch in batches)


@pytest.mark.parametrize(
    ("slots", "sizes"),
    [
        ([2, 2, 2, 2, 2, 2], [2, 2, 1, 1, 1, 1]),
        ([1, 3, 3, 3, 3], [4, 1, 1, 1, 1]),  # nodes joined
        ([0, 0, 0, 0], [4, 2, 1, 1]),
    ],
)
def test_batches_that_are_asked_for_are_half_of_a_slots_share_of_what_is_left(
    slots: list[int], sizes: list[int]
) -> None:
    now = iter(slots)
    batches = list(batches_on_demand(_trials(8), "auto", lambda: next(now)))  # type: ignore[arg-type]
    assert [len(batch) for batch in batches] == sizes


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [(50, "auto", [13, 10, 7, 5, 4, 3, 2, 2, 1, 1, 1, 1]), (400, "auto", [50] * 5), (7, 3, [3, 3, 1])],
)
def test_batches_hold_at_most_fifty_trials_or_what_the_study_says(
    count: int, size: int | str, sizes: list[int]
) -> None:
    batches = list(batches_on_demand(_trials(count), size, lambda: 2))  # type: ignore[arg-type]
    assert [len(batch) for batch in batches][: len(sizes)] == sizes
    assert sum(len(batch) for batch in batches) == count


@pytest.mark.parametrize(
    ("nodes", "need", "slots"),
    [
        ([2], Resources(), 2),
        ([2], Resources(workers=2), 1),
        ([1], Resources(), 1),
        ([4, 4, 3], Resources(cpus=2), 5),
        ([4, 4], Resources(workers=3, cpus=2), 1),
        ([4, 3], Resources(workers=4), 1),
    ],
)
def test_slots_are_what_fits_on_the_nodes(nodes: list[int], need: Resources, slots: int) -> None:
    cluster = Cluster(tuple({"CPU": float(n)} for n in nodes), local=True)
    assert cluster.slots(need) == slots


@pytest.mark.parametrize(
    ("gpus", "share", "workers"), [(2, 1, 2), (2, 0.5, 4), (2, 0.4, 4), (1.4, 0.4, 3), (3, 2, 1), (0.9, 1, 0)]
)
def test_a_share_of_a_gpu_lies_on_one_gpu(gpus: float, share: float, workers: int) -> None:
    assert workers_on({"CPU": 64.0, "GPU": gpus}, 1, share) == workers


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nohost", "me:hunter2@nohost", "ray://127.0.0.1:1"])
def test_an_address_where_nobody_answers_is_refused_at_once_and_without_its_password(
    address: str,
) -> None:
    with pytest.raises(InputError, match="RAY_ADDRESS is the host:port") as refused:
        _connect(address)
    assert "hunter2" not in str(refused.value)


def test_a_trial_that_fits_nowhere_is_refused_with_what_there_is() -> None:
    cluster = Cluster(({"CPU": 2.0},), local=True)
    with pytest.raises(InputError, match=r"1 worker\(s\) with 4 CPU.*have 2 CPU"):
        cluster.refuse_if_too_small(Resources(workers=1, cpus=4))


def test_a_cluster_whose_nodes_are_all_drained_is_refused_with_that() -> None:
    with pytest.raises(InputError, match="all nodes of the cluster are to be taken away"):
        Cluster((), local=False).refuse_if_too_small(Resources())


def test_a_study_that_waits_for_nodes_says_so_and_when_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [Cluster(nodes, local=False) for nodes in ((), (), ({"CPU": 1.0},), ())]
    monkeypatch.setattr("assay.engine.cluster.cluster._POLL_SECONDS", -1.0)
    monkeypatch.setattr("assay.engine.cluster.cluster._running_cluster", lambda local: looks.pop(0))
    words: list[str] = []
    slots = Cluster(({"CPU": 2.0},), local=False).follow(Resources(), words.append)
    assert [slots() for _ in range(4)] == [0, 0, 1, 0]
    assert ["waiting for others" in text for text in words] == [True, False, True]
    assert words[1] == "nodes have come: training goes on"


def test_one_batch_and_one_stage_are_told_of_in_the_singular(tmp_path: Path, cache_root: Path) -> None:
    study = StagedStudy.of(tmp_path, cache_root, seeds=(0,))
    missing = [trial for trial in study.plan.trials if trial.config["last"] == 0]  # they share the base alone
    told: list[str] = []
    options = EngineOptions(None, cache_root, on_message=told.append)
    batches = RunBatches(study.plan, study.store, options, "run", missing=missing)
    batches.fill()
    next(batches.upcoming)
    assert told == [
        "2 of 4 trials to train, up to 1 batch at a time",
        "1 stage that trials share comes first",
    ]


def test_a_batch_names_its_trials_and_is_read_with_the_plan_beside_it(
    tmp_path: Path, cache_root: Path
) -> None:
    study = StagedStudy.of(tmp_path, cache_root)
    write_plan(study.store, study.plan)
    batches = RunBatches(study.plan, study.store, EngineOptions(None, cache_root), "run")
    upcoming = [*study.stages(), study.plan.trials[5:2:-1]]
    paths = [batches.write_folder(content)["batch"] for content in upcoming]
    names = [trial.id for trial in study.plan.trials[5:2:-1]]
    assert json.loads(study.store.read_bytes(paths[-1]))["trials"] == names
    reader = BatchReader(study.store)
    read = [reader.read(path) for path in paths]
    assert [[*batch.stages, *batch.trials] for batch in read] == [[*content] for content in upcoming]
    assert all(batch.study == study.plan.study and batch.run == batches.make_batch([]).run for batch in read)


def test_points_that_a_search_draws_after_a_batch_was_read_are_found_for_the_next(
    tmp_path: Path, cache_root: Path
) -> None:
    search = ToySearch(tmp_path, cache_root, points=4, batch=2)
    write_plan(search.store, search.plan)
    batches = RunBatches(search.plan, search.store, EngineOptions(None, cache_root), "run")
    reader = BatchReader(search.store)
    read: list[Trial] = []

    def train(trials: Sequence[Trial]) -> None:
        batch = reader.read(batches.write_folder(trials)["batch"])
        assert batch.trials == tuple(trials)
        read.extend(batch.trials)
        for trial in trials:
            search.store.write_record(made_record(trial, result=made_result(0.5, 1 - trial.config["x"])))

    search.run(train=train)
    assert {trial.id for trial in read} == {trial.id for trial in search.grown.trials}
    assert any(trial.cell.endswith(" replicated") for trial in read)


def test_a_batch_of_trials_that_another_run_has_planned_away_is_trouble_with_the_storage(
    tmp_path: Path, cache_root: Path
) -> None:
    study, smaller = (ToyStudy.make(tmp_path, cache_root, seeds=seeds) for seeds in ((0, 1), (0,)))
    batch = lay_down(make_batch(study.plan, study.plan.trials), study.store)
    write_plan(study.store, smaller.plan)
    with pytest.raises(StorageError, match=f"is not in the plan of study toy in {tmp_path}: another run"):
        BatchReader(study.store).read(batch.path)


@pytest.mark.parametrize("slots", [1, 2, 40])
def test_shared_stages_come_longest_first_and_each_after_those_it_reads(slots: int, tmp_path: Path) -> None:
    plan = plan_study(read_study(shipped_studies()["guided_cropping_mtd"]), None, "cpu")
    graph = stage_graph(plan.trials)
    batches = [[task.id for task in batch] for batch in stage_batches(plan.trials, Store(tmp_path), slots)]
    sizes = [len(batch) for batch in batches]
    shared = {key for key, node in graph.items() if len(node.trials) > 1}
    classifiers = sum(graph[key].name == "classifier" for key in shared)
    assert len(batches) == min(4 * slots, classifiers), "several for each slot, so that none waits long"
    assert sizes == sorted(sizes, reverse=True)
    assert sorted(key for batch in batches for key in batch) == sorted(shared)
    for batch in batches:
        for place, key in enumerate(batch):
            assert {one for one in graph[key].after if one in shared} <= set(batch[:place])


def test_beside_stages_only_trials_go_that_wait_for_none_and_each_once(tmp_path: Path) -> None:
    plan = plan_study(read_study(shipped_studies()["guided_cropping_mtd"]), None, "cpu")
    needs = {trial.id: set(stage_graph([trial])) for trial in plan.trials}
    stages = stage_batches(plan.trials, Store(tmp_path), 2)
    tasks = [task for batch in stages for task in batch]
    missing, in_flight = list(plan.trials), {task.id for task in tasks}
    batches = batches_during_stages(missing, tasks, in_flight, "auto", lambda: 2)
    handed: list[str] = []
    for over in ([], stages[0]):
        in_flight -= {task.id for task in over}
        free = {trial.id for trial in plan.trials if needs[trial.id].isdisjoint(in_flight)}
        assert handed != sorted(free), "there is something new to hand out"
        while (batch := next(batches)) is not None:
            handed += [trial.id for trial in batch]
        assert sorted(handed) == sorted(free)
    assert 0 < len(handed) < len(plan.trials)
    assert [trial.id for trial in missing] == [trial.id for trial in plan.trials if trial.id not in handed]
    in_flight.clear()
    assert list(batches) == [], "what is left is divided anew"
