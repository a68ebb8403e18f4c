"""Target and weights of a probe image, cell by cell: what the mask loss of a trial asked for.

Both come from the trial's settings and the mask that is kept of the probe, as if it were a training image
whose mask is given (figure 3 of Božič et al. 2021, arXiv:2104.06064). Nothing is trained or loaded.

Trade-off: the mask is known at display size (320 pixels at most) and brought to the network's. Of larger
images the maps are coarser than those of the training, and masks are widened by pixels of its input.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from assay.storage import Record
from trainables.contract import MaskTarget, Trainable
from trainables.errors import InputError
from trainables.evaluation.heatmaps import defect_numbers
from trainables.plugins.catalogue import find_trainable

__all__ = ["PICTURES", "ShownTargets", "packed_target", "shows_targets", "targets_of"]

PICTURES = ("decision", "target", "weights")  # that a grid may show; the last two are of the mask loss


class ShownTargets(NamedTuple):
    """Targets and weights of the probe images of a trial."""

    note: str  # which masks it was given, or why there is none
    maps: Mapping[str, MaskTarget]  # by sample; none for the others


def shows_targets(record: Record) -> bool:
    """True where the trial's method is at hand and tells its mask target."""
    method = _method(record)
    return method is not None and method.mask_target is not None


def targets_of(record: Record, rows: Mapping[str, Mapping[str, Any]]) -> ShownTargets:
    """The targets of a finished trial, by its rows of ``maps.parquet``."""
    method = _method(record)
    if method is None:
        return ShownTargets("its method is not at hand", {})
    if method.mask_target is None or record.result is None:
        return ShownTargets("no target that can be shown", {})
    config = method.Config.model_validate(record.trial["config"])
    given, defective = record.result.n_masks, record.result.n_positives
    note = f"{given} of {defective} given" if given else "none given"
    whole = {
        sample: row
        for sample, row in rows.items()
        if (row["full_height"], row["full_width"]) == config.image_size
    }
    if rows and not whole:
        return ShownTargets("not shown of tiles", {})
    maps = {
        sample: maps
        for sample, row in whole.items()
        if (mask := _mask(row)) is not None and (given or not row["label"])
        if (maps := method.mask_target(config, mask)) is not None
    }
    return ShownTargets(note, maps)


def packed_target(
    maps: MaskTarget | None, add: Callable[[bytes | None], list[int] | None]
) -> dict[str, Any] | None:
    """Both maps for the browser, as float32 behind zlib; ``add`` keeps bytes and gives their place."""
    if maps is None:
        return None
    height, width = maps.mask_hw.shape
    target, weights = (add(zlib.compress(map_hw.astype("<f4").tobytes())) for map_hw in maps[:2])
    return {"height": height, "width": width, "centre": maps.centre, "target": target, "weights": weights}


def _method(record: Record) -> Trainable[Any] | None:
    """None for a method of a file, or one that is not installed or cannot be loaded: all else is shown."""
    try:
        return find_trainable(record.trial["trainable"])
    except InputError:
        return None


def _mask(row: Mapping[str, Any]) -> NDArray[np.uint8] | None:
    """The mask at the network's size, 0/1; None where it is not known."""
    if row["truth"] is None:
        return None
    mask = (defect_numbers(row) > 0).astype(np.uint8)
    size = (row["full_width"], row["full_height"])
    return cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST).astype(np.uint8)
