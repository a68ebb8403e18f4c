"""A search that gets more points: what it trained before is known, whatever becomes of it."""

from __future__ import annotations

from pathlib import Path

from assay.cli.agents.tools import AgentTools, Terms
from assay.engine import EngineOptions, run_study
from assay.running import begin_study
from assay.storage.registration import read_registration
from assay.storage.search_points import known_replicas
from assay.storage.watch import Watch
from tests.engine.search_study import ToySearch


def test_what_an_earlier_run_of_the_search_trained_is_not_new(tmp_path: Path, cache_root: Path) -> None:
    again = "replicate: {best: 1, seeds: [10, 11], start: true, ablate_winner: true}"
    options = EngineOptions(data_root=None, cache=cache_root, local=True, processes=0)
    trained, shown = 0, 0
    there: list[int] = []
    for points in (4, 6):
        search = ToySearch(tmp_path, cache_root, points=points, seeds=[0], replicate=again)
        known, _ = begin_study(search.store, search.plan, lambda text: None)
        of_starts = known_replicas(known, search.store, of_starts=True)
        assert len(of_starts) == (2 if there else 0), "a start point is trained again in any case"
        watch = Watch(search.store, search.plan)
        watch.look()
        trained += run_study(search.plan, search.store, options).trained_now
        shown += len(watch.look().ended)
        there.append(len(search.store.trials()))
        assert (trained, shown) == (there[-1], there[-1])
    assert [entry.ended for entry in read_registration(search.store, "toy_search")] == [0, there[0]]


def test_agents_are_told_what_is_done_as_assay_plan_tells_it(tmp_path: Path, cache_root: Path) -> None:
    again = "replicate: {best: 1, seeds: [10, 11], start: true}"
    storage, studies = tmp_path / "storage", tmp_path / "studies"
    ToySearch(storage, cache_root, points=4, seeds=[0], replicate=again).run()
    search = ToySearch(storage, cache_root, points=6, seeds=[0], replicate=again)
    studies.mkdir()
    (studies / "search.yaml").write_text(search.text)
    tools = AgentTools(Terms(studies, search.store, 1.0, None, cache_root, local=True))
    of_starts = known_replicas(search.grown, search.store, of_starts=True)
    assert len(of_starts) == 2
    assert tools.plan("search.yaml", forecast=False).done == len(search.records() | of_starts)


def test_equal_start_points_have_the_name_of_the_first(tmp_path: Path, cache_root: Path) -> None:
    start = "[preset, {config.x: 0.9}]"  # which it has anyway
    search = ToySearch(tmp_path, cache_root, points=3, start=start, seeds=[0])
    search.run()
    names = {trial.id: trial.cell for trial in search.grown.trials}
    assert {id_: record.trial["cell"] for id_, record in search.records().items()} == names
    assert "base #0" in names.values()
