"""The chain as a whole: what it may read, what each switch changes, what a kill leaves, what trials share."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from assay.study import plan_study, read_study
from assay.study.file.shipped import shipped_studies
from assay.study.planning.stage_graph import stage_graph
from tests.helpers.golden_weights import assert_stages_ended_at
from tests.helpers.predictors import assert_saved_says_the_same, digest, exported
from tests.helpers.two_workers import assert_two_workers_end_where_one_does
from tests.regioncam.chains import (
    CPU,
    SIZE,
    WHOLE,
    KeptRun,
    answer_of,
    chain_data,
    fitted,
    pictures,
    shared_fit,
    stages_of,
    tiny,
)
from tests.supervised.surfaces import surfaces
from tests.supervised.test_fit import NoMasks, with_masks
from trainables.cam import TRAINABLE as CAM
from trainables.cam import CamConfig
from trainables.contract import LocalRun
from trainables.data.samples import EvaluationData
from trainables.errors import InputError
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.pseudo_labels import PseudoLabels
from trainables.nn.batches.augmentation import Augmentation
from trainables.nn.labels.pixels import PixelMaps
from trainables.nn.labels.pseudo import pseudo_labels
from trainables.regioncam import TRAINABLE
from trainables.regioncam.fit import agreement, sharpened_labels
from trainables.regioncam.stages import stages
from trainables.stages import read_facts

TRAINED: dict[str, Any] = {"min_steps": 100, "rounds": 1, "segment_min_steps": 60}


def labels_in(folder: Path) -> PseudoLabels:
    labels = PseudoLabels.load(folder)
    assert labels is not None
    return labels


# What it may read -------------------------------------------------------------------------------------


def test_no_mask_is_read_and_none_would_change_a_bit(shared: Path, tmp_path: Path) -> None:
    config, locked = tiny(**WHOLE), with_masks(chain_data(), NoMasks())
    found = digest(fitted(config, tmp_path / "stages", locked), tmp_path / "locked")
    assert found == digest(shared_fit(config, shared), tmp_path / "model")
    mine, others = labels_in(tmp_path / "stages" / "round2"), labels_in(stages_of(config, shared)["round2"])
    assert (mine.labels == others.labels).all()


def test_shuffled_labels_teach_nothing(tmp_path: Path) -> None:
    data = chain_data(16)
    labels = np.random.default_rng(1).permutation(data.train.labels)
    predictor = fitted(tiny(**TRAINED), tmp_path, replace(data, train=replace(data.train, labels=labels)))
    test = EvaluationData(None, surfaces(15, 25, seed=7))
    found = evaluate(predictor, test, device=CPU, batch=16, probes=0, seed=0).metrics
    assert found["image_ap"] < 0.6  # chance: 0.375; with true labels 0.9 (below)
    assert found["pixel_ap"] < 0.1  # chance: 0.008; 0.3


def test_with_all_off_it_is_the_plain_class_activation_map(shared: Path) -> None:
    own = {name: getattr(tiny(method="cam"), name) for name in CamConfig.model_fields}
    plain = CAM.fit(CamConfig(**own), chain_data(), LocalRun()).predict(pictures(4))
    for fgbp in (True, False):
        mine = shared_fit(tiny(method="cam", fgbp=fgbp), shared).predict(pictures(4))
        assert torch.equal(mine.score, plain.score)
        assert torch.equal(mine.heatmap, plain.heatmap)


# What a kill leaves, what trials share ------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["classifier", "round2"])
def test_a_chain_that_was_killed_goes_on_to_the_same_bits(stage: str, shared: Path, tmp_path: Path) -> None:
    config = tiny(**WHOLE)
    whole = digest(shared_fit(config, shared), tmp_path / "model")
    folder = tmp_path / "killed"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        TRAINABLE.fit(config, chain_data(), KeptRun(kept=folder, dies_in=stage))
    run = KeptRun(kept=folder)
    assert digest(TRAINABLE.fit(config, chain_data(), run), tmp_path / "again") == whole
    assert run.made[0] == stage


def test_rows_of_the_study_share_classifiers_maps_and_rounds() -> None:
    plan = plan_study(read_study(shipped_studies()["region_aware_cam_mtd"]), None, "cpu")
    repeats = len({(trial.seed, trial.fold) for trial in plan.trials})
    names = Counter(node.name for node in stage_graph(plan.trials).values())
    # Each of six maps makes labels, one of them with the CRF as well; on one no net is trained.
    expected = {"classifier": 1, "maps": 6, "pseudo": 7, "round1": 6, "round2": 4}
    assert names == {name: repeats * count for name, count in expected.items()}


def test_stages_hold_only_what_they_depend_on() -> None:
    def settings(**changes: Any) -> dict[str, Any]:
        return {stage.name: stage.config for stage in stages(tiny(**{"rounds": 1, **changes}))}

    plain = settings()
    assert settings(rounds=2)["round1"] == plain["round1"]
    later = settings(foreground=0.6, crf_s_rgb=20.0, segment_lr=0.02, region_size=4, fgbp_q=0.5)
    assert (later["classifier"], later["maps"]) == (plain["classifier"], plain["maps"])
    assert later["pseudo"] != plain["pseudo"]
    assert later["round1"] != plain["round1"]
    off = settings(fgbp=False)
    assert off["maps"] != plain["maps"]
    assert settings(fgbp=False, fgbp_q=0.8)["maps"] == off["maps"]
    assert settings(method="cam", fgbp_q=0.8)["maps"] == settings(method="cam", layers=[2])["maps"]


@pytest.mark.parametrize(
    ("base", "unread"),
    [
        ({"fgbp_guided": False}, {"fgbp_sign": "negative"}),
        ({"fgbp_q": 0.0}, {"fgbp_by": "activation_x_gradient", "fgbp_mode": "share_of_max"}),
        ({"fgbp": False}, {"fgbp": True, "fgbp_guided": False, "fgbp_q": 0.0}),
        ({"region": "components"}, {"region_size": 4}),
        ({"region": "grid"}, {"region_count": 5}),
    ],
)
def test_a_setting_that_nothing_reads_is_in_no_stage(base: dict[str, Any], unread: dict[str, Any]) -> None:
    one, other = (stages(tiny(**settings)) for settings in (base, {**base, **unread}))
    assert [stage.config for stage in one] == [stage.config for stage in other]


def test_without_rounds_the_crf_changes_no_answer(shared: Path) -> None:
    assert answer_of({}, shared) == answer_of({"crf": True}, shared)


# Rounds -------------------------------------------------------------------------------------------------


def test_without_rounds_labels_are_those_cut_from_the_map_and_the_map_answers(shared: Path) -> None:
    made = stages_of(tiny(), shared)
    assert list(made) == ["classifier", "maps", "pseudo"]
    maps = load_file(made["maps"] / "final_maps.safetensors")["maps"].float()
    positive = torch.ones(len(maps), dtype=torch.bool)
    cut = pseudo_labels(maps, positive, tiny().cutoffs).numpy()
    assert (labels_in(made["pseudo"]).labels == cut).all()
    shown = shared_fit(tiny(), shared).predict_stages(pictures(2)).stages
    assert list(shown) == ["cam", "layer_cam", "fgbp", "pseudo"]


def test_normal_images_are_background_everywhere_in_every_round(shared: Path) -> None:
    data, made = chain_data(), stages_of(tiny(rounds=3), shared)
    defective = tuple(np.array(data.train.ids)[data.train.labels])
    normal = [name for name in data.train.ids if name not in defective]
    for stage in ("pseudo", "round1", "round2", "round3"):
        labels = labels_in(made[stage])
        assert labels.ids == defective
        maps = PixelMaps(labels.by_id, normal, SIZE, torch.device("cpu"))
        views = Augmentation.draw(len(normal), "none", 0, np.random.default_rng(0))
        assert not maps.batch(range(len(normal)), views).any()


def same_net(one: Path, other: Path) -> bool:
    before, after = (load_file(folder / "model.safetensors") for folder in (one, other))
    return all(torch.equal(after[name], tensor) for name, tensor in before.items())


def names_of_labels(made: dict[str, Path]) -> list[str]:
    """Each stage's labels are measured under a name of their own."""
    return [labels_in(made[stage]).name for stage in ("pseudo", "round1", "round2")]


