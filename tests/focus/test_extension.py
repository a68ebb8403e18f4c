"""IEM on planted defects, with a classifier by hand: what is erased, what is left alone, what comes out."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.focus.chains import chain_data, tiny_chain
from trainables.cam.maps import RawMaps
from trainables.contract import LocalRun
from trainables.data.samples import ImageSet, Sample
from trainables.focus.config import FocusConfig
from trainables.focus.extension import Erased, erase, evidence_of, extended_map, residual, residual_scale
from trainables.focus.inpainting import train_inpainter
from trainables.nn.labels.inpaint import telea

SIZE = (64, 64)
STRONG, WEAK = (slice(12, 20), slice(12, 20)), (slice(40, 48), slice(44, 52))
ERASING = FocusConfig(image_size=SIZE, iem_threshold=0.5, iem_dilation=7.0)  # 2 pixels at this size
FILL = partial(telea, radius=3)


def surface(strong: float = 0.4, weak: float = 0.2) -> Tensor:
    """A textured surface with two planted defects of unlike contrast, or with none."""
    texture = np.random.default_rng(0).normal(0.5, 0.01, SIZE)
    texture[STRONG] += strong
    texture[WEAK] += weak
    return torch.from_numpy(texture).float()[None, None]


def classify(images: Tensor) -> RawMaps:
    """A classifier by hand: its evidence is the contrast to the surface, and the strongest part rules."""
    contrast_BHW = (images[:, 0] - 0.5).abs()
    return RawMaps(40 * (contrast_BHW.amax(dim=(1, 2)) - 0.1), (contrast_BHW - 0.05).relu() ** 2)


def black(images: Tensor, mask: Tensor) -> Tensor:
    """What erasing must not be."""
    return images.masked_fill(mask[:, None], 0)


def changed(**settings: Any) -> FocusConfig:
    return ERASING.model_copy(update=settings)


def final_map(images: Tensor, erased: Erased, scale: float, erasing: FocusConfig) -> Tensor:
    return extended_map(evidence_of(images, erased, erasing.iem_residual), scale, erasing)


def test_what_is_erased_only_grows_and_the_rest_stays_bit_for_bit() -> None:
    images = surface()
    erased = erase(images, classify, FILL, ERASING)
    assert len(erased.masks) == 2
    for before, after in zip(erased.masks, erased.masks[1:], strict=False):
        assert (after | ~before).all()
        assert (after & ~before).any()
    for mask_BHW, filled in zip(erased.masks, erased.filled, strict=True):
        assert torch.equal(filled[:, 0][~mask_BHW], images[:, 0][~mask_BHW])
        assert not torch.equal(filled, images)


def test_p_falls_where_texture_is_painted_and_not_where_black_is() -> None:
    painted = erase(surface(), classify, FILL, ERASING).probability_SB[:, 0]
    assert (painted.diff() < 0).all()
    assert painted[-1] < 0.2
    assert (erase(surface(), classify, black, ERASING).probability_SB[:, 0] > 0.99).all()


@pytest.mark.parametrize(("steps", "found"), [(1, False), (3, True)])
def test_the_weaker_defect_is_found_by_erasing_the_stronger_one(steps: int, found: bool) -> None:
    erased = erase(surface(), classify, FILL, changed(iem="erase", iem_steps=steps))
    final = final_map(surface(), erased, 1.0, changed(iem="erase"))
    assert final[0][STRONG].mean() > 0.5
    assert bool(final[0][WEAK].mean() > 0.5) == found


@pytest.mark.parametrize("kind", ["blur", "msgms"])
def test_the_residual_lies_inside_what_was_erased(kind: Any) -> None:
    erasing = changed(iem_residual=kind, iem_dilation=21.0)
    images = surface()
    erased = erase(images, classify, FILL, erasing)
    scale = residual_scale(
        [residual(surface(0, 0), FILL(surface(0, 0), erased.mask_BHW), kind)[erased.mask_BHW]]
    )
    final = final_map(images, erased, scale, erasing)
    assert (final[~erased.mask_BHW] == 0).all()
    assert final[0][STRONG].mean() > 0.9


def test_the_residual_is_sharper_than_the_hole() -> None:
    erasing = changed(iem_dilation=21.0)
    erased = erase(surface(), classify, FILL, erasing)
    final = final_map(surface(), erased, 0.05, erasing)
    defects = torch.zeros(SIZE, dtype=torch.bool)
    defects[STRONG] = defects[WEAK] = True
    rim = erased.mask_BHW[0] & ~defects
    assert final[0][defects].mean() > 3 * final[0][rim].mean()


def test_fusions_are_what_they_are_called() -> None:
    images = surface()
    erased = erase(images, classify, FILL, ERASING)
    sharp = final_map(images, erased, 0.05, ERASING)
    multiplied = final_map(images, erased, 0.05, changed(iem_fuse="mul"))
    largest = final_map(images, erased, 0.05, changed(iem_fuse="max"))
    torch.testing.assert_close(multiplied, (sharp * erased.evidence_BHW).sqrt())
    assert torch.equal(largest, torch.maximum(sharp, erased.evidence_BHW))


def test_the_residual_alone_takes_one_step() -> None:
    assert len(erase(surface(), classify, FILL, changed(iem="residual")).masks) == 1


def test_an_image_of_which_too_much_would_go_keeps_its_map() -> None:
    erasing = changed(iem_max_area=1e-4)
    erased = erase(surface(), classify, FILL, erasing)
    assert not erased.mask_BHW.any()
    assert torch.equal(final_map(surface(), erased, 1.0, erasing), erased.evidence_BHW)


def test_each_image_of_a_batch_stops_on_its_own() -> None:
    images = torch.cat((surface(), surface(weak=0), surface(strong=0, weak=0)))
    together = erase(images, classify, FILL, ERASING)
    alone = [erase(image[None], classify, FILL, ERASING) for image in images]
    for k, one in enumerate(alone):
        assert torch.equal(together.mask_BHW[k], one.mask_BHW[0])
        assert torch.equal(together.evidence_BHW[k], one.evidence_BHW[0])
        assert together.probability_SB[-1, k] == one.probability_SB[-1, 0]


def test_the_scale_is_that_of_normal_images_and_never_0() -> None:
    assert residual_scale([torch.zeros(5)]) == 1.0
    assert residual_scale([]) == 1.0
    assert residual_scale([torch.arange(1001.0)]) == pytest.approx(995)


class Watched(ImageSet):
    """Refuses to show a defective image."""

    def __getitem__(self, index: int) -> Sample:
        assert not self.labels[index], "a defective image was looked at"
        return super().__getitem__(index)


def test_the_inpainter_never_sees_a_defective_image() -> None:
    data = chain_data()
    train = Watched(data.train.ids, data.train.labels, data.train.images)
    run = LocalRun()
    train_inpainter(tiny_chain(iem="both", iem_inpainter="unet"), replace(data, train=train), run)
    assert run.history[0].keys() >= {"loss", "loss_squared", "loss_ssim", "loss_msgms", "held_out_psnr"}


def test_a_trained_inpainter_comes_nearer_to_the_surface_than_black() -> None:
    config = tiny_chain(iem="both", iem_inpainter="unet", inpainter_min_steps=40, inpainter_lr=1e-2)
    inpainter = train_inpainter(config, chain_data(), LocalRun())
    image = torch.full((1, 1, 48, 64), 0.43)
    mask = torch.zeros(1, 48, 64, dtype=torch.bool)
    mask[:, 20:28, 20:28] = True
    assert (inpainter.fill(image, mask) - image).abs()[:, 0][mask].mean() < 0.43 / 1.5
