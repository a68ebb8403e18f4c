"""Masks that a rule picks while a trial trains: shared pilots, and no mask beyond those that it picked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from assay.engine.pack_site import PackSite
from assay.engine.single_trial import training_data
from assay.engine.trial_data import TrialData
from assay.study import parse_study, plan_study
from assay.study.stage_graph import stage_graph
from tests.data.made_images import make_folder
from tests.engine.made_packs import make_pack
from tests.engine.staged_study import StagedStudy
from trainables.data.spec import ChoiceRule
from trainables.errors import InputError
from trainables.next_images import FirstMaps
from trainables.pilot import PILOTS

STUDY = """
study: {name}
trainable: toy
data: {{reader: folder, splits: per_seed}}
config: {{epochs: {epochs}, seconds: {seconds}, image_size: [16, 16]}}
factors:
  next:
    random: {{supervision: {{mixed: 6}}}}
    uncertainty: {{supervision: {{mixed: 6, by: uncertainty, first: 2}}}}
    disagreement: {{supervision: {{mixed: 6, by: disagreement, first: 2}}}}
    coverage: {{supervision: {{mixed: 6, by: coverage, first: 2}}}}
    fewer: {{supervision: {{mixed: 4, by: uncertainty, first: 2}}}}
design: {{full: all}}
repeats: {{seeds: {seeds}}}
metrics: {{primary: image_ap}}
resources: {{workers: {workers}, cpus: 1}}
keep: {{models: none, probes: 0}}
"""


@pytest.fixture
def study(tmp_path: Path) -> StagedStudy:
    root = make_folder(tmp_path / "data", good=20, defect=20)
    storage, cache = tmp_path / "storage", tmp_path / "cache"
    return StagedStudy.of(storage, cache, seeds=(0,), text=STUDY, root=root, name="choice", epochs=1)


def test_rules_and_numbers_of_masks_share_their_pilots(study: StagedStudy) -> None:
    nodes = {
        node.name: [trial.cell for trial in node.trials] for node in stage_graph(study.plan.trials).values()
    }
    assert nodes == {"pilot": ["uncertainty", "disagreement", "fewer"], "second_pilot": ["disagreement"]}
    assert len({trial.id for trial in study.plan.trials}) == 5
    assert (
        len({trial.split for trial in study.plan.trials}) == 2
    )  # that of the random masks, and that of the first


def test_a_trial_reads_as_many_masks_as_planned_and_says_which_its_rule_picked(study: StagedStudy) -> None:
    study.train(stages=[task for pack in study.stages() for task in pack])
    study.train(study.plan.trials)
    counts: dict[str, tuple[int, int]] = {}
    for trial in study.plan.trials:
        record = study.records()[trial.id]
        picked = study.store.read_part(record, "picked.parquet")
        assert record.result is not None
        counts[trial.cell] = (record.result.n_masks, 0 if picked is None else picked.num_rows)
        log = study.store.read_bytes(f"{study.store.trial(trial.id)}/{record.attempt}/log.txt").decode()
        assert all(name in log for name in ([] if picked is None else picked["sample"].to_pylist()))
        assert [use.name for use in record.stages] == list(PILOTS[trial.supervision.by])
    assert counts == {
        "random": (6, 0), "uncertainty": (6, 4), "disagreement": (6, 4), "coverage": (6, 4), "fewer": (4, 2),
    }  # fmt: skip


@pytest.mark.parametrize("rule", ["uncertainty", "disagreement", "coverage"])
def test_no_mask_is_opened_but_the_first_ones_and_those_that_the_rule_picked(
    study: StagedStudy, rule: ChoiceRule
) -> None:
    """Any other mask on disk is a canary: it changed since the data were read, and to open it is refused."""
    trial = next(each for each in study.plan.trials if each.cell == rule)
    pack = make_pack("choice", [trial], data_root=str(study.root), cache=str(study.cache))
    data = TrialData.open(trial, PackSite(pack, study.store, 0, 1, "here", 0, "cpu"))
    folder = data.manifest.mask_root or data.manifest.root
    paths = {row.sample: folder / row.mask for row in data.manifest.rows if row.mask is not None}
    sound = {sample: path.read_bytes() for sample, path in paths.items()}

    def leave(samples: tuple[str, ...]) -> None:
        for sample, path in paths.items():
            path.write_bytes(sound[sample] if sample in samples else b"canary")

    leave(data.split.masks)
    assert set(data.training().train.masks) == set(data.split.masks)
    names = data.split.train
    drawn = np.random.default_rng(0)
    maps = [FirstMaps(names, drawn.random((len(names), 4, 4), dtype=np.float32)) for _ in PILOTS[rule]]
    after = data.with_picked_masks(trial.supervision, maps)
    picked = {image.sample for image in after.picked}
    with pytest.raises(InputError, match="changed since the data were read"):
        after.training()
    leave((*data.split.masks, *picked))
    assert set(after.training().train.masks) == {*data.split.masks, *picked}
    assert picked <= set(data.split.train)


def test_data_of_a_trial_whose_masks_a_rule_picks_are_refused_before_it_trained(study: StagedStudy) -> None:
    trial = next(each for each in study.plan.trials if each.cell == "coverage")
    with pytest.raises(InputError, match="picked while it trains, found mixed: 6 by coverage after 2"):
        training_data(trial, study.root, study.cache)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("splits: per_seed", "masks: published"), "lists the images whose masks are read"),
        (("splits: per_seed", "tiles: {{height: 32, width: 32, overlap: 0}}"), "a rule picks whole images"),
        (("trainable: toy", "trainable: supersimple"), "has no stages of its own, found rotations"),
        (
            ("trainable: toy", "trainable: supervised"),
            "trains a first model with mixed: 0: model: unet learns from masks",
        ),
    ],
    ids=["published masks", "tiles", "stages", "a first model that cannot learn"],
)
def test_a_rule_that_cannot_be_followed_is_refused_when_the_study_is_planned(
    change: tuple[str, str], words: str
) -> None:
    method = {"supersimple": "{{preset: small, image_size: [64, 64], own_task: rotations}}",
              "supervised": "{{preset: unet_small, image_size: [64, 64]}}"}  # fmt: skip
    text = STUDY.replace(*change).replace("first: 2", "first: 0")
    for name, config in method.items():
        if name in change[1]:
            text = text.replace("{{epochs: {epochs}, seconds: {seconds}, image_size: [16, 16]}}", config)
    written = text.format(name="refused", epochs=1, seconds=0, seeds=[0], workers=1)
    with pytest.raises(InputError, match=words):
        plan_study(parse_study(written, "refused"), None, "cpu")
