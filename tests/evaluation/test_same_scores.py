"""An image has one answer: a model whose scores change with the batch, or when asked again, is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.cam.surfaces import tiny_config as tiny_cam
from tests.evaluation.evaluate_scenes import CPU, make_set
from tests.focus.chains import KeptRun, chain_data, tiny_chain
from tests.memory_bank.banks import tiny_config as tiny_bank
from tests.regioncam.chains import WHOLE
from tests.regioncam.chains import tiny as tiny_regioncam
from tests.segdec.surfaces import tiny_config as tiny_segdec
from tests.segdec.surfaces import tiny_data as segdec_data
from tests.supersimple.small import tiny_config as tiny_supersimple
from tests.supervised.surfaces import tiny_config as tiny_supervised
from tests.supervised.surfaces import tiny_data
from tests.unsupervised.normal_images import made_data
from tests.unsupervised.normal_images import tiny_config as tiny_unsupervised
from trainables.contract import Prediction, StageMaps, TrainableConfig
from trainables.data.samples import TrainingData
from trainables.data.spec import Tiles
from trainables.data.tiles import TileShape
from trainables.errors import InputError
from trainables.evaluation.model_scorer import ModelScorer
from trainables.evaluation.same_scores import pictures_to_compare, refuse_changing_scores
from trainables.nn.training.parts import validation_ap
from trainables.plugins.catalogue import TRAINABLES

VALIDATION = make_set("val", 15, seed=2, masks=False)
PICTURES = pictures_to_compare(VALIDATION)
SHIPPED: dict[str, list[tuple[Callable[..., TrainableConfig], TrainingData]]] = {
    "segdec": [(tiny_segdec, segdec_data())],
    "supervised": [
        (lambda **c: tiny_supervised(model="classifier", norm="bn", **c), tiny_data()),
        (lambda **c: tiny_supervised(model="unet", norm="bn", **c), tiny_data()),
    ],
    "cam": [(tiny_cam, tiny_data())],
    "focus": [(lambda **c: tiny_chain(iem="both", distill=True, crf=True, **c), chain_data())],
    "regioncam": [(lambda **c: tiny_regioncam(**WHOLE, **c), chain_data())],
    "supersimple": [(tiny_supersimple, tiny_data())],
    "unsupervised": [
        (lambda **c: tiny_unsupervised("f_anogan", **c), made_data()),
        (lambda **c: tiny_unsupervised("students", **c), made_data()),
    ],
    "memory_bank": [(tiny_bank, made_data())],
}


class Answers:
    """A predictor of a function from images B × C × H × W to logits B × H × W."""

    def __init__(self, logits: Callable[[Tensor], Tensor]) -> None:
        self.logits = logits

    def predict(self, images: Tensor) -> Prediction:
        map_BHW = self.logits(images).sigmoid()
        return Prediction(map_BHW.double().amax(dim=(1, 2)), map_BHW)

    def save(self, folder: Path) -> None:
        raise AssertionError("nothing is saved here")

    def to(self, device: torch.device) -> Answers:
        return self


def check(predictor: Any, precision: str = "float32") -> None:
    refuse_changing_scores(ModelScorer(predictor, CPU), PICTURES, precision)


def through(net: nn.Module) -> Answers:
    return Answers(lambda images: net(images)[:, 0])


def test_every_method_of_the_registry_is_checked_here() -> None:
    trained = {name: TRAINABLES[name].trained_here for name in TRAINABLES if TRAINABLES.plugin(name) is None}
    assert set(SHIPPED) == {name for name, here in trained.items() if here}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_method_answers_for_each_image_alone(name: str, precision: str, tmp_path: Path) -> None:
    for number, (make_config, data) in enumerate(SHIPPED[name]):
        config = make_config(precision=precision)
        (tmp_path / str(number)).mkdir()
        predictor = TRAINABLES[name].fit(config, data, KeptRun(kept=tmp_path / str(number)))
        pictures = pictures_to_compare(data.validation or data.train)
        refuse_changing_scores(ModelScorer(predictor, CPU), pictures, precision)


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(1), nn.Dropout(0.5), nn.InstanceNorm2d(1)], ids=str)
def test_a_network_that_was_left_in_training_mode_is_asked_in_evaluation_mode(layer: nn.Module) -> None:
    check(through(nn.Sequential(layer).train()))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "logits",
    [
        lambda images: F.batch_norm(images, None, None, training=True)[:, 0],
        lambda images: (images / images.max())[:, 0],
        lambda images: (images - images.mean(dim=(0, 2, 3), keepdim=True))[:, 0] * 10,
        lambda images: (images * len(images))[:, 0],
        lambda images: (images - images[:1])[:, 0] * 5,
    ],
    ids=["batch_norm by hand", "maximum", "mean", "size of the batch", "first image"],
)
def test_statistics_over_a_batch_are_refused(logits: Callable[[Tensor], Tensor], precision: str) -> None:
    with pytest.raises(InputError, match=r"depend on what is in the batch: call \.eval\(\)\. Found .* val0"):
        check(Answers(logits), precision)


def test_a_heatmap_that_depends_on_the_batch_is_refused_where_the_score_does_not() -> None:
    class Picture(Answers):
        def predict(self, images: Tensor) -> Prediction:
            score = images.double().mean(dim=(1, 2, 3))
            return Prediction(score, (images / images.max())[:, 0] / 2)

    with pytest.raises(InputError, match=r"depend on what is in the batch: .* pixels of the heatmap of val0"):
        check(Picture(lambda images: images[:, 0]))


def counting() -> Callable[[Tensor], Tensor]:
    calls: list[int] = []

    def logits(images: Tensor) -> Tensor:
        calls.append(1)
        return images[:, 0] + 0.1 * len(calls)

    return logits


@pytest.mark.parametrize(
    "logits",
    [
        lambda images: F.dropout(images[:, 0] * 4, 0.5, training=True),
        lambda images: images[:, 0] + torch.rand(len(images))[:, None, None],
        counting(),
    ],
    ids=["dropout by hand", "random numbers", "a call changes the next"],
)
def test_scores_that_change_when_asked_again_are_refused(logits: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    with pytest.raises(
        InputError, match=r"the same answer whenever it is asked, found .* when one batch was asked twice"
    ):
        check(Answers(logits))


@pytest.mark.parametrize(
    "logits",
    [
        lambda images: images[:, 0] * 40 - 60,  # all near 0
        lambda images: images[:, 0] * 40 + 40,  # float32 has 1 for all
        lambda images: images[:, 0] * 0,
        lambda images: (images[:, 0] - images.mean(dim=(1, 2, 3))[:, None, None]) * 9,  # of each image
        lambda images: torch.where(images[:, 0] > 0.5, 200.0, -200.0),
    ],
    ids=["low", "saturated", "constant", "normalised by image", "cut"],
)
def test_answers_about_each_image_pass(logits: Callable[[Tensor], Tensor]) -> None:
    check(Answers(logits))


def test_small_scores_are_compared_as_closely_as_large_ones() -> None:
    def logits(images: Tensor) -> Tensor:
        return images[:, 0] - 9 - 0.1 * len(images)  # scores below 0.001

    with pytest.raises(InputError, match="depend on what is in the batch"):
        check(Answers(logits))


def test_stages_are_shown_with_the_prediction_that_predict_gives() -> None:
    class Staged(Answers):
        def predict_stages(self, images: Tensor, known: Any = ()) -> StageMaps:
            score, heatmap = self.predict(images)
            return StageMaps(Prediction(score / len(images), heatmap), {"map": heatmap})

    with pytest.raises(InputError, match=r"`predict_stages` is that of `predict`, .* found scores"):
        check(Staged(lambda images: images[:, 0]))


def test_a_model_that_diverged_is_no_matter_of_batches() -> None:
    with pytest.raises(FloatingPointError, match="val0"):
        check(Answers(lambda images: images[:, 0] / 0 - images[:, 0] / 0))


def test_two_defective_and_two_normal_images_are_compared() -> None:
    labels = {VALIDATION.ids[i]: bool(VALIDATION.labels[i]) for i in range(len(VALIDATION))}
    assert sorted(labels[name] for name in PICTURES) == [False, False, True, True]


@pytest.mark.parametrize("label", [True, False])
def test_a_single_image_is_asked_beside_its_negative(label: bool) -> None:
    single = replace(make_set("val", 1, seed=0, masks=False), labels=np.array([label]))
    model = ModelScorer(Answers(lambda images: images[:, 0] - images.mean()), CPU)
    with pytest.raises(InputError, match="depend on what is in the batch"):
        refuse_changing_scores(model, pictures_to_compare(single), "float32")


def test_of_large_images_tiles_are_compared() -> None:
    large = make_set("val", 6, seed=0, masks=False, size=(48, 64))
    tiled = replace(large, tiles=TileShape(Tiles(height=48, width=64, overlap=0), 24, 32))
    assert {picture.shape for picture in pictures_to_compare(tiled).values()} == {(24, 32, 1)}


def test_validation_within_training_scores_in_evaluation_mode_and_leaves_the_training_as_it_was() -> None:
    net = nn.Sequential(nn.BatchNorm2d(1)).train()
    statistics = net[0].running_mean.clone()
    modes: list[bool] = []

    def logits(images: Tensor) -> Tensor:
        modes.append(net.training)
        return net(images)[:, 0]

    assert validation_ap(Answers(logits), VALIDATION, CPU)
    assert not any(modes)
    assert net.training
    assert net[0].training
    assert torch.equal(net[0].running_mean, statistics), "no validation image is in them"
