"""Maps of a trained classifier: they find defects, learn that from labels only, and lie where defects are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from tests.cam.surfaces import tiny_config, tiny_data
from trainables.cam import TRAINABLE, CamConfig
from trainables.cam.classifier import new_classifier
from trainables.cam.config import MapSettings
from trainables.cam.maps import measured_maps
from trainables.cam.predictor import CamPredictor
from trainables.contract import LocalRun
from trainables.data import (
    DataSpec,
    EvaluationData,
    Supervision,
    TrainingData,
    load_evaluation,
    load_training,
    make_split,
    open_images,
    open_manifest,
)
from trainables.data.tensors import images_to_tensor
from trainables.evaluation.evaluate import evaluate

CPU = torch.device("cpu")
WEAK = Supervision(kind="weak")
# 200 images to train on and 200 to test, half of them with dents, pits or stains: seconds on a core.
COMPACT = {
    "images": 400, "positives": 200, "size": [64, 64], "items": 100, "test_share": 0.5,
    "difficulty": 0.0, "kinds": ["dent", "pits", "stain"],
}  # fmt: skip
CONFIG = CamConfig(image_size=(64, 64), width=12, output_stride=4, epochs=8, min_steps=0).resolved("cpu")


class Scene(NamedTuple):
    training: TrainingData
    evaluation: EvaluationData


@pytest.fixture(scope="module")
def scene(cache_root: Path) -> Scene:
    spec = DataSpec(reader="synthetic", options=COMPACT, validation=None)
    manifest = open_manifest(spec, None, cache_root)
    split = make_split(manifest, spec, WEAK, 0, None)
    images = open_images(manifest, CONFIG.image_size, 1, cache_root)
    return Scene(load_training(manifest, split, WEAK, images), load_evaluation(manifest, split, WEAK, images))


@pytest.fixture(scope="module")
def trained(scene: Scene) -> CamPredictor:
    return TRAINABLE.fit(CONFIG, scene.training, LocalRun())


def judged(predictor: CamPredictor, scene: Scene) -> dict[str, float]:
    return evaluate(predictor, scene.evaluation, device=CPU, batch=50, probes=0, seed=0).metrics


def test_image_labels_are_enough_to_find_defects_and_where_they_are(
    trained: CamPredictor, scene: Scene
) -> None:
    found = judged(trained, scene)  # chance: 0.5 and 0.03
    assert found["image_ap"] >= 0.9
    assert found["pixel_ap"] >= 0.3


def test_shuffled_labels_teach_nothing(scene: Scene) -> None:
    true = scene.training.train.labels
    labels = np.zeros_like(true)
    for kind in (True, False):  # half of each: a permutation may leave a trace of the truth
        labels[np.flatnonzero(true == kind)[::2]] = True
    shuffled = replace(scene.training, train=replace(scene.training.train, labels=labels))
    found = judged(TRAINABLE.fit(CONFIG, shuffled, LocalRun()), scene)
    assert found["image_ap"] == pytest.approx(0.5, abs=0.1)
    assert found["pixel_ap"] < 0.1


def remeasured(trained: CamPredictor, scene: Scene, **changes: Any) -> CamPredictor:
    """The same classifier with another map."""
    config = CamConfig.model_validate({**CONFIG.model_dump(), **changes})
    maps, _ = measured_maps(trained.network.net, MapSettings.of(config), scene.training.train)
    return CamPredictor(maps, config)


def test_maps_are_moved_back_to_where_the_defects_are(trained: CamPredictor, scene: Scene) -> None:
    beside = judged(remeasured(trained, scene, recentre=False), scene)["pixel_ap"]
    assert trained.network.offsets.abs().sum() > 4
    assert judged(trained, scene)["pixel_ap"] > beside + 0.2


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "layer_cam", "layers": [1]},
        {"method": "layer_cam", "layers": [1, 2, 3]},
        {"method": "layer_cam", "layers": [1, 2, 3], "fusion": "max"},
    ],
)
def test_inner_layers_find_the_defects_too(
    trained: CamPredictor, scene: Scene, changes: dict[str, Any]
) -> None:
    assert judged(remeasured(trained, scene, **changes), scene)["pixel_ap"] >= 0.3


def test_strong_defects_reach_1_and_normal_images_do_not(trained: CamPredictor, scene: Scene) -> None:
    train = scene.training.train
    images = images_to_tensor([sample.image for sample in train], CPU)
    maxima = trained.network.heatmaps(images).map_BHW.amax(dim=(1, 2))
    labels = torch.from_numpy(train.labels)
    assert maxima[labels].max() == 1
    assert maxima[labels].median() > 4 * maxima[~labels].median()


def test_grad_cam_at_the_last_stage_is_the_cam_on_its_own_scale() -> None:
    train = tiny_data().train
    config = tiny_config(pool="gap")
    net = new_classifier(config, train, 0, CPU).eval()
    cam, by_gradients = (
        measured_maps(net, MapSettings(method=method, layers=layers), train)[0]
        for method, layers in (("cam", ()), ("grad_cam", (2,)))
    )
    images = images_to_tensor([sample.image for sample in train], CPU)
    torch.testing.assert_close(by_gradients.heatmaps(images), cam.heatmaps(images), atol=1e-5, rtol=1e-4)


def test_each_layer_is_moved_by_an_offset_of_its_own(trained: CamPredictor, scene: Scene) -> None:
    fused = remeasured(trained, scene, method="layer_cam", layers=[1, 3]).network
    alone = [
        remeasured(trained, scene, method="layer_cam", layers=[layer]).network.offsets[0] for layer in (1, 3)
    ]
    assert torch.equal(fused.offsets, torch.stack(alone))
    assert not torch.equal(*alone)


def test_each_layer_comes_on_its_own_scale_before_layers_are_fused() -> None:
    train = tiny_data().train
    net = new_classifier(tiny_config(), train, 0, CPU)
    settings = MapSettings(method="layer_cam", layers=(1, 2), recentre=False)
    maps, _ = measured_maps(net, settings, train)
    images = images_to_tensor([s.image for s in train if s.label], CPU)
    layers = maps.logits_and_layers(images)[1]
    scaled = [layer / scale for layer, scale in zip(layers, maps.layer_scales, strict=True)]
    assert all(float(part.max()) == pytest.approx(1, abs=0.1) for part in scaled)
    torch.testing.assert_close(maps(images).map_BHW, torch.stack(scaled).mean(dim=0))


SWITCHES: list[dict[str, Any]] = [
    {"pool": "gap"},
    {"pool": "topk"},
    {"pool": "lse"},
    {"input": "standardised"},
    {"method": "grad_cam++"},
    {"method": "layer_cam"},
    {"method": "layer_cam", "layers": [1]},
    {"method": "layer_cam", "layers": [1, 2]},
    {"method": "layer_cam", "layers": [1, 2], "fusion": "max"},
    {"recentre": False},
    {"gate_by_score": False},
]


@pytest.fixture(scope="module")
def heatmaps() -> dict[str, bytes]:
    """The bytes of what each switch says of the same images, all else equal."""
    data = tiny_data()
    images = images_to_tensor([sample.image for sample in data.train], CPU)
    return {
        str(changes): TRAINABLE.fit(tiny_config(**changes), data, LocalRun())
        .predict(images)
        .heatmap.numpy()
        .tobytes()
        for changes in [{}, *SWITCHES]
    }


@pytest.mark.parametrize("changes", SWITCHES, ids=str)
def test_every_switch_changes_the_result(changes: dict[str, Any], heatmaps: dict[str, bytes]) -> None:
    others = [value for name, value in heatmaps.items() if name != str(changes)]
    assert heatmaps[str(changes)] not in others
