"""Promises of the method, on images that train in a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from trainables.contract import LocalRun, Predictor
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.spec import Supervision
from trainables.data.tensors import images_to_tensor

from my_method import TRAINABLE

SIZE = 32


def spots(seed: int, count: int = 16) -> ImageSet:
    """Grey noise; the first half of the images has a bright spot, and its mask."""
    rng = np.random.default_rng(seed)
    images, masks = {}, {}
    ids = tuple(f"{seed}-{i}" for i in range(count))
    for i, name in enumerate(ids):
        image = rng.normal(100, 10, (SIZE, SIZE, 1))
        if i < count // 2:
            y, x = rng.integers(0, SIZE - 8, 2)
            image[y : y + 8, x : x + 8] += 60
            masks[name] = np.zeros((SIZE, SIZE), np.uint8)
            masks[name][y : y + 8, x : x + 8] = 1
        images[name] = image.clip(0, 255).astype(np.uint8)
    return ImageSet(ids, np.arange(count) < count // 2, images, masks)


def pictures(images: ImageSet) -> Tensor:
    return images_to_tensor([sample.image for sample in images], torch.device("cpu"))


def trained(
    images: ImageSet, supervision: object, run: LocalRun | None = None, **settings: object
) -> Predictor:
    size = {"image_size": [SIZE, SIZE], "epochs": 2, "lr": 0.02, "schedule": "onecycle"}
    config = TRAINABLE.Config.model_validate(size | settings)
    data = TrainingData(images, spots(1), Supervision.model_validate(supervision))
    return TRAINABLE.fit(config, data, LocalRun() if run is None else run)


@pytest.mark.parametrize("loss", ["bce", "dice"])
def test_it_finds_unseen_spots_and_a_saved_model_says_the_same(loss: str, tmp_path: Path) -> None:
    run = LocalRun()
    predictor = trained(spots(0), "full", run, epochs=24, validate_every=23, loss=loss)
    assert run.history[-1]["loss"] < run.history[0]["loss"] / 2
    assert run.history[-1]["validation.image_ap"] > 0.95

    test = spots(2)
    images = pictures(test)
    prediction = predictor.predict(images)
    marked = prediction.heatmap.numpy() > 0.5
    masks = np.stack([test.masks.get(name, np.zeros((SIZE, SIZE), np.uint8)) for name in test.ids]) > 0
    assert (marked & masks).sum() / (marked | masks).sum() > 0.4

    predictor.save(tmp_path)
    again = TRAINABLE.load(tmp_path).predict(images)
    assert torch.equal(again.score, prediction.score)


def test_an_answer_does_not_depend_on_the_images_beside_it(tmp_path: Path) -> None:
    predictor, images = trained(spots(0), "full"), pictures(spots(2))
    predictor.save(tmp_path)
    for model in (predictor, TRAINABLE.load(tmp_path)):
        together = model.predict(images)
        for i, image in enumerate(images.split(1)):
            alone = model.predict(image)
            torch.testing.assert_close(alone.score[0], together.score[i], rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(alone.heatmap[0], together.heatmap[i], rtol=1e-3, atol=1e-5)


def test_a_mask_that_is_withheld_is_no_mask_of_zeros() -> None:
    images = spots(0)
    withheld = images.ids[:4]
    masks = {name: mask for name, mask in images.masks.items() if name not in withheld}
    scores = []
    for sign in (1, -1):  # whatever the pixels of these four images are, they teach nothing
        pixels = {name: images.images[name][:: sign if name in withheld else 1] for name in images.ids}
        shown = replace(images, images=pixels, masks=masks)
        scores.append(trained(shown, {"mixed": 4}).predict(pictures(spots(2))).score)
    assert torch.equal(*scores)