def test_a_round_that_collapses_keeps_its_labels_and_is_the_last_that_trains(shared: Path) -> None:
    made = stages_of(tiny(rounds=2, round_foreground=1.0, round_background=0.99), shared)  # never sure
    first, second = (read_facts(made[name]) for name in ("round1", "round2"))
    assert (first["collapsed"], first["going"], first["trained"], second["trained"]) == (1, 0, 1, 0)
    assert (labels_in(made["round2"]).labels == labels_in(made["pseudo"]).labels).all()
    assert same_net(made["round1"], made["round2"])
    assert names_of_labels(made) == ["pseudo", "round 1", "round 2"]


def test_after_a_collapse_the_net_before_it_answers(tmp_path: Path) -> None:
    fitted(tiny(rounds=1), tmp_path)
    fitted(tiny(rounds=2, round_foreground=1.0, round_background=0.99), tmp_path)  # of round 2 only
    facts = read_facts(tmp_path / "round2")
    assert (facts["collapsed"], facts["going"], facts["trained"]) == (1, 0, 1)
    assert same_net(tmp_path / "round1", tmp_path / "round2")
    first, second = (
        load_file(tmp_path / name / "probabilities.safetensors") for name in ("round1", "round2")
    )
    assert torch.equal(first["prob"], second["prob"])


