"""Parts of the method: cells of masks, maps on one grid, noise, losses, settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.supersimple.small import SIZE, tiny_config
from tests.supervised.surfaces import surfaces
from trainables.data.spec import DataSpec, Supervision
from trainables.nn.batches.augmentation import Augmentation
from trainables.nn.labels.pixels import PixelMaps, mask_labels
from trainables.supersimple import TRAINABLE, SuperSimpleConfig
from trainables.supersimple.features import combined, to_pixels
from trainables.supersimple.fit import feature_spread, known_cells, with_noise
from trainables.supersimple.loss import CellTruth, Totals, focal_loss, head_losses
from trainables.supersimple.network import HeadOutput, Heads, SuperSimpleNet
from trainables.supersimple.noise import draw_noise, perlin
from trainables.supersimple.presets import PRESETS, footnotes

CPU = torch.device("cpu")
SHA = "a" * 64
FILE = {"weights_file": "a.pth", "weights_sha256": SHA}


def generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(i) for i in range(count)]


def cells_of(masks: dict[int, tuple[slice, slice]], **changes: Any) -> CellTruth:
    """Cells of four images, the first three defective; those in ``masks`` have a mask."""
    images = surfaces(3, 1, masks=0)
    drawn: dict[str, Any] = {}
    for index, place in masks.items():
        drawn[images.ids[index]] = np.zeros(SIZE, np.uint8)
        drawn[images.ids[index]][place] = 1
    truth = PixelMaps(mask_labels(replace(images, masks=drawn), SIZE), images.ids, SIZE, CPU)
    views = Augmentation.draw(4, "none", 0, np.random.default_rng(0))
    label_B = torch.from_numpy(images.labels).float()
    return known_cells(truth.batch(range(4), views), label_B, tiny_config(**changes))


@pytest.mark.parametrize(
    ("changes", "cell", "features"),
    [
        ({}, 2, 12),
        ({"output_stride": 8, "stages": 3, "doubled": True}, 2, 24),
        ({"trunk": "lite0", "doubled": True}, 4, 152),
        ({"trunk": "lite0", "finer_stride": 4}, 4, 136),
        ({"trunk": "wide_resnet50_2"}, 8, 1536),
    ],
)
def test_cells_and_channels_are_those_of_the_two_maps(
    changes: dict[str, Any], cell: int, features: int
) -> None:
    config = tiny_config(**changes)
    assert (config.cell, config.features) == (cell, features)
    grid = TRAINABLE.grid(config)
    assert grid is not None
    assert grid.stride == cell


@pytest.mark.parametrize("stride", [4, 8])
def test_a_trunk_cell_is_read_where_it_looks(stride: int) -> None:
    config = tiny_config(stages=3, output_stride=8, doubled=False)  # maps of 4 and 8, cells of 4 pixels
    maps = [torch.zeros(1, 1, SIZE[0] // s, SIZE[1] // s) for s in (4, 8)]
    which = config.strides.index(stride)
    maps[which][0, 0, 24 // stride, 32 // stride] = 1  # looks at pixel (24, 32)
    heat_HW = to_pixels(combined(maps, config)[:, which : which + 1], config)[0, 0]
    rows, columns = (torch.arange(side, dtype=torch.float32) for side in SIZE)
    centre = [
        float((heat_HW.sum(dim=1 - axis) * p).sum() / heat_HW.sum()) for axis, p in ((0, rows), (1, columns))
    ]
    assert centre == pytest.approx([24, 32], abs=0.1)


@pytest.mark.parametrize(("averaged", "highest"), [(True, (2 / 3) ** 2), (False, 1)])
def test_features_are_means_over_three_by_three_cells_or_stay_narrow(averaged: bool, highest: float) -> None:
    config = tiny_config(stages=3, output_stride=8, averaged=averaged)
    maps = [torch.zeros(1, 1, SIZE[0] // s, SIZE[1] // s) for s in (4, 8)]
    maps[0][0, 0, 3:5, 3:5] = 1  # two cells high and wide
    read_hw = combined(maps, config)[0, 0]
    assert float(read_hw.max()) == pytest.approx(highest)
    assert float(read_hw.sum()) == pytest.approx(4)


@pytest.mark.parametrize(
    ("place", "share", "cells"),
    [
        ((slice(8, 12), slice(8, 12)), 0.25, 4),
        ((slice(8, 9), slice(8, 9)), 0.25, 1),  # a quarter of its cell is not more than a quarter
        ((slice(8, 9), slice(8, 11)), 0.25, 1),  # one cell half, one a quarter
        ((slice(8, 9), slice(8, 11)), 0.2, 2),
    ],
    ids=["whole cells", "its fullest cell is kept", "half and a quarter", "a lower share"],
)
def test_a_cell_is_defective_by_the_share_of_it_that_is(
    place: tuple[slice, slice], share: float, cells: int
) -> None:
    truth = cells_of({0: place}, mask_share=share)
    assert truth.defect_B1hw.sum(dim=(1, 2, 3)).tolist() == [cells, 0, 0, 0]
    assert truth.known_B.tolist() == [True, False, False, True]
    assert truth.label_B.tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("squares", [(1, 1), (4, 2), (32, 32), (12, 16)])
def test_perlin_noise_is_smooth_and_within_one(squares: tuple[int, int]) -> None:
    values = np.stack([perlin((32, 48), squares, rng) for rng in generators(20)])
    assert np.abs(values).max() <= 1
    assert abs(values.mean()) < 0.1
    assert values.std() > 0.1
    if squares == (1, 1):
        assert np.abs(np.diff(values, axis=1)).max() < 0.2


def test_noise_is_never_on_masks_nor_where_they_are_hidden() -> None:
    truth = cells_of({0: (slice(0, 24), slice(0, 64))})
    config = tiny_config(noise_share=1.0, perlin_threshold=-1.0)  # everywhere else
    adapted = torch.zeros(4, config.features, *truth.defect_B1hw.shape[2:])
    noisy, seen = with_noise(adapted, truth, config, generators(8))
    moved_Bhw = noisy.abs().amax(dim=1) > 0
    assert not (moved_Bhw & torch.cat([truth.defect_B1hw] * 2)[:, 0]).any()
    assert moved_Bhw.flatten(1).any(dim=1).tolist() == [True, False, False, True] * 2
    assert torch.equal(moved_Bhw, (seen.defect_B1hw & ~torch.cat([truth.defect_B1hw] * 2))[:, 0])
    assert seen.label_B.tolist() == [1, 1, 1, 1] * 2  # a normal image with noise counts as defective


def test_noise_in_units_of_the_features_spread_is_as_wide_as_each_of_them() -> None:
    config = tiny_config(noise_share=1.0, noise_sd=0.5, perlin_threshold=-1.0, noise_unit="spread")
    network = SuperSimpleNet(config)
    maps = [torch.randn(8, 4 * (1 + i), *(side // s for side in SIZE)) for i, s in enumerate(config.strides)]
    spread_C = feature_spread(network, maps)
    adapted_BChw = network.heads.adapted(combined(maps, config)).detach()
    assert torch.allclose(spread_C, adapted_BChw.std(dim=(0, 2, 3)))
    cells = adapted_BChw.shape[2:]
    truth = CellTruth(
        torch.zeros(8, 1, *cells, dtype=torch.bool), torch.ones(8, dtype=torch.bool), torch.zeros(8)
    )
    noisy, _ = with_noise(0 * adapted_BChw, truth, config, generators(16), spread_C)
    assert torch.allclose(noisy.std(dim=(0, 2, 3)) / spread_C, torch.tensor(0.5), rtol=0.05)


def test_without_noise_each_image_is_shown_once() -> None:
    truth = cells_of({0: (slice(0, 24), slice(0, 64))})
    adapted = torch.zeros(4, 12, *truth.defect_B1hw.shape[2:])
    noisy, seen = with_noise(adapted, truth, tiny_config(noise=False), [])
    assert torch.equal(noisy, adapted)
    assert torch.equal(seen.defect_B1hw, truth.defect_B1hw)


@pytest.mark.parametrize(("threshold", "low", "high"), [(-1.0, 1.0, 1.0), (0.2, 0.15, 0.45), (0.6, 0.0, 0.1)])
def test_the_threshold_decides_how_much_is_noise(threshold: float, low: float, high: float) -> None:
    config = tiny_config(perlin_threshold=threshold, noise_share=1.0, noise_sd=0.5)
    noise = draw_noise(torch.ones(40, 1, 24, 32, dtype=torch.bool), config, generators(40))
    assert low <= noise.on_B1hw.float().mean() <= high
    values = noise.values_BChw.permute(0, 2, 3, 1)[noise.on_B1hw[:, 0]]
    assert values.std() == pytest.approx(0.5, rel=0.05)


def test_the_losses_are_those_of_the_paper() -> None:
    map_B1hw = torch.tensor([[[[-1.0, 0.2]]], [[[0.1, 0.3]]]])
    truth = CellTruth(torch.tensor([[[[False, True]]], [[[False, False]]]]), torch.tensor([True, False]),
                      torch.tensor([1.0, 1.0]))  # fmt: skip
    map_loss, decision = head_losses(
        HeadOutput(map_B1hw, torch.tensor([0.0, 2.0])), truth, Totals.of(truth), tiny_config()
    )
    p = torch.tensor([1.0, 0.2]).sigmoid()  # of the cells' true class; the second image's are unknown
    focal = -((1 - p) ** 4 * p.log()).mean()
    assert map_loss == pytest.approx(float(0.0 + 0.3 + focal))
    q = torch.tensor([0.0, 2.0]).sigmoid()
    assert decision == pytest.approx(float(-((1 - q) ** 4 * q.log()).mean()))


def test_a_focal_loss_without_gamma_is_the_cross_entropy() -> None:
    logits, target = torch.tensor([0.3, -2.0]), torch.tensor([1.0, 0.0])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    assert torch.equal(focal_loss(logits, target, 0), expected)


@pytest.mark.parametrize("gamma", [0.01, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("logit", [0.5, 15.0, 20.0, 200.0])
def test_a_cell_that_is_surely_right_has_a_finite_focal_gradient(logit: float, gamma: float) -> None:
    logits = torch.tensor([logit, -logit], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([1.0, 0.0]), gamma)
    loss.sum().backward()
    entropy = np.log1p(np.exp(-logit))
    assert loss.tolist() == pytest.approx([(-np.expm1(-entropy)) ** gamma * entropy] * 2, abs=1e-6)
    assert logits.grad is not None
    right = -logits.grad[0], logits.grad[1]  # both pull away from the other class, or no more
    assert all(0 <= float(pull) < 1 for pull in right)


@pytest.mark.parametrize(("stop", "moves"), [(True, False), (False, True)])
def test_the_stop_keeps_the_decision_out_of_the_map(stop: bool, moves: bool) -> None:
    heads = Heads(tiny_config())
    heads(torch.randn(2, 12, 6, 8), stop=stop).score_B.sum().backward()
    gradient = next(heads.map_head.parameters()).grad
    assert (gradient is not None and bool(gradient.any())) is moves


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"head_batch": 5}, "head_batch is even"),
        ({"stem": "small", "output_stride": 1, "doubled": True}, "set doubled: false"),
        ({"trunk": "own", **FILE}, "width: 64"),
        ({"trunk": "lite0", "epochs": 3, "width": 4}, "is read where the trunk learns"),
        ({"trunk": "lite0", "trunk_lr_ratio": 0.1, "output_stride": 8}, "output_stride: 16"),
        ({"trunk": "own", "finer_stride": 4}, "set output_stride instead"),
        ({"perlin_threshold": 1.0}, "less than 1"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_a_way_out(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        tiny_config(**changes)


@pytest.mark.parametrize(
    ("supervision", "changes", "words"),
    [
        ("none", {}, "own_task: rotations"),
        ("none", {"own_task": "rotations", "noise": False}, "noise: true"),
        ("full", {"trunk": "lite0"}, "use trunk: own"),
        ("none", {"own_task": "rotations"}, None),
        ("none", {"trunk": "lite0", **FILE}, None),
        ("none", {"trunk": "lite0", "trunk_lr_ratio": 0.1, **FILE}, "own_task: rotations"),
        ("weak", {"noise": False}, None),
    ],
)
def test_labels_and_weights_that_teach_nothing_are_refused_with_a_way_out(
    supervision: str, changes: dict[str, Any], words: str | None
) -> None:
    data = DataSpec.model_validate({"reader": "synthetic"})
    found = TRAINABLE.objections(tiny_config(**changes), Supervision.model_validate(supervision), data)
    assert len(found) == bool(words)
    assert all((words or "") in objection.message for objection in found)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_say_what_differs_from_the_paper(name: str) -> None:
    config = SuperSimpleConfig.model_validate({"image_size": (128, 128), **PRESETS[name]})
    notes = footnotes(config)
    assert any("our reading" in note for note in notes)
    assert any(note.startswith("trunk: ") for note in notes) == (config.trunk != "wide_resnet50_2")
