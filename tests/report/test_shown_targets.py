"""Targets of a mask loss on a probe image, by its record and the mask that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from assay.analysis.results.reading import read_results
from assay.demo.demo import unpack_demo
from assay.report.masks.payload import cell_column
from assay.report.masks.targets import ShownTargets, shows_targets, targets_of
from assay.storage import Record, Store
from trainables.contract import MaskTarget
from trainables.evaluation.heatmaps import read_probe

DILATION, W_POS = 7, 10  # of the preset `dagm`; its exponent is 1
SIZE = 128  # pixels of an image's sides


class Case(NamedTuple):
    """The first repeat of a cell of the demo."""

    record: Record
    rows: Mapping[str, Mapping[str, Any]]

    @property
    def targets(self) -> ShownTargets:
        return targets_of(self.record, self.rows)

    def sample(self, *, defective: bool) -> str:
        return next(sample for sample, row in self.rows.items() if row["label"] == defective)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("demo")
    unpack_demo(str(folder))
    store = Store(folder)
    found: dict[str, Case] = {}
    for record in read_results(store, "quickstart").records.values():
        maps = store.read_part(record, "maps.parquet")
        if maps is not None:
            cell = record.trial["cell"]
            found.setdefault(cell, Case(record, cell_column(cell, maps).rows))
    return found


def test_weights_grow_to_the_middle_of_the_defect(cases: dict[str, Case]) -> None:
    """By the paper's equation: w_pos · (D / max D)^p in the defect, 1 outside, in means of 17 × 17 pixels."""
    case = cases["masks=all stop=on distance=on"]
    sample = case.sample(defective=True)
    defects = read_probe(case.rows[sample]).defects
    assert defects is not None
    mask = cv2.dilate((defects > 0).astype(np.uint8), np.ones((DILATION, DILATION), np.uint8))
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    weight = np.where(mask > 0, W_POS * distance / distance.max(), 1)
    padded = [np.pad(map_HW.astype(float), 8, mode="reflect") for map_HW in (mask, weight)]
    target, weights = (
        np.array(
            [[whole[y : y + 17, x : x + 17].mean() for x in range(0, SIZE, 8)] for y in range(0, SIZE, 8)]
        )
        for whole in padded
    )
    np.testing.assert_allclose(case.targets.maps[sample].mask_hw, target, atol=1e-5)
    np.testing.assert_allclose(case.targets.maps[sample].weight_hw, weights, atol=1e-4)


def test_without_distances_every_cell_weighs_the_same(cases: dict[str, Case]) -> None:
    case = cases["masks=all stop=on distance=off"]
    maps: MaskTarget = case.targets.maps[case.sample(defective=True)]
    assert (maps.weight_hw == 1).all()
    assert maps.mask_hw.max() == pytest.approx(1)


def test_without_a_mask_only_normal_images_teach_where_nothing_is(cases: dict[str, Case]) -> None:
    case = cases["masks=none stop=on distance=on"]
    assert case.targets.note == "none given"
    assert case.sample(defective=True) not in case.targets.maps
    assert not case.targets.maps[case.sample(defective=False)].mask_hw.any()


def test_the_note_counts_the_masks_that_the_record_counts(cases: dict[str, Case]) -> None:
    assert cases["masks=five stop=on distance=on"].targets.note == "5 of 40 given"


def test_a_method_that_does_not_tell_has_no_target(cases: dict[str, Case]) -> None:
    case = next(iter(cases.values()))
    other = case.record.model_copy(update={"trial": case.record.trial | {"trainable": "supervised"}})
    assert not shows_targets(other)
    assert targets_of(other, case.rows).maps == {}


@pytest.mark.parametrize("method", ["not_installed", "own@3f9c1d2e4a5b6c7d"])
def test_a_method_that_is_not_at_hand_has_no_target(cases: dict[str, Case], method: str) -> None:
    case = next(iter(cases.values()))
    other = case.record.model_copy(update={"trial": case.record.trial | {"trainable": method}})
    assert not shows_targets(other)
    assert targets_of(other, case.rows) == ShownTargets("its method is not at hand", {})


def test_of_images_in_tiles_nothing_is_shown(cases: dict[str, Case]) -> None:
    case = cases["masks=all stop=on distance=on"]
    large = {sample: {**row, "full_height": 2 * SIZE} for sample, row in case.rows.items()}
    assert targets_of(case.record, large) == ShownTargets("not shown of tiles", {})
