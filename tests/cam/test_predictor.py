"""A trained classifier and its maps: what it says, how it is kept, and how it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.cam.surfaces import SIZE, surfaces, tiny_config
from tests.helpers.predictors import assert_judged_one_by_one, assert_saved_says_the_same, exported
from trainables.cam import TRAINABLE
from trainables.cam.classifier import new_classifier
from trainables.cam.config import MapSettings
from trainables.cam.maps import measured_maps
from trainables.cam.predictor import CamPredictor
from trainables.errors import InputError

METHODS: list[dict[str, Any]] = [
    {},
    {"method": "grad_cam"},
    {"method": "grad_cam++", "norm": "gn"},
    {"method": "layer_cam", "layers": [1, 2], "input": "standardised"},
]


def fresh(**changes: Any) -> CamPredictor:
    config, train = tiny_config(**changes), surfaces(3, 3)
    net = new_classifier(config, train, 3, torch.device("cpu"))
    return CamPredictor(measured_maps(net, MapSettings.of(config), train)[0], config)


def pictures(count: int) -> Tensor:
    return torch.rand(count, 1, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("changes", METHODS)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_saved_predictor_predicts_the_same(changes: dict[str, Any], layout: str, tmp_path: Path) -> None:
    predictor = fresh(**changes, memory_format=layout)
    assert_saved_says_the_same(predictor, TRAINABLE.load, pictures(3), tmp_path)


@pytest.mark.parametrize("changes", METHODS)
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_prediction_is_within_0_and_1_whatever_the_mode_and_leaves_no_gradient(
    changes: dict[str, Any], mode: Any
) -> None:
    predictor = fresh(**changes)
    with mode():
        prediction = predictor.predict(pictures(3))
    assert prediction.score.shape == (3,)
    assert prediction.heatmap.shape == (3, *SIZE)
    assert all(((part >= 0) & (part <= 1)).all() for part in prediction)
    assert not any(part.requires_grad for part in prediction)
    assert all(parameter.grad is None for parameter in predictor.network.parameters())


@pytest.mark.parametrize("changes", METHODS)
def test_images_are_judged_one_by_one_whatever_the_batch(changes: dict[str, Any]) -> None:
    assert_judged_one_by_one(fresh(**changes), pictures(5))


@pytest.mark.parametrize("changes", METHODS)
def test_bfloat16_gives_nearly_the_same_scores(changes: dict[str, Any]) -> None:
    wide, narrow = (fresh(**changes, precision=p).predict(pictures(2)) for p in ("float32", "bfloat16"))
    assert narrow.heatmap.dtype == torch.float32
    assert torch.allclose(wide.score, narrow.score, atol=0.05)


def test_gate_multiplies_the_heatmap_by_the_score() -> None:
    plain, gated = (fresh(gate_by_score=on).predict(pictures(2)) for on in (False, True))
    assert torch.equal(plain.score, gated.score)
    assert torch.allclose(plain.heatmap * plain.score[:, None, None].float(), gated.heatmap)


def test_its_one_stage_is_the_heatmap() -> None:
    predictor = fresh()
    prediction, stages = predictor.predict_stages(pictures(2))
    assert list(stages.items()) == [("cam", prediction.heatmap)]
    assert torch.equal(prediction.heatmap, predictor.predict(pictures(2)).heatmap)


def test_a_model_of_the_cam_is_exported_for_any_batch_with_its_offset_inside() -> None:
    predictor = fresh()
    predictor.network.offsets.copy_(torch.tensor([[-3, 5]]))
    score, heatmap = exported(predictor, pictures(2))(pictures(5))
    expected = predictor.predict(pictures(5))
    torch.testing.assert_close(score, expected.score)
    torch.testing.assert_close(heatmap, expected.heatmap)


def test_a_model_of_gradients_says_why_it_cannot_be_exported() -> None:
    with pytest.raises(InputError, match=r"needs a backward pass .* Export a model of method: cam"):
        exported(fresh(method="layer_cam"), pictures(2))
