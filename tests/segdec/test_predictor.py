"""A trained model: what it says, where its heatmap lies, and how it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.predictors import assert_judged_one_by_one, assert_saved_says_the_same
from tests.segdec.surfaces import tiny_config
from trainables.evaluation.metrics import best_f1_threshold
from trainables.nn.layers.pooling import enlarge_cells
from trainables.nn.models import forward_context
from trainables.segdec import TRAINABLE
from trainables.segdec.network import new_network
from trainables.segdec.predictor import SegDecPredictor
from trainables.segdec.targets import downsize


def fresh(**changes: Any) -> SegDecPredictor:
    config = tiny_config(**changes)
    return SegDecPredictor(new_network(config, 3, torch.device("cpu")), config)


def pictures(count: int, channels: int = 1) -> torch.Tensor:
    return torch.rand(count, channels, 64, 128, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_saved_predictor_predicts_the_same(layout: str, tmp_path: Path) -> None:
    assert_saved_says_the_same(fresh(memory_format=layout), TRAINABLE.load, pictures(3), tmp_path)


def test_prediction_has_a_score_per_image_and_a_heatmap_of_its_size() -> None:
    prediction = fresh(channels=3).predict(pictures(3, channels=3))
    assert prediction.score.shape == (3,)
    assert prediction.heatmap.shape == (3, 64, 128)
    assert all(((part >= 0) & (part <= 1)).all() for part in prediction)


def test_images_are_judged_one_by_one_whatever_the_batch() -> None:
    assert_judged_one_by_one(fresh(), pictures(5))


def test_bfloat16_gives_nearly_the_same_scores_and_heatmaps() -> None:
    wide, narrow = (fresh(precision=p).predict(pictures(2)) for p in ("float32", "bfloat16"))
    assert narrow.heatmap.dtype == torch.float32
    assert torch.allclose(wide.score, narrow.score, atol=0.05)
    assert torch.allclose(wide.heatmap, narrow.heatmap, atol=0.1)


def test_logits_of_different_images_differ_under_bfloat16() -> None:
    predictor = fresh(precision="bfloat16")
    with torch.no_grad():
        predictor.network.fc.bias.fill_(-4)  # bfloat16 knows steps of 1/64 there
        with forward_context(predictor.config, torch.device("cpu")):
            logits = predictor.network(pictures(64)).cls_logits_B
    assert logits.dtype == torch.float32
    assert len(logits.unique()) == 64


def test_confident_scores_differ_and_a_threshold_lies_between_them() -> None:
    scores: list[float] = []
    for bias in (17.0, 25.0):
        predictor = fresh()
        with torch.no_grad():
            predictor.network.fc.weight.zero_()
            predictor.network.fc.bias.fill_(bias)
        scores.append(predictor.predict(pictures(1)).score.item())
    threshold = best_f1_threshold(np.array([False, True]), np.array(scores))
    assert isinstance(threshold, float)
    assert scores[0] < threshold <= scores[1] < 1


def test_heatmap_undoes_the_shift_of_the_targets() -> None:
    mask = np.zeros((64, 128), np.float32)
    mask[20:37, 50:91] = 1
    found = enlarge_cells(downsize(mask)[None, None], 8, (64, 128))[0]
    rows, columns = found.sum(1), found.sum(0)
    # A plain resize would lie 3.5 pixels further down and right.
    assert (rows @ torch.arange(64.0) / rows.sum()).item() == pytest.approx(28, abs=0.3)
    assert (columns @ torch.arange(128.0) / columns.sum()).item() == pytest.approx(70, abs=0.3)
