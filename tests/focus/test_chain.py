"""The chain as a whole: what it may read, what each switch changes, what a kill leaves, what trials share."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from assay.study import plan_study, read_study
from assay.study.file.shipped import shipped_studies
from assay.study.planning.stage_graph import stage_graph
from tests.focus.chains import (
    CPU,
    SIZE,
    KeptRun,
    chain_data,
    fitted,
    pictures,
    tiny_chain,
    trained_chain,
)
from tests.helpers.golden_weights import assert_stages_ended_at
from tests.helpers.predictors import assert_saved_says_the_same, digest, exported
from tests.helpers.two_workers import assert_two_workers_end_where_one_does
from tests.supervised.surfaces import surfaces
from tests.supervised.test_fit import NoMasks, with_masks
from trainables.cam import TRAINABLE as CAM
from trainables.cam import CamConfig
from trainables.cam.config import ClassifierConfig
from trainables.contract import LocalRun
from trainables.data.samples import EvaluationData
from trainables.data.tensors import images_to_tensor
from trainables.errors import InputError
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.pseudo_labels import PseudoLabels
from trainables.focus import TRAINABLE
from trainables.focus.stages import stages
from trainables.nn.cam.activation import minmax
from trainables.nn.labels.pseudo import refined_labels
from trainables.nn.labels.segmentation import (
    SegmentationNet,
    Targets,
    match_area,
    train_segmentation,
)
from trainables.nn.layers.initialisation import initialise
from trainables.nn.layers.unet import ImageHead
from trainables.regioncam import TRAINABLE as REGIONCAM
from trainables.stages import stage_keys

WHOLE: dict[str, Any] = {"clm": True, "gcm": True, "iem": "both", "crf": True, "round": True, "distill": True}
KILLED: dict[str, Any] = {**WHOLE, "iem_inpainter": "unet", "inpainter_epochs": 2}


# What each switch changes -----------------------------------------------------------------------------


def test_with_all_off_the_chain_starts_as_plain_class_activation_maps(tmp_path: Path) -> None:
    config = tiny_chain()
    fitted(config, tmp_path / "focus")
    own = {name: getattr(config, name) for name in ClassifierConfig.model_fields}
    plain = CAM.fit(CamConfig(**own, gate_by_score=False), chain_data(), LocalRun())
    mine = load_file(tmp_path / "focus" / "classifier" / "model.safetensors")
    assert all(torch.equal(mine[name], tensor) for name, tensor in plain.network.net.state_dict().items())
    final = load_file(tmp_path / "focus" / "maps" / "final_maps.safetensors")["maps"]
    shown = images_to_tensor([chain_data().train[i].image for i in range(6)], CPU)
    assert torch.equal(final, minmax(plain.network(shown).map_BHW).half())


# What a kill leaves, what trials share ------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of the chain that the test below kills."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return digest(fitted(tiny_chain(**KILLED), folder), folder / "model")


@pytest.mark.parametrize("stage", ["classifier", "inpainter", "student"])
def test_a_chain_that_was_killed_goes_on_to_the_same_bits(
    stage: str, tmp_path: Path, undisturbed: str
) -> None:
    config = tiny_chain(**KILLED)
    folder = tmp_path / "killed"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        TRAINABLE.fit(config, chain_data(), KeptRun(kept=folder, dies_in=stage))
    run = KeptRun(kept=folder)
    assert digest(TRAINABLE.fit(config, chain_data(), run), tmp_path / "again") == undisturbed
    assert run.made[0] == stage


def test_no_mask_is_read_and_none_would_change_a_bit(tmp_path: Path, undisturbed: str) -> None:
    locked = fitted(tiny_chain(**KILLED), tmp_path / "stages", with_masks(chain_data(), NoMasks()))
    assert digest(locked, tmp_path / "model") == undisturbed


def test_rows_of_the_additive_study_share_what_comes_before() -> None:
    plan = plan_study(read_study(shipped_studies()["guided_cropping_mtd"]), None, "cpu")
    repeats = len({(trial.seed, trial.fold) for trial in plan.trials})
    names = [node.name for node in stage_graph(plan.trials).values()]
    assert names.count("classifier") == 4 * repeats  # with and without CLM and GCM
    assert names.count("s2") < names.count("s1") < len(plan.trials)


@pytest.mark.parametrize(("switches", "one"), [({}, True), ({"iem": "both"}, True), ({"clm": True}, False)])
def test_a_plain_classifier_is_that_of_the_other_methods(switches: dict[str, Any], one: bool) -> None:
    config = tiny_chain(**switches)
    own = {name: getattr(config, name) for name in ClassifierConfig.model_fields}
    keys = {
        stage_keys(trainable.stages(each), {"trainable": trainable.name, "revision": trainable.revision})[
            "classifier"
        ]
        for trainable, each in (
            (TRAINABLE, config),
            (CAM, CamConfig(**own)),
            (REGIONCAM, REGIONCAM.Config(**own)),
        )
    }
    assert (len(keys) == 1) == one


def test_the_weak_methods_of_a_ladder_train_one_classifier() -> None:
    plan = plan_study(read_study(shipped_studies()["supervision_ladder_mtd"]), None, "cpu")
    repeats = len({(trial.seed, trial.fold) for trial in plan.trials})
    weak = {"cam", "focus", "regioncam"}
    nodes = [
        node
        for node in stage_graph(plan.trials).values()
        if node.name == "classifier" and {trial.trainable for trial in node.trials} & weak
    ]
    assert len(nodes) == repeats
    assert {trial.trainable for trial in nodes[0].trials} == weak


def test_stages_hold_only_what_they_depend_on() -> None:
    def settings(**changes: Any) -> dict[str, Any]:
        return {stage.name: stage.config for stage in stages(tiny_chain(**changes))}

    plain, whole = settings(), settings(**WHOLE)
    assert plain["classifier"] != whole["classifier"]
    assert plain["s1"] == whole["s1"]
    later = settings(crf=True, round=True, clm_weight=0.5, gcm_pad=0.2, iem_stop=0.1, foreground=0.6)
    assert plain["classifier"] == later["classifier"]
    assert plain["maps"] == later["maps"]
    assert plain["pseudo"] != later["pseudo"]


# What the nets learn ------------------------------------------------------------------------------------


def test_a_chain_finds_the_defects_and_each_step_can_be_looked_at(tmp_path: Path) -> None:
    predictor = fitted(trained_chain(**WHOLE), tmp_path, chain_data(16))
    test = EvaluationData(surfaces(5, 8, seed=1, masks=0), surfaces(15, 25, seed=7))
    found = evaluate(predictor, test, device=CPU, batch=16, probes=2, seed=0)
    assert found.metrics["image_ap"] >= 0.9  # chance: 0.375
    assert found.metrics["pixel_ap"] >= 0.3  # chance: 0.008
    assert found.validation["erasure_drop"] > 0.2
    both = (found.validation["image_ap"] + found.validation["erasure_drop"]) / 2
    assert found.validation["image_ap_and_erasure_drop"] == pytest.approx(both)
    assert not found.metrics.keys() & {"erasure_drop", "image_ap_and_erasure_drop"}
    prediction, told = predictor.predict_stages(pictures(3))
    assert all(torch.equal(*both) for both in zip(prediction, predictor.predict(pictures(3)), strict=True))
    assert list(told) == [
        "cam", "crop", "erased 1", "erased 2", "erased 3", "final_cam", "pseudo",
        "s1", "s1_crf", "s2", "student",
    ]  # fmt: skip
    assert all(step.shape[-2:] == SIZE and 0 <= step.min() <= step.max() <= 1 for step in told.values())
    assert told["student"] is prediction.heatmap


def test_a_student_judges_in_one_pass_and_never_asks_the_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = fitted(tiny_chain(distill=True), tmp_path)
    passes: list[str] = []
    forward = nn.Module.__call__

    def counted(module: nn.Module, *arguments: Any, **named: Any) -> Any:
        if type(module).__name__ in {"Classifier", "SegmentationNet", "Inpainter"}:
            passes.append(type(module).__name__)
        return forward(module, *arguments, **named)

    monkeypatch.setattr(nn.Module, "__call__", counted)
    predictor.predict(pictures(3))
    assert passes == ["SegmentationNet"]


def test_a_student_of_empty_labels_predicts_nothing() -> None:
    data = chain_data()
    empty = {name: np.zeros(SIZE, np.uint8) for name in data.train.ids[:6]}
    config = tiny_chain(segment_min_steps=30)
    network = train_segmentation(config, data.train, Targets(empty), LocalRun(), task=config.student_task)
    assert not (network(pictures(4)).logits_BHW >= 0).any()


def test_an_images_label_teaches_a_students_pixels_more_and_more() -> None:
    reached: list[float] = []

    def note(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if isinstance(module, ImageHead) and module.training:
            reached.append(arguments[2])

    data, config = chain_data(), tiny_chain(segment_min_steps=12)
    targets = Targets({name: np.ones(SIZE, np.uint8) for name in data.train.ids[:6]})
    listening = register_module_forward_pre_hook(note)
    try:
        train_segmentation(config, data.train, targets, LocalRun(), task=config.student_task)
    finally:
        listening.remove()
    assert len(reached) >= 12
    assert reached == pytest.approx([step / len(reached) for step in range(len(reached))])


def test_as_many_pixels_reach_a_half_as_the_labels_call_defective() -> None:
    images = surfaces(4, 0)
    labels = images.masks
    network = SegmentationNet(tiny_chain()).eval()
    initialise(network, seed=0)
    match_area(network, images, labels)
    found = network(images_to_tensor([image.image for image in images], CPU)).logits_BHW >= 0
    assert abs(int(found.sum()) - 4 * 64) <= 0.1 * 4 * 64
    moved = network(pictures(1)).logits_BHW
    shift = network.shift.clone()
    network.shift.zero_()
    torch.testing.assert_close(moved, network(pictures(1)).logits_BHW + shift)  # which keeps their order


# The additional round -----------------------------------------------------------------------------------


def before() -> PseudoLabels:
    labels = np.zeros((4, 8, 8), np.uint8)
    labels[:, 2:4, 2:4] = 1
    return PseudoLabels("pseudo", ("a", "b", "c", "d"), labels)


def test_new_labels_follow_the_net_and_leave_open_what_it_leaves_open() -> None:
    prob = torch.zeros(4, 8, 8)
    prob[:, 0], prob[:, 1] = 0.9, 0.4
    refined = refined_labels(before(), prob, "s1", foreground=0.5, background=0.3)
    assert (refined.labels.labels[:, 0] == 1).all()
    assert (refined.labels.labels[:, 1] == 255).all()
    assert (refined.labels.labels[:, 2:] == 0).all()
    assert (refined.empty, refined.void, refined.labels.name) == (0.0, False, "s1")


@pytest.mark.parametrize(("empty", "void"), [(1, False), (2, False), (3, True), (4, True)])
def test_a_net_that_sees_nothing_takes_no_label_away(empty: int, void: bool) -> None:
    prob = torch.full((4, 8, 8), 0.9)
    prob[:empty] = 0
    refined = refined_labels(before(), prob, "s1", foreground=0.5, background=0.3)
    assert refined.void == void
    kept = 4 if void else empty
    assert (refined.labels.labels[:kept] == before().labels[:kept]).all()
    assert (refined.labels.labels[kept:] == 1).all()


def test_no_round_is_trained_on_a_collapse(tmp_path: Path) -> None:
    """A CRF that erases everything is left out, and a net that sees nothing ends as the last one."""
    config = tiny_chain(round=True, round_foreground=1.0, round_background=0.99)
    fitted(config, tmp_path)
    assert json.loads((tmp_path / "refined" / "facts.json").read_text())["void"] == 1.0
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("s1", "s2"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_two_workers_end_where_one_does(tmp_path: Path) -> None:
    assert_two_workers_end_where_one_does("focus", tmp_path)


# The saved model, and what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "switches",
    [
        {"crf": True, "crf_guard": 0.0},
        {"crf": True, "crf_kind": "guided", "crf_guard": 0.0},
        {"distill": True},
    ],
)
def test_a_saved_model_judges_the_same_and_can_be_exported(switches: dict[str, Any], tmp_path: Path) -> None:
    predictor = fitted(tiny_chain(**switches, crf_radius=2, crf_steps=2), tmp_path / "stages")
    (tmp_path / "model").mkdir()
    loaded = assert_saved_says_the_same(predictor, TRAINABLE.load, pictures(3), tmp_path / "model")
    steps = list(loaded.predict_stages(pictures(3)).stages)
    assert steps == (["student"] if "distill" in switches else ["cam", "s1_crf"])
    graph = exported(loaded, pictures(2))
    for mine, theirs in zip(graph(pictures(3)), loaded.predict(pictures(3)), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"segment_batch": 7}, "Use 8"),
        ({"background": 0.6}, "background"),
        ({"gcm_cut": [0.6, 0.4]}, "gcm_cut"),
        ({"segment_levels": 6}, "Lower segment_levels"),
        ({"image_size": [8, 64]}, "16"),
        ({"clm_mod": "triplet"}, "clm_mod"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tiny_chain(**changes)


@pytest.mark.parametrize(("positives", "negatives"), [(3, 0), (0, 3)])
def test_data_of_one_class_are_refused(positives: int, negatives: int) -> None:
    data = replace(chain_data(), train=surfaces(positives, negatives))
    with pytest.raises(InputError, match="defective and normal"):
        TRAINABLE.fit(tiny_chain(), data, LocalRun())


def test_footnotes_say_what_is_our_reading_and_which_weights_it_started_from() -> None:
    (note,) = TRAINABLE.footnotes(tiny_chain())
    assert "our reading" in note
    published = {"stem": "tv", "width": 64, "stages": 4, "blocks": 2, "norm": "bn", "output_stride": 16}
    weights = {"weights_file": "resnet18.pth", "weights_sha256": "0" * 64}
    assert "not comparable" in TRAINABLE.footnotes(tiny_chain(**published, **weights))[1]
    assert "crf_guard" in TRAINABLE.footnotes(tiny_chain(crf=True))[1]


# What a fixed training ends with. When these move, results move: raise TRAINABLE.revision and note the new
# numbers under it.
GOLDEN = {
    4: {
        "classifier": [1.3631, 0.61076],
        "s1": [1.0172, 5.7080],
        "student": [0.66215, 5.4473],
        "answer": [0.62699, 0.069583],
    },
}
MOVED = {
    "classifier": ["backbone.conv1.weight", "head.weight"],
    "s1": ["unet.head.bias", "unet.decoder.0.0.weight"],
    "student": ["image_head.deep.weight", "unet.decoder.0.0.weight"],
}


def test_results_do_not_move_without_a_new_revision(tmp_path: Path) -> None:
    predictor = fitted(tiny_chain(**WHOLE, min_steps=24, lr=1e-3, segment_lr=1e-3), tmp_path)
    answer = predictor.predict(pictures(3)).heatmap
    assert_stages_ended_at(GOLDEN[TRAINABLE.revision], MOVED, tmp_path, answer)
