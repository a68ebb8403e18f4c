"""A search that gets more points, or fewer: what it trained before is known, whatever becomes of it."""

from __future__ import annotations

from pathlib import Path

from assay.analysis.results.reading import read_results
from assay.analysis.results.search_results import SearchResults
from assay.analysis.results.watch import Watch
from assay.api.running import begin_study
from assay.cli.plan import answer_of_plan, known_records
from assay.cli.status import status_now
from assay.engine import EngineOptions
from assay.report.answers.results import report_answer
from assay.storage.preregistration import read_preregistrations
from assay.study import reported_plan
from tests.engine.search.search_study import ToySearch
from tests.engine.toy_study import run_missing


def test_what_an_earlier_run_of_the_search_trained_is_not_new(tmp_path: Path, cache_root: Path) -> None:
    again = "replicate: {best: 1, seeds: [10, 11], start: true}"
    options = EngineOptions(data_root=None, cache=cache_root, local=True, processes=0)
    trained, shown = 0, 0
    there: list[int] = []
    for points in (4, 6):
        search = ToySearch(tmp_path, cache_root, points=points, seeds=[0], replicate=again)
        begin_study(search.store, search.plan)
        watch = Watch(search.store, search.plan)
        watch.take_snapshot()
        trained += run_missing(search.plan, search.store, options).trained_now
        shown += len(watch.take_snapshot().ended)
        there.append(len(search.store.trials()))
        assert (trained, shown) == (there[-1], there[-1])
    assert [entry.ended for entry in read_preregistrations(search.store, "toy_search")] == [0, there[0]]


def test_plan_status_and_report_count_the_same(tmp_path: Path, cache_root: Path) -> None:
    """Also the trials on fresh seeds of its start point, which are there: they come back at its end."""
    again = "replicate: {best: 1, seeds: [10, 11], start: true}"
    storage = tmp_path / "storage"
    ToySearch(storage, cache_root, points=4, seeds=[0], replicate=again).run_made()
    search = ToySearch(storage, cache_root, points=6, seeds=[0], replicate=again)
    known, _ = begin_study(search.store, search.plan)
    records = known_records(known, search.store)
    plan = answer_of_plan(known, search.store, records, known=True, listed=False)
    status = status_now(search.store, "toy_search")
    report = report_answer(read_results(search.store, "toy_search"))
    assert (plan.done, plan.to_train) == (status.done, status.planned) == (4, 6)
    assert (report.trials, sum(report.counts.values())) == (plan.size, plan.done)


def test_equal_start_points_have_the_name_of_the_first(tmp_path: Path, cache_root: Path) -> None:
    start = "[preset, {config.x: 0.9}]"  # which it has anyway
    search = ToySearch(tmp_path, cache_root, points=3, start=start, seeds=[0])
    search.run_made()
    names = {trial.id: trial.cell for trial in search.grown.trials}
    assert {id_: record.trial["cell"] for id_, record in search.records().items()} == names
    assert "base #0" in names.values()


def test_a_search_that_gets_fewer_points_than_are_drawn_trains_those_and_its_winners(
    cache_root: Path, tmp_path: Path
) -> None:
    ToySearch(tmp_path, cache_root).run_made(batches=7)  # of the third batch one of three points
    fewer = ToySearch(tmp_path, cache_root, points=4)
    assert (len(fewer.grown.trials), fewer.grown.pending_points) == (9 * 2, 2 * 2)
    assert not SearchResults(fewer.grown, fewer.records()).all_ended
    assert fewer.run_made() == 2 + 2
    assert len(fewer.points) == 9
    assert (fewer.grown.pending_points, len(reported_plan(fewer.grown).cells)) == (0, 2)
    assert SearchResults(fewer.grown, fewer.records()).all_ended


def test_a_search_that_trains_nothing_again_is_not_over_while_a_point_is_open(
    cache_root: Path, tmp_path: Path
) -> None:
    study = ToySearch(tmp_path, cache_root, points=3, replicate="")
    for batches, over in ((2, False), (3, True)):
        study.run_made(batches=batches)
        assert SearchResults(study.grown, study.records()).all_ended == over
