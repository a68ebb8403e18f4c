"""Training: what repeats exactly, what a kill or an attachment without effect does not change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.cam.surfaces import surfaces, tiny_config, tiny_data
from tests.supervised.test_fit import KilledRun, NoMasks, equal, with_masks
from trainables.cam import TRAINABLE
from trainables.cam.classifier import (
    Attachment,
    ClassifierStep,
    classifier_scores,
    new_classifier,
    train_classifier,
)
from trainables.cam.network import Classifier
from trainables.contract import LocalRun
from trainables.data.tensors import images_to_tensor
from trainables.errors import InputError
from trainables.nn.layers.initialisation import drawn_seed

CPU = torch.device("cpu")


class Pull(Attachment):
    """Draws the features of defective images together, and keeps a running average of the network."""

    name = "pull"

    def __init__(self, weight: float, warmup: int = 0) -> None:
        super().__init__()
        self.weight, self.warmup = weight, warmup
        self.project = nn.Linear(16, 4, bias=False)  # a spread knows no bias: its gradient would be noise
        self.noise: Tensor
        self.register_buffer("noise", torch.zeros(()))

    def start(self, net: Classifier) -> None:
        self.average = deepcopy(net).requires_grad_(False).eval()

    def losses(self, net: Classifier, step: ClassifierStep) -> Mapping[str, Tensor]:
        if step.shard.epoch < self.warmup:
            return {}
        self.noise.fill_(step.generator("pull").random())
        seen = self.average(step.images_BCHW).score_B.detach()
        z = self.project(step.whole(step.features_BKhw.mean(dim=(2, 3))))
        spread = step.once(z[: step.shard.size // 2].var(dim=0, correction=0).sum() * (1 + self.noise))
        return {"loss_pull": self.weight * spread, "seen": seen.sigmoid().sum() / step.shard.size}

    def after_step(self, net: Classifier) -> None:
        with torch.no_grad():
            for mine, theirs in zip(self.average.parameters(), net.parameters(), strict=True):
                mine.lerp_(theirs, 0.1)


def test_same_seed_same_loss_and_same_weights() -> None:
    runs = [LocalRun(seed=3), LocalRun(seed=3), LocalRun(seed=4)]
    first, second, other = (train_classifier(tiny_config(), tiny_data(), run).state_dict() for run in runs)
    assert runs[0].history == runs[1].history
    assert equal(first, second)
    assert not equal(first, other)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_killed_training_goes_on_to_bit_identical_weights_with_its_attachments(
    layout: str, tmp_path: Path
) -> None:
    config = tiny_config(epochs=4, memory_format=layout)

    def train(run: LocalRun) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        pull = Pull(0.1, warmup=1)
        return train_classifier(config, tiny_data(), run, [pull]).state_dict(), pull.state_dict()

    undisturbed = train(LocalRun())
    with pytest.raises(KeyboardInterrupt):
        train(KilledRun(folder=tmp_path))
    run = LocalRun(folder=tmp_path)
    resumed = train(run)
    assert [entry["epoch"] for entry in run.history] == [2, 3]
    assert equal(undisturbed[0], resumed[0])
    assert equal(undisturbed[1], resumed[1])


def test_an_attachment_of_weight_0_leaves_the_training_as_it_is_bit_by_bit() -> None:
    plain = train_classifier(tiny_config(), tiny_data(), LocalRun())
    silent = train_classifier(tiny_config(), tiny_data(), LocalRun(), [Pull(0)])
    pulled = train_classifier(tiny_config(), tiny_data(), LocalRun(), [Pull(0.1)])
    assert equal(plain.state_dict(), silent.state_dict())
    assert not equal(plain.state_dict(), pulled.state_dict())


def test_an_attachment_is_trained_and_logged_after_its_warmup() -> None:
    run, pull = LocalRun(), Pull(0.1, warmup=1)
    start: dict[str, Tensor] = {}

    class Watched(LocalRun):
        def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
            start.setdefault("project", pull.project.weight.detach().clone())

    run = Watched()
    train_classifier(tiny_config(), tiny_data(), run, [pull])
    assert ["loss_pull" in row for row in run.history] == [False, True, True]
    last = run.history[-1]
    assert last["loss"] == pytest.approx(last["loss_image"] + last["loss_pull"], rel=1e-5)  # not `seen`
    assert 0 < last["seen"] < 1
    assert not torch.equal(start["project"], pull.project.weight)


def test_two_attachments_draw_random_numbers_of_their_own() -> None:
    steps: list[ClassifierStep] = []

    class Listening(Attachment):
        name = "listening"

        def losses(self, net: Classifier, step: ClassifierStep) -> Mapping[str, Tensor]:
            steps.append(step)
            return {}

    train_classifier(tiny_config(epochs=1), tiny_data(), LocalRun(), [Listening()])
    draws = [step.generator(purpose).random() for step in steps for purpose in ("crops", "drop")]
    assert len(set(draws)) == 2 * len(steps)
    assert steps[0].generator("crops").random() == draws[0]
    assert [step.label_B.tolist() for step in steps[:1]] == [[1, 1, 0, 0]]
    assert list(steps[0].shard.places) == [0, 1, 2, 3]


class Lonely(LocalRun):
    """The last of three workers, as if the other two had no gradients."""

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        assert all(p.grad is not None for p in parameters if p.requires_grad)


def test_a_worker_without_images_takes_part_in_every_step() -> None:
    run = Lonely(rank=2, world_size=3)
    config = tiny_config(norm="gn", batch_size=6, epochs=1)
    train_classifier(config, tiny_data(count=4), run, [Pull(0.1)])  # the last batch: one and one
    assert 0 < run.history[0]["loss"] < 10


def test_training_reads_no_mask() -> None:
    shown = train_classifier(tiny_config(), tiny_data(), LocalRun())
    locked = train_classifier(tiny_config(), with_masks(tiny_data(), NoMasks()), LocalRun())
    assert equal(shown.state_dict(), locked.state_dict())


def test_scores_are_those_of_the_network_image_by_image() -> None:
    images = surfaces(3, 4)
    net = new_classifier(tiny_config(), images, 0, CPU)
    scores = classifier_scores(net, images)
    with torch.no_grad():
        alone = [float(net(images_to_tensor([s.image], CPU)).score_B.sigmoid()) for s in images]
    np.testing.assert_allclose(scores, alone, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "positives", "negatives", "run", "words"),
    [
        ({"batch_size": 2}, 3, 3, LocalRun(world_size=3), "one image per worker"),
        ({"image_size": (64, 64)}, 3, 3, LocalRun(), "image_size"),
        ({}, 3, 0, LocalRun(), "3 defective and 0 normal"),
        ({}, 0, 3, LocalRun(), "0 defective and 3 normal"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_a_way_out(
    changes: dict[str, Any], positives: int, negatives: int, run: LocalRun, words: str
) -> None:
    data = replace(tiny_data(), train=surfaces(positives, negatives))
    with pytest.raises(InputError, match=words):
        train_classifier(tiny_config(**changes), data, run)


# How far a fixed training moves some weights, what it then says of a fixed image, its map's offset and
# scale. When these move, results move: raise TRAINABLE.revision and note the new numbers under it.
GOLDEN = {1: [0.020013, 0.12037, 0.012398, 0.0034688, 0.66769, 0.21164, 7, -6]}
MOVED = ["backbone.conv1.weight", "backbone.layer2.0.conv2.weight", "head.weight", "head.bias"]


def test_results_do_not_move_without_a_new_revision() -> None:
    config = tiny_config(epochs=2, lr=1e-3, weight_decay=1, pool="lse", norm="gn")
    data, run = tiny_data(), LocalRun(seed=11, fold=1)
    predictor = TRAINABLE.fit(config, data, run)
    prediction = predictor.predict(images_to_tensor([surfaces(1, 0, seed=5)[0].image], CPU))
    seed = drawn_seed(LocalRun(seed=11, fold=1, purpose="classifier/").generator("init"))
    start = new_classifier(config, data.train, seed, CPU).state_dict()
    end = predictor.network.net.state_dict()
    found = [(end[name] - start[name]).double().norm().item() for name in MOVED]
    found += [prediction.score.item(), prediction.heatmap.double().mean().item()]
    found += [*predictor.network.offsets[0].tolist()]
    np.testing.assert_allclose(found, GOLDEN[TRAINABLE.revision], rtol=0.003)
