"""Before training: how much of the defects a method's grid can hold, and what the plan says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from assay.analysis.results.results import StudyResults
from assay.report.tables.cells import ablation_table
from assay.report.tables.footnotes import footnotes
from assay.study import Plan, parse_study, plan_study
from assay.study.planning.plan_table import plan_of_table, table_of_plan
from assay.study.planning.resolution_limit import (
    format_resolution_limit,
    measure_resolution_limits,
    resolution_warnings,
)
from trainables.contract import Grid
from trainables.data import Manifest, load_training, make_split, open_images, open_manifest
from trainables.data.spec import DataSpec
from trainables.evaluation.resolution_limit import (
    ResolutionLimit,
    grid_cells,
    lines_between,
    measure_resolution_limit,
)
from trainables.nn.layers.pooling import enlarge_cells
from trainables.plugins.catalogue import find_trainable
from trainables.segdec.mask_maps import dilate_and_resize
from trainables.segdec.targets import downsize
from trainables.supersimple.features import to_pixels

SIZE = (64, 64)
COARSE = Grid(stride=8, window=17)


def _mask(rows: slice, columns: slice, side: int = 64) -> NDArray[np.uint8]:
    mask = np.zeros((side, side), np.uint8)
    mask[rows, columns] = 1
    return mask


LINE = _mask(slice(20, 22), slice(8, 24))  # 2 × 16
BLOCK = _mask(slice(16, 48), slice(16, 48))


def _limit(masks: list[NDArray[np.uint8]], grid: Grid | None) -> ResolutionLimit:
    limit = measure_resolution_limit(((f"{i}.png", mask) for i, mask in enumerate(masks)), masks, SIZE, grid)
    assert limit is not None
    return limit


def test_a_mask_grown_by_a_pixel_has_the_iou_of_the_areas() -> None:
    assert _limit([LINE], None).grown_iou == pytest.approx(32 / (18 * 4))


@pytest.mark.parametrize(
    ("mask", "least", "most"), [(LINE, 0.1, 0.45), (BLOCK, 0.9, 1.0)], ids=["a narrow line", "a large block"]
)
def test_coarse_cells_outline_large_defects_only(mask: NDArray[np.uint8], least: float, most: float) -> None:
    assert least <= _limit([mask], COARSE).grid_iou <= most


@pytest.mark.parametrize(
    ("radius", "middle", "least"), [(4, 64, 0.95), (5, 64, 0.91), (6, 64, 0.9), (5, 68, 0.9)]
)
def test_a_disc_is_outlined_as_well_as_one_map_of_segdec_is_known_to(
    radius: int, middle: int, least: float
) -> None:
    rows, columns = np.mgrid[:128, :128]
    disc = ((rows - middle) ** 2 + (columns - middle) ** 2 <= radius**2).astype(np.uint8)
    limit = measure_resolution_limit((), [disc], (128, 128), Grid(8))
    assert limit is not None
    assert limit.grid_iou >= least


@pytest.mark.parametrize(
    ("name", "preset", "enlarge"),
    [
        ("segdec", "ksdd", lambda cells, config: enlarge_cells(cells, 8, config.image_size)),
        ("supervised", "classifier_small", lambda cells, config: enlarge_cells(cells, 8, config.image_size)),
        ("supersimple", "own_small", to_pixels),
        ("memory_bank", "small", lambda cells, config: enlarge_cells(cells, 8, config.image_size)),
        (
            "memory_bank",
            "anomaly_dino",
            lambda cells, config: F.interpolate(cells, (896, 448), mode="bilinear"),
        ),
    ],
)
def test_cells_lie_where_the_method_enlarges_them_to(
    name: str, preset: str, enlarge: Callable[[Tensor, Any], Tensor]
) -> None:
    trainable = find_trainable(name)
    size = (896, 448)
    config = trainable.Config.model_validate({**trainable.presets[preset], "image_size": size})
    grid = trainable.grid(config)
    assert grid is not None
    cells = torch.rand((1, 1, *(side // grid.stride for side in size)), generator=torch.manual_seed(0))
    down, across = (lines_between(side, grid) for side in size)
    expected = enlarge(cells, config).reshape(896, 448)
    np.testing.assert_allclose(down @ cells[0, 0].numpy() @ across.T, expected, atol=1e-5)


def test_a_map_as_large_as_the_image_can_be_perfect() -> None:
    assert _limit([LINE], Grid()).grid_iou == 1


@pytest.mark.parametrize(
    ("mask", "below_half", "vanished"),
    [
        (BLOCK, 0, 0),
        (LINE, 1, 0),
        (_mask(slice(1, 2), slice(1, 2), side=1024), 1, 1),
    ],
    ids=["fills cells", "narrower than a cell", "lost in the resize"],
)
def test_masks_that_fill_no_half_of_a_cell_are_counted(
    mask: NDArray[np.uint8], below_half: int, vanished: int
) -> None:
    limit = _limit([mask], COARSE)
    assert (limit.learnt_from, limit.below_half, limit.vanished) == (1, below_half, vanished)


def test_masks_that_teach_nothing_are_named_the_least_first() -> None:
    speck = _mask(slice(3, 4), slice(3, 4))
    text = format_resolution_limit(_limit([LINE, BLOCK, speck], COARSE))
    assert "learnt from: 2 of 3 training masks (2.png, 0.png)." in text


@pytest.mark.parametrize("dilation", [1, 7])
def test_segdec_learns_from_the_cells_that_are_looked_at(dilation: int) -> None:
    trainable = find_trainable("segdec")
    config = trainable.Config.model_validate({"image_size": (128, 64), "dilation": dilation})
    grid = trainable.grid(config)
    assert grid is not None
    target = downsize(dilate_and_resize(LINE, dilation, (128, 64)))
    np.testing.assert_allclose(grid_cells(LINE, (128, 64), grid), target.numpy(), atol=1e-5)


STUDY = """
study: limits
trainable: segdec
data:
  reader: synthetic
  splits: per_seed
  options: {images: 24, items: 24, positives: 12, size: [64, 128]}
