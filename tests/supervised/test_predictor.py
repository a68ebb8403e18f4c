"""A trained baseline: what it says, that its map is exact, and how it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.predictors import assert_judged_one_by_one, assert_saved_says_the_same
from tests.supervised.surfaces import SIZE, surfaces, tiny_config, tiny_data
from trainables.contract import LocalRun
from trainables.data.tensors import images_to_tensor
from trainables.supervised import TRAINABLE
from trainables.supervised.fit import new_network
from trainables.supervised.predictor import SupervisedPredictor

MODELS = [
    {"model": "classifier"},
    {"model": "classifier", "norm": "bn", "input": "local_contrast"},
    {"model": "unet"},
    {"model": "unet", "encoder": "plain"},
]


def fresh(**changes: Any) -> SupervisedPredictor:
    config = tiny_config(**changes)
    return SupervisedPredictor(new_network(config, surfaces(2, 2), 3, torch.device("cpu")), config)


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 1, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("changes", MODELS)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_saved_predictor_predicts_the_same(changes: dict[str, Any], layout: str, tmp_path: Path) -> None:
    predictor = fresh(**changes, memory_format=layout)
    assert_saved_says_the_same(predictor, TRAINABLE.load, pictures(3), tmp_path)


@pytest.mark.parametrize("changes", MODELS)
def test_prediction_has_a_score_per_image_and_a_heatmap_of_its_size(changes: dict[str, Any]) -> None:
    prediction = fresh(**changes).predict(pictures(3))
    assert prediction.score.shape == (3,)
    assert prediction.heatmap.shape == (3, *SIZE)
    assert all(((part >= 0) & (part <= 1)).all() for part in prediction)


@pytest.mark.parametrize("changes", [{**model, "gate_by_score": True} for model in MODELS])
def test_confident_images_keep_their_order(changes: dict[str, Any]) -> None:
    predictor = fresh(**changes)
    sure = torch.tensor([17.5, 20.0, 30.0])
    predictor.network.register_forward_hook(lambda _net, _images, seen: seen._replace(cls_logits_B=sure))
    prediction = predictor.predict(pictures(3))
    assert (prediction.score.diff() > 0).all()
    assert prediction.heatmap.dtype == torch.float32


@pytest.mark.parametrize("changes", MODELS)
def test_images_are_judged_one_by_one_whatever_the_batch(changes: dict[str, Any]) -> None:
    assert_judged_one_by_one(fresh(**changes), pictures(5))


@pytest.mark.parametrize("changes", MODELS)
def test_bfloat16_gives_nearly_the_same_scores_in_float32(changes: dict[str, Any]) -> None:
    wide, narrow = (fresh(**changes, precision=p).predict(pictures(2)) for p in ("float32", "bfloat16"))
    assert narrow.score.dtype == torch.float64
    assert torch.allclose(wide.score, narrow.score, atol=0.05)


def test_gate_multiplies_the_heatmap_by_the_score() -> None:
    plain, gated = (fresh(gate_by_score=on).predict(pictures(2)) for on in (False, True))
    assert torch.equal(plain.score, gated.score)
    assert torch.allclose(plain.heatmap * plain.score.float()[:, None, None], gated.heatmap)


def test_normal_images_do_not_reach_the_scale_of_defects() -> None:
    config = tiny_config(epochs=20, lr=0.01)
    data = tiny_data(count=10)
    predictor = TRAINABLE.fit(config, data, LocalRun())
    images = [sample.image for sample in data.train]
    maxima = predictor.predict(images_to_tensor(images, torch.device("cpu"))).heatmap.amax(dim=(1, 2))
    assert maxima[:10].max() > 0.9
    assert maxima[:10].median() > 2 * maxima[10:].median()
