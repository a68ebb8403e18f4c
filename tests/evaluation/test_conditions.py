"""Test images under other conditions, and the metrics on them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tests.evaluation.evaluate_scenes import CPU, Brightness, make_set
from trainables.data.conditions import Condition
from trainables.data.samples import EvaluationData, ImageSet
from trainables.evaluation.conditions import changed_image, images_under
from trainables.evaluation.evaluate import evaluate, evaluate_again
from trainables.evaluation.metrics import METRICS, Undefined
from trainables.evaluation.model_scorer import ModelScorer

IMAGES = arrays(np.uint8, st.tuples(st.integers(4, 12), st.integers(4, 12), st.sampled_from([1, 3])))
CHANGES = st.one_of(
    st.builds(Condition, kind=st.just("light"), amount=st.floats(0.1, 3)),
    st.builds(Condition, kind=st.just("blur"), amount=st.floats(0.3, 3)),
    st.builds(Condition, kind=st.just("noise"), amount=st.floats(0.01, 0.5)),
    st.builds(Condition, kind=st.just("shift"), amount=st.integers(1, 3)),
)


@settings(max_examples=80, deadline=None)
@given(image=IMAGES, change=CHANGES, sample=st.text(max_size=5))
def test_an_image_is_changed_alike_whenever_it_is_asked_for(
    image: NDArray[np.uint8], change: Condition, sample: str
) -> None:
    before = image.copy()
    first, second = (changed_image(change, image, sample) for _ in range(2))
    assert np.array_equal(first, second)
    assert (first.dtype, first.shape, first.flags.writeable) == (np.uint8, image.shape, False)
    assert np.array_equal(image, before)


@settings(max_examples=40, deadline=None)
@given(image=IMAGES, factor=st.floats(0.1, 3))
def test_light_is_a_factor_clipped_at_white(image: NDArray[np.uint8], factor: float) -> None:
    changed = changed_image(Condition(kind="light", amount=factor), image, "a")
    assert np.abs(changed - np.minimum(image * factor, 255)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_blur_spreads_a_point_by_its_sigma(sigma: float) -> None:
    image = np.zeros((41, 41, 1), np.uint8)
    image[20, 20] = 255
    weights = changed_image(Condition(kind="blur", amount=sigma), image, "a")[..., 0].astype(float)
    assert weights[20, 20] == pytest.approx(255 / (2 * np.pi * sigma**2), rel=0.35)
    assert np.array_equal(weights, weights.T)


def test_noise_has_its_spread_and_differs_by_image() -> None:
    grey = np.full((200, 200, 1), 128, np.uint8)
    one, other = (changed_image(Condition(kind="noise", amount=0.05), grey, name) for name in "ab")
    assert [one.std(), other.std()] == pytest.approx([0.05 * 255] * 2, rel=0.03)
    assert not np.array_equal(one, other)


def test_all_four_ways_of_a_shift_are_taken() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    moved = {changed_image(Condition(kind="shift", amount=2), image, str(i)).tobytes() for i in range(40)}
    ways = (image[[0, 0, *range(6)]], image[[*range(2, 8), 7, 7]])
    ways += (image[:, [0, 0, *range(6)]], image[:, [*range(2, 8), 7, 7]])
    assert moved == {way.tobytes() for way in ways}


@settings(max_examples=40, deadline=None)
@given(pixels=st.integers(1, 12), seed=st.integers(0, 50))
def test_masks_move_as_their_images_do(pixels: int, seed: int) -> None:
    test = make_set("t", 9, seed, masks=True)
    # The mask is twice as large; drawn as an image of that size it must move twice as far, the same way.
    under = images_under(Condition(kind="shift", amount=pixels), test, {})
    for sample, mask in test.masks.items():
        moved = changed_image(Condition(kind="shift", amount=2 * pixels), mask[..., None], sample)
        assert (sample in under.ids) == bool(moved.any())
        if sample in under.ids:
            assert np.array_equal(under.masks[sample], moved[..., 0])
    normal = {sample for sample, label in zip(test.ids, test.labels, strict=True) if not label}
    assert normal <= set(under.ids)


def test_where_chooses_images_and_changes_none() -> None:
    test = make_set("t", 9, 0, masks=True)
    exposure = {sample: str(i % 3) for i, sample in enumerate(test.ids)}
    chosen = images_under(Condition(kind="where", by="exposure", values=("0", "2")), test, exposure)
    assert chosen.ids == tuple(sample for sample in test.ids if exposure[sample] != "1")
    assert chosen.labels.tolist() == [True, False, True, False, True, False]
    assert all(np.array_equal(chosen[i].image, test.images[chosen.ids[i]]) for i in range(len(chosen)))


def _again(images: ImageSet) -> tuple[dict[str, float], dict[str, float | Undefined]]:
    data = EvaluationData(make_set("v", 20, 1, masks=True), make_set("t", 30, 2, masks=True))
    model = Brightness()
    plain = evaluate(model, data, device=CPU, batch=8, probes=0, seed=0)
    return plain.metrics, evaluate_again(ModelScorer(model, CPU), images, plain.thresholds, batch=8)


def test_the_same_images_have_the_same_metrics_as_before() -> None:
    plain, again = _again(make_set("t", 30, 2, masks=True))
    assert {name: value for name, value in again.items() if not isinstance(value, Undefined)} == plain


def test_thresholds_are_not_chosen_anew() -> None:
    dark = images_under(Condition(kind="light", amount=0.3), make_set("t", 30, 2, masks=True), {})
    plain, again = _again(dark)
    assert again["image_ap"] == pytest.approx(plain["image_ap"])  # ranks stay as they were
    assert again["fn"] == 10  # nothing is as bright as the threshold of validation


def test_no_image_has_no_metric() -> None:
    _, again = _again(make_set("t", 0, 2, masks=True))
    assert set(again) == set(METRICS)
    assert all(isinstance(value, Undefined) for value in again.values())
