"""The baseline under image AP that needs no pixel: how well sizes tell labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trainables.data.samples import ImageSet
from trainables.evaluation.metrics import Undefined
from trainables.evaluation.size_only import size_only_ap


def photographs(seed: int, *, telling: bool) -> ImageSet:
    """200 photographs, half of them defective; those are wider if sizes are ``telling``."""
    rng = np.random.default_rng(seed)
    labels = np.arange(200) % 2 == 0
    sizes = rng.integers(100, 300, (200, 2))
    if telling:
        sizes[labels, 1] += 200
    return ImageSet(tuple(map(str, range(200))), labels, {}, sizes=sizes)


@pytest.mark.parametrize(("telling", "low", "high"), [(True, 0.95, 1), (False, 0.4, 0.65)])
def test_sizes_tell_labels_only_where_they_differ(telling: bool, low: float, high: float) -> None:
    found = size_only_ap(photographs(0, telling=telling), photographs(1, telling=telling), seed=0)
    assert isinstance(found, float)
    assert low <= found <= high


@pytest.mark.parametrize("missing", ["sizes", "class"])
def test_without_sizes_or_a_class_there_is_no_baseline_but_a_reason(missing: str) -> None:
    whole = photographs(0, telling=True)
    cut = replace(whole, sizes=None) if missing == "sizes" else replace(whole, labels=np.ones(200, np.bool_))
    assert isinstance(size_only_ap(cut, whole, seed=0), Undefined)


def test_asked_again_it_says_the_same_and_mixes_nothing_up() -> None:
    train, test, other = (photographs(i, telling=False) for i in range(3))
    first, of_other, of_seed = (
        size_only_ap(train, test, seed=0),
        size_only_ap(train, other, seed=0),
        size_only_ap(train, test, seed=1),
    )
    assert size_only_ap(train, test, seed=0) == first
    assert len({first, of_other, of_seed}) == 3
