"""Two methods in one study, from normal images alone to all masks, in one table."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.analysis.labels import label_costs
from assay.analysis.results.results import StudyResults
from assay.storage import Record
from assay.storage.stage_store import made_stages
from assay.study.planning.stage_graph import stage_graph
from tests.analysis.made_studies import markdown_of
from tests.engine.toy_study import ToyStudy

LADDER = """
study: ladder
data: {reader: synthetic, options: {images: 48, positives: 24, items: 24, size: [32, 32]}, masks: nested}
config: {image_size: [32, 32]}
factors:
  method:
    normal: {trainable: toy, supervision: none}
    labels: {trainable: staged, supervision: weak}
    more: {trainable: staged, supervision: weak, config: {last: 0.1}}
    n3: {trainable: toy, supervision: {mixed: 3}}
    n5: {trainable: toy, supervision: {mixed: 5}}
    all: {trainable: toy, supervision: full}
design: {full: all}
comparisons: [{factor: method, from: labels, to: all}]
labelling: {image_label_seconds: 1, mask_seconds: 60}
budget: {hours: 1}
repeats: {seeds: [0]}
metrics: {primary: image_ap, report: [pixel_ap]}
resources: {workers: 1, cpus: 1}
keep: {models: best_per_cell, probes: 2}
"""
ALONE = """
study: alone
trainable: toy
data: {reader: synthetic, options: {images: 48, positives: 24, items: 24, size: [32, 32]}, masks: nested}
config: {image_size: [32, 32]}
supervision: {mixed: 3}
repeats: {seeds: [0]}
"""


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> ToyStudy:
    study = ToyStudy(tmp_path_factory.mktemp("ladder"), cache_root, LADDER)
    assert study.run(local=True).finished == 6
    return study


def by_cell(study: ToyStudy) -> dict[str, Record]:
    records = study.records()
    return {trial.cell: records[trial.id] for trial in study.plan.trials}


def test_each_cell_is_trained_with_its_method_on_its_labels(ladder: ToyStudy) -> None:
    records = by_cell(ladder)
    assert {cell: record.trial["trainable"] for cell, record in records.items()} == {
        "normal": "toy",
        "labels": "staged",
        "more": "staged",
        "n3": "toy",
        "n5": "toy",
        "all": "toy",
    }
    counted = {
        c: (r.result.n_train, r.result.n_positives, r.result.n_masks) for c, r in records.items() if r.result
    }
    images, defective, masks = counted["all"]
    assert 5 < masks <= defective
    assert counted["n3"] == (images, defective, 3)
    assert counted["n5"] == (images, defective, 5)
    assert counted["labels"] == (images, defective, 0)
    assert counted["normal"] == (images - defective, 0, 0)
    assert len({record.result.n_test for record in records.values() if record.result}) == 1


def test_labels_of_normal_images_are_all_that_the_first_rung_costs(ladder: ToyStudy) -> None:
    costs = label_costs(StudyResults(ladder.plan, ladder.records()))
    assert costs is not None
    seconds = {cell.cell.name: round(cell.hours * 3600) for cell in costs.cells}
    assert seconds["labels"] == seconds["more"] == seconds["n3"] - 180 == seconds["n5"] - 300
    assert 0 < seconds["normal"] < seconds["labels"] < seconds["n3"] < seconds["n5"] < seconds["all"]


def test_stages_are_those_of_the_method_that_has_some(ladder: ToyStudy) -> None:
    graph = stage_graph(ladder.plan.trials)
    assert sorted((node.name, len(node.trials)) for node in graph.values()) == [("base", 2), ("maps", 2)]
    assert made_stages(ladder.store, graph).keys() == graph.keys()
    text = markdown_of(ladder.plan, ladder.records())
    assert "Method `toy`: normal; n3; n5 and 1 more. Method `staged`: labels; more." in text
    assert "| on training images: pseudo | labels; more |" in " ".join(text.split())


def test_a_study_of_one_of_the_methods_finds_its_trials_trained(ladder: ToyStudy, cache_root: Path) -> None:
    alone = ToyStudy(ladder.storage, cache_root, ALONE)
    assert alone.run().trained_now == 0
    assert set(alone.results()) < set(ladder.results())


def test_a_model_of_each_cell_is_kept(ladder: ToyStudy) -> None:
    assert all(any("model" in name for name in record.files) for record in ladder.records().values())