config: {image_size: [64, 128], channel_scale: 0.0625, epochs: 2}
factors: {masks: {none: {supervision: weak}, all: {supervision: full}}}
design: {full: all}
repeats: {seeds: [0]}
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    cache = tmp_path_factory.mktemp("cache")

    def opener(spec: DataSpec) -> Manifest:
        return open_manifest(spec, None, cache)

    bare = plan_study(parse_study(STUDY, "limits"), opener, "cpu")
    return bare.model_copy(update={"resolution_limits": measure_resolution_limits(bare, opener)})


def test_cells_of_one_size_and_grid_are_measured_once(plan: Plan) -> None:
    (measured,) = plan.resolution_limits
    assert measured.cells == ("none", "all")
    # Of the 12 defective images of the one repeat; one more validates.
    assert (measured.limit.learnt_from, measured.limit.measured) == (6, 5)


def test_where_images_are_cut_the_masks_of_tiles_are_measured(tmp_path: Path) -> None:
    tiled = STUDY.replace(
        "splits: per_seed", "splits: per_seed\n  tiles: {height: 32, width: 32, overlap: 8}"
    )
    tiled = tiled.replace("{masks: {none: {supervision: weak}, all: {supervision: full}}}", "{}")
    tiled = tiled.replace("factors: {}\ndesign: {full: all}\n", "supervision: full\n")
    opened: list[Manifest] = []

    def opener(spec: DataSpec) -> Manifest:
        opened.append(open_manifest(spec, None, tmp_path))
        return opened[-1]

    bare = plan_study(parse_study(tiled, "limits"), opener, "cpu")
    (measured,) = measure_resolution_limits(bare, opener)
    (trial,) = bare.trials
    split = make_split(opened[0], trial.data, trial.supervision, trial.seed, trial.fold)
    images = open_images(opened[0], (64, 128), 1, tmp_path, tiles=split.tiles)
    train = load_training(opened[0], split, trial.supervision, images).train
    assert measured.limit.learnt_from == train.labels.sum()
    assert "masks of test images' tiles" in format_resolution_limit(measured.limit)


def test_the_resolution_limit_is_kept_with_the_plan_and_stands_below_the_table(
    plan: Plan, tmp_path: Path
) -> None:
    kept = plan_of_table(table_of_plan(plan))
    assert kept.resolution_limits == plan.resolution_limits
    assert format_resolution_limit(plan.resolution_limits[0].limit) in footnotes(StudyResults(kept, {}))


@pytest.mark.parametrize(
    ("report", "titles"),
    [
        ("[pixel_iou, pixel_ap]", ["AP ↑", "IoU ↑", "best IoU possible", "pixel AP ↑"]),
        ("[pixel_iou, pixel_iou_oracle]", ["AP ↑", "IoU ↑", "best IoU (oracle) ↑", "best IoU possible"]),
        ("[pixel_ap]", ["AP ↑", "pixel AP ↑"]),
    ],
)
def test_what_the_grid_allows_stands_beside_the_iou(plan: Plan, report: str, titles: list[str]) -> None:
    study = parse_study(f"{STUDY}metrics: {{primary: image_ap, report: {report}}}\n", "limits")
    results = StudyResults(plan.model_copy(update={"study": study}), {})
    table = ablation_table(results)
    assert [column.title for column in table.columns][1:-1] == titles
    noted = any(note.startswith("Best IoU possible") for note in footnotes(results))
    assert noted == ("best IoU possible" in titles)
    if noted:
        attainable = {row[1 + titles.index("best IoU possible")] for row in table.rows}
        assert attainable == {f"{plan.resolution_limits[0].limit.grid_iou:.2f}"}


def test_masks_that_cannot_teach_are_warned_of(plan: Plan) -> None:
    (measured,) = plan.resolution_limits
    faint = measured.limit.model_copy(update={"learnt_from": 5, "below_half": 5, "largest_cell": 0.14})
    (warning,) = resolution_warnings([measured.model_copy(update={"limit": faint})])
    assert warning.startswith("no grid cell of any training mask reaches 0.5 (median of the largest: 0.14)")
