"""Resolution limits of a study's methods on its masks, measured once and kept with the plan.

Training masks are those that some trial of the first repeat may see. How well a perfect map could outline is
measured on the test masks of the same repeat: it is what the evaluation will measure, and it chooses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from assay.study.planning.identity import canonical_json
from assay.study.planning.plan import CellResolutionLimit, Plan
from trainables.data.inspect.findings import summarise
from trainables.evaluation.resolution_limit import ResolutionLimit, measure_resolution_limit, teaches_a_defect
from trainables.plugins.catalogue import find_trainable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from assay.study.planning.cells import Cell
    from trainables.contract import Grid
    from trainables.data import Manifest, Split
    from trainables.data.spec import DataSpec, Tiles
    from trainables.data.tiles import TileShape

__all__ = [
    "attainable_iou",
    "format_resolution_limit",
    "least_dilation",
    "measure_resolution_limits",
    "resolution_warnings",
]

_MOST = 200  # masks that are looked at, of each kind


def measure_resolution_limits(
    plan: Plan, open_manifest: Callable[[DataSpec], Manifest]
) -> tuple[CellResolutionLimit, ...]:
    """Measure each size and grid of a plan; where cells cut images into tiles, on the masks of tiles."""
    groups: dict[str, list[tuple[Cell, int, int | None]]] = {}
    for cell, seed, fold in plan.first_repeats():
        # Equal where masks look alike to the method and to the evaluation.
        size, grid = _size_and_grid(cell)
        key = canonical_json([cell.data.identity, size, repr(grid)])
        groups.setdefault(key, []).append((cell, seed, fold))
    measured = ((group, _measure(group, open_manifest)) for group in groups.values())
    return tuple(
        CellResolutionLimit(cells=tuple(dict.fromkeys(cell.name for cell, _, _ in group)), limit=limit)
        for group, limit in measured
        if limit is not None
    )


def _size_and_grid(cell: Cell) -> tuple[tuple[int, int], Grid | None]:
    trainable = find_trainable(cell.trainable)
    config = trainable.Config.model_validate(cell.config)
    return config.image_size, trainable.grid(config)


def _measure(
    group: Sequence[tuple[Cell, int, int | None]], open_manifest: Callable[[DataSpec], Manifest]
) -> ResolutionLimit | None:
    from trainables.data.splits import make_split
    from trainables.data.tiles import TileShape

    cell = group[0][0]
    size, grid = _size_and_grid(cell)
    manifest = open_manifest(cell.data)
    splits: list[Split] = [
        make_split(manifest, each.data, each.supervision, seed, fold) for each, seed, fold in group
    ]
    seen = dict.fromkeys(sample for split in splits for sample in split.masks)
    tiles = cell.data.tiles
    shape = None if tiles is None else TileShape(tiles, *size)

    # Training masks tell what can be learnt at this size, and test masks how well defects can be met at best.
    limit = measure_resolution_limit(
        islice(_masks(manifest, tuple(seen), shape), _MOST),
        (mask for _, mask in islice(_masks(manifest, splits[0].test, shape), _MOST)),
        size,
        grid,
    )
    return limit if limit is None or tiles is None else limit.model_copy(update={"tiles": True})


def _masks(
    manifest: Manifest, samples: Sequence[str], shape: TileShape | None
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Samples with their masks in a fixed random order, or with those of their tiles that show a defect."""
    from trainables.data.files.sources import decode_mask, read_bytes
    from trainables.data.seeds import shuffled

    rows = {sample: manifest.by_sample[sample] for sample in samples}
    known = {sample: row.mask for sample, row in rows.items() if row.mask is not None}
    for sample in shuffled(known, 0):
        data = read_bytes(manifest.mask_root or manifest.root, known[sample])
        mask = decode_mask(data, manifest.mask_above, manifest.indices)
        if shape is None:
            yield sample, mask
            continue
        parts = (shape.mask_of(place, mask) for place in shape.places(shape.scaled(*mask.shape)))
        yield from ((sample, part) for part in parts if part.any())


def least_dilation(
    manifest: Manifest, samples: Sequence[str], size: tuple[int, int], tiles: Tiles | None, published: int
) -> int:
    """The least side of SegDecNet's square with which half of these masks fill half of a cell; odd.

    Args:
        manifest: All images.
        samples: Images that masks are learnt from; 50 masks are looked at.
        size: Height and width of the network's input.
        tiles: What images are cut into.
        published: The side of the published settings: less is never said, nor more where no side up to 99
            helps.
    """
    from trainables.data.tiles import TileShape

    trainable = find_trainable("segdec")
    shape = None if tiles is None else TileShape(tiles, *size)
    masks = [mask for _, mask in islice(_masks(manifest, samples, shape), 50)]

    def teaching(side: int) -> int:
        grid = trainable.grid(trainable.Config.model_validate({"image_size": size, "dilation": side}))
        return sum(teaches_a_defect(mask, size, grid) for mask in masks if grid is not None)

    return next((side for side in range(published, 100, 2) if 2 * teaching(side) >= len(masks)), published)


def format_resolution_limit(limit: ResolutionLimit) -> str:
    """A sentence on widths and attainable IoU, and one on training masks that say nothing.

    ``At 352 × 128 pixels defects are 5.1 pixels wide …``
    """
    height, width = limit.image_size
    masks = "masks of test images' tiles" if limit.tiles else "test masks"
    cells = (
        f", a map of {limit.stride}-pixel grid cells that is fitted to them reaches {limit.grid_iou:.2f}"
        if limit.stride > 1
        else ""
    )
    text = (
        f"At {height} × {width} pixels defects are {limit.width:.1f} pixels wide. The IoU of the true masks "
        f"grown by one pixel is {limit.grown_iou:.2f}{cells} ({limit.measured} {masks}, which choose "
        "nothing)."
    )
    if limit.learnt_from:
        which = f" ({summarise(limit.untaught)})" if limit.untaught else ""
        lost = f", nothing is left of {limit.vanished}" if limit.vanished else ""
        text += (
            f" Without a grid cell above 0.5 in what is learnt from: {limit.below_half} of "
            f"{limit.learnt_from} training masks{' of tiles' * limit.tiles}{which}{lost}."
        )
    return text


def attainable_iou(plan: Plan, cell: Cell) -> float | None:
    """An IoU that a map of a method's cells reaches; None where it has no cells, or nobody measured it."""
    limits = (each.limit for each in plan.resolution_limits if cell.planned_as in each.cells)
    return next((limit.grid_iou for limit in limits if limit.stride > 1), None)


def resolution_warnings(limits: Sequence[CellResolutionLimit]) -> Iterator[str]:
    """Sentences on cells in which masks cannot teach a defect."""
    for cells, limit in ((each.cells, each.limit) for each in limits):
        if limit.learnt_from and limit.below_half == limit.learnt_from:
            yield (
                "no grid cell of any training mask reaches 0.5 (median of the largest: "
                f"{limit.largest_cell:.2f}): the mask loss cannot teach a defect in {summarise(cells)}. "
                "Raise image_size, or widen masks (config.dilation)"
            )
