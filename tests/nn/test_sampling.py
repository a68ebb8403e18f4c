"""Which images an epoch shows, and how they are seen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from trainables.contract import LocalRun
from trainables.nn.batches.augmentation import Augmentation
from trainables.nn.batches.sampling import BalancedSampler


def sampler(positives: int, negatives: int, batch_size: int = 4) -> BalancedSampler:
    return BalancedSampler(np.arange(positives + negatives) < positives, batch_size)


def shown(of: BalancedSampler, epoch: int) -> list[list[int]]:
    return [list(batch) for batch in of.epoch(epoch, LocalRun().generator)]


def test_every_batch_is_half_defective_and_every_defect_is_shown_once() -> None:
    batches = shown(sampler(5, 20), 0)
    assert [(sum(i < 5 for i in batch), len(batch)) for batch in batches] == [(2, 4), (2, 4), (1, 2)]
    assert sorted(i for batch in batches for i in batch if i < 5) == list(range(5))


def test_normal_images_rotate_over_epochs() -> None:
    one = sampler(4, 10)
    seen = Counter(i for epoch in range(5) for batch in shown(one, epoch) for i in batch if i >= 4)
    assert set(seen.values()) == {2}
    assert len(seen) == 10


def test_fewer_normal_than_defective_images_repeat() -> None:
    seen = Counter(i for batch in shown(sampler(7, 3, 8), 0) for i in batch if i >= 7)
    assert sum(seen.values()) == 7
    assert set(seen.values()) == {2, 3}


def test_without_normal_images_batches_are_defective_throughout() -> None:
    one = sampler(5, 0)
    assert [len(batch) for batch in shown(one, 0)] == [4, 1]
    assert one.steps == 2


@pytest.mark.parametrize(("positives", "batch_size"), [(5, 4), (8, 4), (3, 16), (1, 2)])
def test_steps_are_the_batches_of_an_epoch(positives: int, batch_size: int) -> None:
    one = sampler(positives, 9, batch_size)
    assert one.steps == len(shown(one, 0))


def test_state_goes_on() -> None:
    whole, first, second = sampler(4, 9), sampler(4, 9), sampler(4, 9)
    expected = [shown(whole, epoch) for epoch in range(4)]
    assert [shown(first, epoch) for epoch in range(2)] == expected[:2]
    second.restore(first.state())
    assert [shown(second, epoch) for epoch in range(2, 4)] == expected[2:]


def test_image_and_mask_are_flipped_alike_and_only_the_image_is_exposed() -> None:
    views = Augmentation.draw(20, "both", 0.2, np.random.default_rng(0))
    maps = torch.rand(20, 1, 4, 6, generator=torch.Generator().manual_seed(0))
    positions = list(range(20))
    flipped = views.flip(maps, positions)
    for i in positions:
        axes = [axis for axis, on in ((1, views.overturned[i]), (2, views.mirrored[i])) if on]
        assert torch.equal(flipped[i], maps[i].flip(axes))
    assert {(bool(m), bool(o)) for m, o in zip(views.mirrored, views.overturned, strict=True)} == {
        (False, False), (False, True), (True, False), (True, True),
    }  # fmt: skip
    exposed = views.expose(maps, positions)
    assert torch.allclose(exposed[3], maps[3] * float(views.gain[3]) + float(views.offset[3]))
    assert np.abs(views.gain - 1).max() <= 0.2
    assert np.abs(views.offset).max() <= 0.2


def test_an_image_is_seen_the_same_way_in_any_batch() -> None:
    views = Augmentation.draw(9, "both", 0.2, np.random.default_rng(0))
    maps = torch.rand(9, 1, 4, 6, generator=torch.Generator().manual_seed(0))
    whole = views.flip(views.expose(maps, range(9)), range(9))
    part = views.flip(views.expose(maps[[7, 2]], [7, 2]), [7, 2])
    assert torch.equal(part, whole[[7, 2]])


def test_a_setting_that_is_off_leaves_the_others_random_numbers_alone() -> None:
    on = Augmentation.draw(50, "both", 0.2, np.random.default_rng(0))
    off = Augmentation.draw(50, "horizontal", 0.0, np.random.default_rng(0))
    assert np.array_equal(on.mirrored, off.mirrored)
    assert not off.overturned.any()
    assert np.all(off.gain == 1)
    assert np.all(off.offset == 0)