def test_labels_whose_area_leaps_have_collapsed_though_the_net_sees_something(shared: Path) -> None:
    made = stages_of(tiny(rounds=1, round_change=1.001), shared)
    facts = read_facts(made["round1"])
    assert (facts["collapsed"], facts["going"]) == (1, 0)
    assert facts["empty"] <= 0.5
    before, after = (labels_in(made[name]).labels for name in ("pseudo", "round1"))
    assert (before == after).all()


def test_rounds_end_where_labels_hardly_change(shared: Path) -> None:
    made = stages_of(tiny(rounds=2, round_alike=0.01), shared)
    facts = read_facts(made["round1"])
    assert facts["collapsed"] == 0
    assert facts["iou_previous"] > 0.01
    assert read_facts(made["round2"])["trained"] == 0
    assert same_net(made["round1"], made["round2"])
    assert names_of_labels(made) == ["pseudo", "round 1", "round 2"]
    assert read_facts(stages_of(tiny(rounds=2), shared)["round2"])["trained"] == 1


@pytest.mark.parametrize(
    ("grown", "collapsed"), [(1, False), (3, False), (3.25, True), (0.5, False), (0.25, True)]
)
def test_the_guard_compares_areas(grown: float, collapsed: bool) -> None:
    before, after = (np.zeros((2, 8, 8), np.uint8) for _ in range(2))
    before.reshape(2, -1)[:, :16] = 1
    after.reshape(2, -1)[:, : int(16 * grown)] = 1
    before[:, -1, -1] = after[:, -1, -2] = 255  # open pixels are no area
    found = agreement(before, after, tiny(round_change=3.0))
    assert found.collapsed == collapsed
    assert found.iou == pytest.approx(min(grown, 1 / grown))


def test_the_crf_leaves_open_what_it_learns_nothing_about() -> None:
    images = chain_data().train
    ids = tuple(name for name, label in zip(images.ids, images.labels, strict=True) if label)
    labels = np.full((len(ids), *SIZE), 255, np.uint8)
    labels[:, :8, :8], labels[:, :8, 8:16] = 1, 0
    config = tiny(crf=True, crf_radius=1, crf_steps=1)
    found, used = sharpened_labels(PseudoLabels("pseudo", ids, labels), images, config, CPU)
    assert used
    assert (found.labels[:, 12:, 20:] == 255).all()
    assert (found.labels[:, 1:7, 1:7] == 1).mean() > 0.9


# What comes out -----------------------------------------------------------------------------------------


