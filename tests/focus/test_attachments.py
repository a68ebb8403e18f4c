"""CLM and GCM: what they add to a classifier's training, and what they must not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import ks_2samp
from torch import Tensor

from tests.focus import two_workers
from tests.focus.chains import chain_data, noise_images, tiny_chain
from tests.helpers.killed import equal
from tests.helpers.ranks import two_ranks
from trainables.cam.classifier import ClassifierStep, new_classifier, train_classifier
from trainables.cam.network import Classifier
from trainables.contract import LocalRun
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.spec import Supervision
from trainables.data.tensors import images_to_tensor
from trainables.focus import FocusConfig, cropping
from trainables.focus.contrast import ContrastiveLoss
from trainables.focus.cropping import GuidedCropping
from trainables.focus.fit import attachments_of
from trainables.nn.cam.crops import crop
from trainables.nn.choices import Norm
from trainables.nn.losses.contrast import same_class, sup_con
from trainables.nn.training.loop import BatchShard

CPU = torch.device("cpu")


def step_of(net: Classifier, images: ImageSet, positions: list[int], number: int = 0) -> ClassifierStep:
    """What a training step hands to attachments: defective images first."""
    shown = images_to_tensor([images[i].image for i in positions], CPU)
    output = net(shown)
    return ClassifierStep(
        images_BCHW=shown,
        label_B=torch.tensor([float(images.labels[i]) for i in positions]),
        features_BKhw=output.features_BKhw,
        evidence_B1hw=output.evidence_B1hw,
        score_B=output.score_B,
        shard=BatchShard(positions, range(len(positions)), len(positions), 0, number, 0.0),
        run=LocalRun(),
    )


def started(config: FocusConfig, images: ImageSet) -> tuple[Classifier, list[Any]]:
    """A fresh classifier with its attachments, as a training starts them."""
    net = new_classifier(config, images, 0, CPU)
    attached = attachments_of(config)
    for each in attached:
        each.start(net)
    return net, attached


def trained(config: FocusConfig, data: TrainingData, attached: list[Any] | None = None) -> dict[str, Tensor]:
    net = train_classifier(config, data, LocalRun(), attachments_of(config) if attached is None else attached)
    return net.state_dict()


# GCM --------------------------------------------------------------------------------------------------


def noise(count: int, seed: int) -> TrainingData:
    return TrainingData(noise_images(count, seed), None, Supervision(kind="weak"))


def crop_accuracy(config: FocusConfig) -> float:
    """Train on images without defects, with random labels; accuracy on the crops of images never seen."""
    data, unseen = noise(48, 0), noise_images(240, 1)
    (gcm,) = attachments_of(config)
    net = train_classifier(config, data, LocalRun(), [gcm])
    hits: list[bool] = []
    for number, start in enumerate(range(0, 120, 8)):
        part = [*range(start, start + 8), *range(120 + start, 128 + start)]
        with torch.no_grad():
            step = step_of(net, unseen, part, number)
            scores = net(crop(step.images_BCHW, gcm.boxes(step))).score_B
        hits += ((scores >= 0) == (step.label_B > 0.5)).tolist()
    return float(np.mean(hits))


NOISE: dict[str, Any] = {
    "image_size": (32, 32), "gcm": True, "gcm_average": 0.5, "min_steps": 80, "pool": "gap", "batch_size": 16,
    "norm": "bn", "width": 8,
}  # fmt: skip


def test_crops_do_not_tell_the_label_where_there_is_nothing_to_see() -> None:
    assert 0.4 <= crop_accuracy(tiny_chain(**NOISE)) <= 0.6


def test_they_would_if_normal_images_were_not_cropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run above can fail: the blur of enlarging alone tells a crop from a whole image."""

    def whole(_sizes: Tensor, count: int, size: tuple[int, int], _chance: np.random.Generator) -> Tensor:
        return torch.tensor([[0, 0, *size]]).repeat(count, 1)

    monkeypatch.setattr(cropping, "placed_boxes", whole)
    assert crop_accuracy(tiny_chain(**NOISE)) > 0.9


def test_boxes_of_both_kinds_are_alike_and_those_of_defects_hold_the_highest_place() -> None:
    config = tiny_chain(gcm=True, gcm_min_share=0.1, recentre=False)
    data = chain_data(24)
    net, (gcm,) = started(config, data.train)
    sizes: dict[bool, list[float]] = {True: [], False: []}
    for number in range(12):
        positions = [(number * 2 + k) % 24 for k in range(8)] + [24 + (number + k) % 26 for k in range(8)]
        step = step_of(net, data.train, positions, number)
        boxes = gcm.boxes(step)
        map_BHW = gcm._pixels(gcm.average, step.evidence_B1hw)
        for box, label, place in zip(boxes.tolist(), step.label_B, map_BHW.flatten(1).argmax(1), strict=True):
            top, left, height, width = box
            sizes[bool(label)].append(height * width)
            row, column = divmod(int(place), map_BHW.shape[2])
            assert not label or (top <= row < top + height and left <= column < left + width)
    assert len(set(sizes[True])) > 5
    assert ks_2samp(sizes[True], sizes[False]).pvalue > 0.01


