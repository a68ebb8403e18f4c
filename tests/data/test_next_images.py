"""Rules that pick the images to be given a mask next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.data.made_images import PER_SEED, bare_manifest
from trainables.data import Supervision, make_split, mask_candidates, with_masks
from trainables.data.spec import ChoiceRule
from trainables.next_images import FirstMaps, NextImage, next_images
from trainables.pilot import PILOTS

NAMES = ("a", "b", "c", "d", "e")
RULES: tuple[ChoiceRule, ...] = ("uncertainty", "disagreement", "coverage")
UNIFORM = {name: np.full((16, 16, 1), 50 * place, np.uint8) for place, name in enumerate(NAMES)}


def maps_of(*levels: float) -> FirstMaps:
    return FirstMaps(NAMES, np.stack([np.full((4, 6), level, np.float32) for level in levels]))


def picked(rule: ChoiceRule, count: int, *first: FirstMaps, known: tuple[str, ...] = ()) -> list[NextImage]:
    candidates = [name for name in NAMES if name not in known]
    return next_images(rule, count, candidates, known=known, images=UNIFORM, first=first)


def test_uncertainty_prefers_maps_that_are_near_a_half_and_counts_bits() -> None:
    chosen = picked("uncertainty", 2, maps_of(0.01, 0.5, 0.99, 0.3, 0.0))
    assert [image.sample for image in chosen] == ["b", "d"]
    assert chosen[0].value == pytest.approx(1.0)


def test_disagreement_is_none_where_both_are_unsure_alike_and_a_bit_where_they_contradict() -> None:
    chosen = picked("disagreement", 5, maps_of(0.5, 0.0, 0.9, 0.2, 0.1), maps_of(0.5, 1.0, 0.9, 0.3, 0.1))
    assert [image.sample for image in chosen[:2]] == ["b", "d"]
    assert [image.value for image in chosen] == pytest.approx([1, chosen[1].value, 0, 0, 0], abs=1e-6)


@pytest.mark.parametrize(
    ("known", "order"),
    [(("a",), ["e", "c", "b", "d"]), (("a", "e"), ["c", "b", "d"]), ((), ["a", "e", "b", "d", "c"])],
    ids=["from one end", "from both", "from their mean"],
)
def test_coverage_goes_to_what_is_least_like_all_before_it(known: tuple[str, ...], order: list[str]) -> None:
    assert [image.sample for image in picked("coverage", 5, known=known)] == order


@settings(max_examples=40, deadline=None)
@given(rule=st.sampled_from(RULES), count=st.integers(0, 8), seed=st.integers(0, 99), data=st.data())
def test_each_rule_picks_distinct_candidates_whatever_their_order(
    rule: ChoiceRule, count: int, seed: int, data: st.DataObject
) -> None:
    drawn = np.random.default_rng(seed)
    names = [f"s{index}" for index in range(7)]
    images = {name: drawn.integers(0, 256, (12, 9, 3), dtype=np.uint8) for name in names}
    first = [FirstMaps(tuple(names), drawn.random((7, 3, 3), dtype=np.float32)) for _ in PILOTS[rule]]
    known, candidates = names[:2], names[2:]
    shuffled = data.draw(st.permutations(candidates))
    picks, again = (
        next_images(rule, count, each, known=known, images=images, first=first)
        for each in (candidates, shuffled)
    )
    assert picks == again
    assert len({image.sample for image in picks}) == len(picks) == min(count, 5)
    assert {image.sample for image in picks} <= set(candidates)
    assert [image.value for image in picks] == sorted((image.value for image in picks), reverse=True)


def test_maps_of_a_first_model_are_read_as_they_were_written(tmp_path: Path) -> None:
    maps = maps_of(0.1, 0.2, 0.3, 0.4, 0.5)
    maps.save(tmp_path)
    read = FirstMaps.load(tmp_path)
    assert read.samples == maps.samples
    assert (read.of(["e", "a"]) == maps.of(["e", "a"])).all()


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ({"mixed": 10}, {"mixed": 10}),
        ({"mixed": 10, "by": "random"}, {"mixed": 10}),
        ({"mixed": 11, "by": "coverage"}, {"mixed": 11, "by": "coverage", "first": 5}),
        ({"mixed": 3, "by": "uncertainty", "first": 0}, {"mixed": 3, "by": "uncertainty", "first": 0}),
    ],
    ids=["none", "random", "half first", "none first"],
)
def test_a_rule_is_part_of_the_supervision_only_where_it_is_not_random(
    written: dict[str, object], kept: dict[str, object]
) -> None:
    supervision = Supervision.model_validate(written)
    assert supervision.model_dump(mode="json") == kept
    assert Supervision.model_validate(kept) == supervision


@pytest.mark.parametrize(
    "written",
    [
        {"mixed": 10, "by": "coverage", "first": 10},
        {"mixed": 10, "first": 5},
        {"mixed": 0, "by": "coverage"},
        {"kind": "full", "by": "coverage", "first": 2},
    ],
    ids=["nothing left", "first of random", "no masks", "all masks"],
)
def test_a_rule_that_has_nothing_to_pick_is_refused(written: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"a rule picks the masks beyond the first ones.*found"):
        Supervision.model_validate(written)


@pytest.mark.parametrize("rule", RULES)
def test_a_split_starts_from_the_first_masks_of_the_random_order(rule: ChoiceRule) -> None:
    manifest = bare_manifest([{"sample": f"{index:02d}", "label": index % 2 == 1} for index in range(40)])
    by_rule = Supervision.model_validate({"mixed": 7, "by": rule, "first": 3})
    split = make_split(manifest, PER_SEED, by_rule, 0, None)
    assert split == make_split(manifest, PER_SEED, by_rule.start, 0, None)
    candidates = mask_candidates(manifest, split)
    assert set(candidates) < set(split.train)
    assert not set(candidates) & set(split.masks)
    grown = with_masks(split, candidates[:4])
    assert set(grown.masks) == {*split.masks, *candidates[:4]}
    assert (grown.train, grown.validation, grown.test) == (split.train, split.validation, split.test)
