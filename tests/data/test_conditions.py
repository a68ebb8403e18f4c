"""Conditions as a study writes them, and training on some images of a data set."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.data.made_images import dot, noise, write
from trainables.data import DataSpec, Manifest, Supervision, make_split, open_manifest
from trainables.data.conditions import Conditions
from trainables.errors import InputError

FULL = Supervision(kind="full")


def test_each_value_is_a_condition_and_a_list_of_values_one_together() -> None:
    conditions = Conditions.model_validate(
        {
            "light": [0.7, 1.3],
            "blur": [1],
            "noise": [0.05],
            "shift": [4],
            "where": {"exposure": [1, [4, "5"]]},
        }
    )
    assert [each.name for each in conditions.each] == [
        "light × 0.7", "light × 1.3", "blur 1 px", "noise 0.05", "shift 4 px", "exposure 1", "exposure 4, 5",
    ]  # fmt: skip
    assert Conditions.model_validate(conditions.model_dump(mode="json")) == conditions
    assert len({each.key for each in conditions.each}) == 7


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({}, "names at least one condition"),
        ({"light": [1]}, "1 changes nothing"),
        ({"light": [0]}, "greater than 0"),
        ({"noise": [1]}, "less than 1"),
        ({"shift": [0.5]}, "valid integer"),
        ({"blur": [1, 1]}, "found twice: blur 1 px"),
        ({"where": {"exposure": [[]]}}, "at least 1 item"),
        ({"fog": [1]}, "Extra inputs"),
    ],
)
def test_what_is_no_condition_is_refused(block: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Conditions.model_validate(block)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Eight cracked and eight free tiles under the exposures 1 to 3, as MTD names them."""
    root = tmp_path_factory.mktemp("mtd")
    for number in range(16):
        for exposure in (1, 2, 3):
            folder, found = ("MT_Crack", 255) if number < 8 else ("MT_Free", 0)
            name = root / "MTD" / folder / "Imgs" / f"exp{exposure}_num_{100 * number + exposure}"
            write(name.with_suffix(".jpg"), noise(100 * number + exposure))
            write(name.with_suffix(".png"), dot(value=found))
    return open_manifest(DataSpec(reader="mtd", splits="per_seed"), root, root / "cache")


def test_mtd_knows_the_exposure_of_an_image(tiles: Manifest) -> None:
    assert tiles.property("exposure")["MT_Crack/exp3_num_103"] == "3"
    with pytest.raises(InputError, match="knows these properties of images: exposure; found weather"):
        tiles.property("weather")


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), kept=st.sets(st.sampled_from("123"), min_size=1))
def test_training_on_some_images_moves_no_test_image(tiles: Manifest, seed: int, kept: set[str]) -> None:
    every = DataSpec(reader="mtd", splits="per_seed")
    some = DataSpec(reader="mtd", splits="per_seed", train_where={"exposure": tuple(kept)})
    split, limited = (make_split(tiles, spec, FULL, seed, None) for spec in (every, some))
    exposure = tiles.property("exposure")
    assert limited.test == split.test
    for part in ("train", "validation"):
        wanted = tuple(sample for sample in getattr(split, part) if exposure[sample] in kept)
        assert getattr(limited, part) == wanted
    assert (limited.hash == split.hash) == (len(kept) == 3)


def test_a_value_that_no_image_has_is_refused(tiles: Manifest) -> None:
    spec = DataSpec(reader="mtd", splits="per_seed", train_where={"exposure": ("1", "7")})
    with pytest.raises(InputError, match="no image of the data set has 7; there are 1, 2, 3"):
        make_split(tiles, spec, FULL, 0, None)


def test_a_study_without_it_is_stored_as_ever() -> None:
    assert "train_where" not in DataSpec(reader="mtd").identity
