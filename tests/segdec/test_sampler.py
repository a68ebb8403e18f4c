"""Which images an epoch shows."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from tests.segdec.surfaces import tiny_config
from trainables.errors import InputError
from trainables.segdec.sampler import SegDecSampler, draw_negatives


def sampler(positives: int, negatives: int, **changes: Any) -> SegDecSampler:
    labels = np.arange(positives + negatives) < positives
    return SegDecSampler.over(labels, tiny_config(**{"batch_size": 1} | changes))


def fresh(_purpose: str, epoch: int) -> np.random.Generator:
    return np.random.default_rng(epoch)


def shown(of: SegDecSampler, epoch: int) -> list[int]:
    return [i for batch in of.epoch(epoch, fresh) for i in batch]


@pytest.mark.parametrize("undersampling", ["frequency", "permutation"])
def test_epoch_shows_each_defective_image_once_and_as_many_distinct_normal_ones(undersampling: str) -> None:
    one = sampler(5, 23, undersampling=undersampling)
    for epoch in range(6):
        images = shown(one, epoch)
        assert sorted(i for i in images if i < 5) == list(range(5))
        assert len({i for i in images if i >= 5}) == 5
        assert len(images) == 10


def test_frequency_goes_round_through_all_normal_images() -> None:
    one = sampler(5, 20)
    seen = Counter(i for epoch in range(8) for i in shown(one, epoch) if i >= 5)
    assert len(seen) == 20
    assert max(seen.values()) - min(seen.values()) <= 1


def test_permutation_does_not() -> None:
    one = sampler(5, 20, undersampling="permutation")
    seen = Counter(i for epoch in range(8) for i in shown(one, epoch) if i >= 5)
    assert max(seen.values()) - min(seen.values(), default=0) > 1 or len(seen) < 20


def test_while_fewer_than_half_were_used_none_is_used_twice() -> None:
    uses = np.array([1, 1, 0, 0, 0, 0])
    drawn = {tuple(sorted(draw_negatives(uses, 3, "frequency", np.random.default_rng(s)))) for s in range(50)}
    assert all(min(choice) >= 2 for choice in drawn)
    assert len(drawn) == 4  # every three of the four unused ones


def test_draw_follows_the_published_probabilities() -> None:
    uses = np.array([4, 3, 2, 2])  # q = 0, ¼, ½, ½, less the median ⅜, plus 1
    weight = np.array([0.625, 0.875, 1.125, 1.125]) ** (4 * np.log(4))
    rng = np.random.default_rng(0)
    counts = Counter(int(draw_negatives(uses, 1, "frequency", rng)[0]) for _ in range(20_000))
    found = np.array([counts[i] for i in range(4)]) / 20_000
    np.testing.assert_allclose(found, weight / weight.sum(), atol=0.012)


def test_fewer_normal_than_defective_images_are_shown_in_whole_rounds() -> None:
    seen = Counter(i for i in shown(sampler(7, 3), 0) if i >= 7)
    assert sum(seen.values()) == 7
    assert set(seen.values()) <= {2, 3}


def test_same_generators_same_batches_and_state_goes_on() -> None:
    whole, first = sampler(4, 9, batch_size=3), sampler(4, 9, batch_size=3)
    expected = [shown(whole, epoch) for epoch in range(4)]
    assert [shown(first, epoch) for epoch in range(2)] == expected[:2]
    second = sampler(4, 9, batch_size=3)
    second.restore(first.state())
    assert [shown(second, epoch) for epoch in range(2, 4)] == expected[2:]


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_last_batch_is_kept_or_dropped(drop_last: bool, sizes: list[int]) -> None:
    batches = sampler(5, 9, batch_size=4, drop_last=drop_last).epoch(0, fresh)
    assert [len(batch) for batch in batches] == sizes


def test_counter_redraws_after_2p_retrieved_images_even_within_an_epoch() -> None:
    drifting = sampler(5, 40, batch_size=4, drop_last=True, redraw="counter")
    shown(drifting, 0)
    drawn = drifting.drawn.copy()
    assert drifting.retrieved == 8  # two of ten were dropped, so the draw of epoch 0 goes on
    shown(drifting, 1)
    assert drifting.retrieved == 6
    assert set(drifting.drawn) != set(drawn)


@pytest.mark.parametrize("redraw", ["epoch", "counter"])
def test_without_dropped_images_four_epochs_show_all_of_four_times_p_normal_images(redraw: str) -> None:
    one = sampler(5, 20, redraw=redraw)
    assert len({i for epoch in range(4) for i in shown(one, epoch) if i >= 5}) == 20


@pytest.mark.parametrize(("positives", "negatives"), [(0, 5), (5, 0)])
def test_a_training_set_of_one_class_is_refused(positives: int, negatives: int) -> None:
    with pytest.raises(InputError, match=f"found {positives} defective and {negatives} normal"):
        sampler(positives, negatives)


def test_masks_alone_are_learned_from_defective_images_each_once_an_epoch() -> None:
    defective = sampler(5, 0, delta=0.0, redraw="counter", batch_size=2)
    assert defective.steps == 3
    assert sorted(shown(defective, 0)) == sorted(shown(defective, 1)) == list(range(5))


def test_a_batch_that_drop_last_would_never_fill_is_refused() -> None:
    with pytest.raises(InputError, match="drop_last"):
        sampler(2, 9, batch_size=5, drop_last=True)