def test_a_chain_finds_the_defects_and_each_step_can_be_looked_at(tmp_path: Path) -> None:
    config = tiny(**TRAINED | WHOLE | {"crf": False})  # which eats squares of 8 × 8 pixels
    predictor = fitted(config, tmp_path, chain_data(16))
    test = EvaluationData(surfaces(5, 8, seed=1, masks=0), surfaces(15, 25, seed=7))
    found = evaluate(predictor, test, device=CPU, batch=16, probes=2, seed=0)
    assert found.metrics["image_ap"] >= 0.9  # chance: 0.375
    assert found.metrics["pixel_ap"] >= 0.3  # chance: 0.008
    both = (found.validation["image_ap"] + found.validation["erasure_drop"]) / 2
    assert found.validation["image_ap_and_erasure_drop"] == pytest.approx(both)
    prediction, told = predictor.predict_stages(pictures(3))
    assert all(torch.equal(*both) for both in zip(prediction, predictor.predict(pictures(3)), strict=True))
    assert list(told) == ["cam", "layer_cam", "fgbp", "region", "pseudo", "round 1", "round 2"]
    assert all(step.shape == (3, *SIZE) and 0 <= step.min() <= step.max() <= 1 for step in told.values())
    assert told["round 2"] is prediction.heatmap


@pytest.mark.parametrize("changes", [{"rounds": 2, "crf": True, "region": "grid"}, {"method": "cam"}, {}])
def test_a_saved_model_judges_the_same_and_shows_what_it_holds(
    changes: dict[str, Any], shared: Path, tmp_path: Path
) -> None:
    predictor = shared_fit(tiny(**changes), shared)
    loaded = assert_saved_says_the_same(predictor, TRAINABLE.load, pictures(3), tmp_path)
    mine, theirs = (set(one.predict_stages(pictures(3)).stages) for one in (predictor, loaded))
    assert mine - theirs <= {"round 1"}
    if changes:
        graph = exported(loaded, pictures(2))
        for mine, theirs in zip(graph(pictures(3)), loaded.predict(pictures(3)), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"method": "cam", "region": "slic"}])
def test_a_map_that_no_graph_can_make_says_what_to_export_instead(
    changes: dict[str, Any], shared: Path
) -> None:
    with pytest.raises(InputError, match="rounds: 1 or more"):
        exported(shared_fit(tiny(**changes), shared), pictures(2))


def test_two_workers_end_where_one_does(tmp_path: Path) -> None:
    assert_two_workers_end_where_one_does("regioncam", tmp_path)


# What is refused, what is said ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layers": [3]}, "1 to 2 or -1"),
        ({"fgbp_q": 1.0}, "less than 1"),
        ({"region": "superpixels"}, "slic"),
        ({"region_gamma": 0}, "greater than 0"),
        ({"rounds": 5}, "less than or equal to 4"),
        ({"round_background": 0.6}, "round_background"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tiny(**changes)


def test_footnotes_say_what_is_our_reading_and_where_a_switch_is_inert() -> None:
    first, *_ = TRAINABLE.footnotes(tiny())
    assert "our reading of Dong et al. 2025" in first
    notes = " ".join(TRAINABLE.footnotes(tiny(layers=[-1], crf=True, rounds=1)))
    assert "inert here" in notes
    assert "crf_guard" in notes
    assert "inert here" not in " ".join(TRAINABLE.footnotes(tiny(layers=[-1], fgbp=False)))
    assert "inert on answers without rounds" in " ".join(TRAINABLE.footnotes(tiny(crf=True)))


# What a fixed training ends with. When these move, results move: raise TRAINABLE.revision and note the new
# numbers under it.
GOLDEN = {3: {"classifier": [1.4489, 0.53275], "round2": [3.1473, 5.5883], "answer": [0.46224, 0.0095688]}}
MOVED = {
    "classifier": ["backbone.conv1.weight", "head.weight"],
    "round2": ["unet.head.bias", "unet.decoder.0.0.weight"],
}


def test_results_do_not_move_without_a_new_revision(tmp_path: Path) -> None:
    predictor = fitted(tiny(**WHOLE, min_steps=24, lr=1e-3, segment_lr=1e-3), tmp_path)
    assert predictor.network.last is not None
    answer = predictor.network.last.segmenter(pictures(3)).logits_BHW.detach().sigmoid()  # before the CRF
    assert_stages_ended_at(GOLDEN[TRAINABLE.revision], MOVED, tmp_path, answer)