def test_a_crop_that_missed_the_defect_teaches_nothing_and_joins_no_class() -> None:
    config = tiny_chain(gcm=True, clm=True)
    data = chain_data()
    net, (gcm, clm) = started(config, data.train)
    gcm.average.head.bias.data.fill_(-100.0)  # it sees no defect anywhere
    step = step_of(net, data.train, [0, 1, 2, 6, 7, 8])
    terms = gcm.losses(net, step)
    assert terms["crops_missed"] == 1
    assert gcm.crops.kept_B.tolist() == [False] * 3 + [True] * 3
    _, classes = clm._features(net, step)
    assert classes[:, 2].isnan().all()


def test_averaged_weights_follow_the_net() -> None:
    config = tiny_chain(gcm=True, gcm_average=0.75)
    net, (gcm,) = started(config, chain_data().train)
    before = gcm.average.head.weight.clone()
    net.head.weight.data += 1
    gcm.after_step(net)
    torch.testing.assert_close(gcm.average.head.weight, before + 0.25)
    assert not any(parameter.requires_grad for parameter in gcm.average.parameters())


# CLM --------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_contrastive_loss_is_that_of_named_regions() -> None:
    config = tiny_chain(clm=True, clm_weight=1.0)
    data = chain_data()
    net, (clm,) = started(config, data.train)
    step = step_of(net, data.train, [0, 1, 6, 7])
    map_B1hw = (step.evidence_B1hw - net.head.bias).relu()
    features: list[Tensor] = []
    for label, f, raw in zip(step.label_B, step.features_BKhw, map_B1hw, strict=True):
        m = (raw - raw.min()) / (raw.max() - raw.min() + 1e-7)
        around = (m < 0.2).float()
        if label:
            features += [(f * m).sum((1, 2)) / m.sum(), (f * around).sum((1, 2)) / around.sum()]
        else:
            features += [f.flatten(1)[:, m.flatten().argmax()], f.mean((1, 2))]
    pairs = same_class(torch.tensor([1, 0, 1, 0, 0, 0, 0, 0]))
    expected = float(sup_con(clm.projection(torch.stack(features)), pairs, 0.1))
    assert float(clm.losses(net, step)["loss_contrast"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mode", ["region_supcon", "image_supcon", "triplet"])
def test_the_contrastive_loss_reaches_the_backbone_and_not_the_map(mode: str) -> None:
    config = tiny_chain(clm=True, clm_mode=mode, clm_weight=1.0, clm_margin=2.0)
    data = chain_data()
    net, (clm,) = started(config, data.train)
    clm.losses(net, step_of(net, data.train, [0, 1, 2, 6, 7, 8]))["loss_contrast"].backward()
    assert net.backbone.conv1.weight.grad.norm() > 0
    assert net.head.weight.grad is None


def test_the_map_learns_from_contrast_where_it_is_not_detached() -> None:
    config = tiny_chain(clm=True, clm_detach_map=False)
    data = chain_data()
    net, (clm,) = started(config, data.train)
    clm.losses(net, step_of(net, data.train, [0, 1, 6, 7]))["loss_contrast"].backward()
    assert net.head.weight.grad.norm() > 0


def test_a_contrast_of_weight_0_trains_bit_for_bit_as_without_it() -> None:
    data = chain_data()
    assert equal(trained(tiny_chain(clm=True, clm_weight=0.0), data), trained(tiny_chain(), data))


@pytest.mark.parametrize("wanted", [True, False])
def test_crops_join_the_defects_only_where_they_are_wanted(wanted: bool) -> None:
    data = chain_data()
    config = tiny_chain(gcm=True, clm=True, clm_use_crops=wanted)
    net, (gcm, clm) = started(config, data.train)
    assert isinstance(gcm, GuidedCropping)
    assert isinstance(clm, ContrastiveLoss)
    gcm.average.head.bias.data.fill_(100.0)  # no crop misses
    step = step_of(net, data.train, [0, 1, 6, 7])
    gcm.losses(net, step)
    _, classes = clm._features(net, step)
    assert (classes[:, 2] == 1).tolist() == [wanted, wanted, False, False]


# Both -------------------------------------------------------------------------------------------------


def test_nothing_is_added_before_the_warm_up() -> None:
    data = chain_data()
    late = tiny_chain(clm=True, gcm=True, clm_warmup=100, gcm_warmup=100)
    assert equal(trained(late, data), trained(tiny_chain(), data))


def test_terms_are_logged_by_name() -> None:
    run = LocalRun()
    config = tiny_chain(clm=True, gcm=True, gcm_equivariance=1.0, epochs=1)
    train_classifier(config, chain_data(), run, attachments_of(config))
    assert run.history[0].keys() >= {
        "loss", "loss_image", "loss_crop", "loss_equivariance", "loss_contrast",
        "crops_missed", "crop_area", "crops_smallest", "cosine_defect_around",
    }  # fmt: skip


@pytest.mark.parametrize("norm", ["gn", "bn"])
def test_two_workers_end_where_one_does(norm: Norm, tmp_path: Path) -> None:
    with two_ranks(two_workers.train, tmp_path, norm):
        two_workers.train(0, 1, tmp_path, norm)
    alone, first, second = (load_file(tmp_path / f"{name}.safetensors") for name in ("0of1", "0of2", "1of2"))
    assert equal(first, second)
    assert alone.keys() == first.keys()
    for name, weights in alone.items():
        torch.testing.assert_close(first[name], weights, atol=1e-4, rtol=1e-3, msg=name)
