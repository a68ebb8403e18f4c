"""Several searches of a cell: no winner is tested where its search looked, and their winners are one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from assay.analysis.results.computed import Computed
from assay.analysis.results.left_out import left_out
from assay.analysis.results.search_results import SearchResults
from assay.analysis.summary import metric_summary
from assay.analysis.test_set_uncertainty import item_intervals
from assay.cli.results import command_for
from assay.study import Plan, Trial, parse_study, plan_study, reported_plan
from assay.study.planning.plan_table import plan_of_table, table_of_plan
from tests.analysis.made_studies import markdown_of, with_predictions
from tests.cli.small_study import finished
from tests.engine.search.search_study import SEARCH, ToySearch
from trainables.data import open_manifest
from trainables.data.splits import Split, make_split

START = "replicate: {{best: 1, start: true, seeds: {}}}"
OWN_SPLITS: dict[str, Any] = {
    "text": SEARCH.replace("size: [32, 32]}}", "size: [32, 32]}}, splits: per_seed"),
    "seeds": "[0, 1, 2]",
    "replicate": START.format("[10, 11, 12]"),
}
FOLDS: dict[str, Any] = {
    "text": SEARCH.replace("reader: synthetic", "reader: table, path: images.csv").replace(
        "options: {{images: 48, positives: 24, items: 24, size: [32, 32]}}", "validation: {{share: 0.3}}"
    ),
    "seeds": "[0], folds: [0, 1, 2]",
    "replicate": START.format("[10, 11]"),
}


class Hunt(ToySearch):
    """A search of which a table of images with folds may be the data."""

    def __init__(self, folder: Path, cache: Path, text: str = SEARCH, points: int = 6, **given: Any) -> None:
        self.root = _images(folder / "data")
        super().__init__(folder / "storage", cache, text, points=points, **given)

    def planned(self) -> Plan:
        return plan_study(parse_study(self.text, "search"), self.manifest, "cpu")

    def manifest(self, spec: Any) -> Any:
        return open_manifest(spec, self.root, self.cache)

    def split(self, trial: Trial) -> Split:
        return make_split(self.manifest(trial.data), trial.data, trial.supervision, trial.seed, trial.fold)

    def run(self, batches: int | None = None, train: Callable[[Sequence[Trial]], None] | None = None) -> int:
        return super().run(batches, train or self.score)

    def score(self, trials: Sequence[Trial]) -> None:
        """Validation likes another x on each fold or seed, and test scores say the opposite."""
        for trial in trials:
            place = trial.seed if trial.fold is None else trial.fold
            value = 1 - abs(trial.config["x"] - place / 2)
            record = finished(trial, self.store)
            assert record.result is not None
            scores = {"metrics": {"image_ap": 1 - value}, "validation": {"image_ap": value}}
            self.store.write_record(
                record.model_copy(update={"result": record.result.model_copy(update=scores)})
            )


def _images(root: Path) -> Path:
    root.mkdir(parents=True)
    lines = ["image,label,fold,group"]
    for index in range(36):
        name = f"{index:02}.png"
        cv2.imwrite(str(root / name), np.random.default_rng(index).integers(0, 255, (32, 32), np.uint8))
        lines.append(f"{name},{index % 2},{index % 3},part {index}")
    (root / "images.csv").write_text("\n".join(lines))
    return root


NESTED = pytest.mark.parametrize("settings", [FOLDS, OWN_SPLITS], ids=["folds", "splits of their own"])


@NESTED
def test_no_winner_of_a_nested_search_is_tested_on_an_image_that_its_search_saw(
    settings: dict[str, Any], tmp_path: Path, cache_root: Path
) -> None:
    study = Hunt(tmp_path, cache_root, more=", nested: true", **settings)
    study.run()
    assert len(study.plan.searched) == 3
    rows = {cell.name: cell for cell in study.grown.cells}
    for searched in study.plan.searched:
        seen: set[str] = set()
        tested: set[str] = set()
        for trial in study.grown.trials:
            split, row = study.split(trial), rows[trial.cell]
            if row.searched == searched.cell.name and not row.replicated:
                seen.update(split.train, split.validation)
            elif row.searched == searched.cell.name:
                tested.update(split.test)
        assert tested
        assert not seen & tested


@NESTED
def test_a_row_has_the_winner_of_each_search_on_its_own_repeats(
    settings: dict[str, Any], tmp_path: Path, cache_root: Path
) -> None:
    study = Hunt(tmp_path, cache_root, more=", nested: true", **settings)
    study.run()
    reported, points = reported_plan(study.grown), study.points
    assert [cell.name for cell in reported.cells] == ["base winners replicated", "base #0 replicated"]
    for place, searched in enumerate(study.plan.searched):
        drawn = [p.config for p in points if p.cell == searched.cell.name and p.config is not None]
        best = min(drawn, key=lambda config: abs(config["x"] - place / 2))
        seeds = [repeat.seed for repeat in searched.fresh]
        mine = [
            trial.config
            for trial in reported.trials
            if trial.cell == "base winners replicated" and trial.seed in seeds and trial.fold in (None, place)
        ]
        assert mine == [best] * len(seeds)
    (comparison,) = reported.comparisons
    assert comparison.pairs == (("base #0 replicated", "base winners replicated"),)


def test_a_nested_table_has_all_repeats_and_says_what_it_stands_for(tmp_path: Path, cache_root: Path) -> None:
    study = Hunt(tmp_path, cache_root, more=", nested: true", **FOLDS)
    study.run()
    results = SearchResults(study.grown, study.records())
    assert [summary.n for summary in metric_summary(results, "image_ap")] == [2 * 3, 2 * 3]
    page = markdown_of(study.grown, study.records())
    assert "each fold has a search of its own, whose winner is tested on that fold" in page
    assert "those of these points, not of this search" in page
    assert "flatters the winner" not in page


@pytest.fixture
def half_won(tmp_path: Path, cache_root: Path) -> SearchResults:
    """A nested search: the start point is the winner of some folds, and there stands in both rows."""
    study = Hunt(tmp_path, cache_root, more=", nested: true", points=2, **FOLDS)
    study.run()
    records = enumerate(study.records().values())
    told = {record.id: with_predictions(study.store, record, number) for number, record in records}
    return SearchResults(study.grown, told, store=study.store, read_part=study.store.read_part)


def test_a_trial_of_two_rows_is_resampled_once(half_won: SearchResults) -> None:
    rows = [trial.id for trial in half_won.reported.trials]
    assert len({*rows}) < len(rows)
    intervals = item_intervals(half_won)
    assert intervals is not None
    assert [len(trials) for trials in intervals.trials.values()] == [2 * 3, 2 * 3]


def test_a_trial_of_two_rows_whose_files_are_gone_is_named_once(half_won: SearchResults) -> None:
    ids, store = {trial.id for trial in half_won.reported.trials}, half_won.store
    assert store is not None
    for id_ in ids:
        store.delete_tree(store.trial(id_))
    records = {
        id_: record.model_copy(update={"files": {**record.files, f"{record.attempt}/curve.parquet": "ab"}})
        for id_, record in half_won.records.items()
    }
    results = replace(half_won, records=records, computed=Computed())
    (sentence,) = left_out(results)
    assert f"curve.parquet of {len(ids)} trials" in sentence
    intervals = item_intervals(results)
    assert intervals is not None
    assert len(intervals.problems) == len(ids)


def test_a_run_ends_with_a_command_that_takes_the_winner_of_one_search(half_won: SearchResults) -> None:
    command = command_for(half_won)
    assert command == "assay best toy_search --as toy_search_best --cell 'base, fold 0'"


def test_there_is_no_row_before_all_searches_of_a_cell_are_over(tmp_path: Path, cache_root: Path) -> None:
    study = Hunt(tmp_path, cache_root, more=", nested: true", **FOLDS)
    while not reported_plan(study.grown).cells:
        ready = {cell.searched for cell in study.grown.replicates}
        assert len(ready) < 3
        assert study.run(batches=1)
    assert {cell.searched for cell in study.grown.replicates} == {f"base, fold {fold}" for fold in range(3)}


def test_nested_searches_that_are_interrupted_draw_the_same_points(tmp_path: Path, cache_root: Path) -> None:
    whole, killed = (Hunt(tmp_path / name, cache_root, more=", nested: true", **FOLDS) for name in "ab")
    whole.run()
    while killed.run(batches=1):
        pass
    by_name = [sorted(study.points, key=lambda point: point.name) for study in (whole, killed)]
    assert by_name[0] == by_name[1]
    assert killed.records().keys() == whole.records().keys()
    assert killed.grown.pending_points == 0


def test_nested_searches_on_splits_of_their_own_speak_for_the_search(
    tmp_path: Path, cache_root: Path
) -> None:
    study = Hunt(tmp_path, cache_root, more=", nested: true", **OWN_SPLITS)
    study.run()
    assert "those of this search" in markdown_of(study.grown, study.records())


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        (FOLDS, "12 test images of a winner"),
        (OWN_SPLITS, "test images of a winner"),
        ({}, None),
    ],
    ids=["folds", "splits of their own", "one published split"],
)
def test_a_plain_search_counts_the_test_images_that_it_saw(
    settings: dict[str, Any], counts: str | None, tmp_path: Path, cache_root: Path
) -> None:
    study = Hunt(tmp_path, cache_root, **settings)
    told = [warning for warning in study.plan.warnings if "flatters the winner" in warning]
    assert [counts in warning for warning in told if counts] == [True] * (counts is not None)
    assert bool(told) == (counts is not None)


def test_the_plan_of_nested_searches_comes_back_from_its_table(tmp_path: Path, cache_root: Path) -> None:
    study = Hunt(tmp_path, cache_root, more=", nested: true", **FOLDS)
    assert plan_of_table(table_of_plan(study.plan)).searched == study.plan.searched
