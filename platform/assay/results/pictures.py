"""One picture of a study: the same test images in every cell, prediction against truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.results.record import Record
from assay.results.store import Store
from assay.study import Plan
from trainables.errors import InputError
from trainables.maps import THRESHOLD_LEVEL, read_probe
from trainables.overlay import contact_sheet, overlay

__all__ = ["overlay_sheet"]


def overlay_sheet(
    plan: Plan, store: Store, records: Mapping[str, Record], rows: int = 6
) -> NDArray[np.uint8]:
    """Probe images in rows, cells in columns, all of one repeat: the first with maps in the most cells.

    Args:
        plan: The study; cells without maps in that repeat have no column.
        store: Where the records' maps lie.
        records: By trial id.
        rows: Probe images at most, of those that all columns have; defective ones first, then by name.

    Returns:
        H × W × 3, uint8, BGR: the photo, the decision at validation's pixel threshold filled, the truth
        outlined.

    Raises:
        InputError: If no finished trial has kept maps, or the cells have no image in common.
    """
    maps = _fullest_repeat(plan, store, records)
    if not maps:
        raise InputError(
            "a picture needs a finished trial with probe images, and there is none yet. Run the study, with "
            "keep.probes above 0."
        )
    first, *others = maps.values()
    common = [sample for sample in first if all(sample in other for other in others)]
    if not common:
        raise InputError(
            f"a picture compares cells on the same images, and {', '.join(maps)} share no probe image: "
            "a factor changes the data. `assay report` compares their numbers."
        )
    chosen = sorted(common, key=lambda sample: (not first[sample]["label"], sample))[:rows]
    return contact_sheet(
        [(sample, [_draw(probes[sample]) for probes in maps.values()]) for sample in chosen], list(maps)
    )


def _fullest_repeat(
    plan: Plan, store: Store, records: Mapping[str, Record]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Cell → sample → row of its maps, of one (seed, fold); empty when no trial has kept any."""
    with_maps: dict[tuple[int, int | None], list[Record]] = {}
    for trial in plan.trials:
        record = records.get(trial.id)
        if record is not None and f"{record.attempt}/maps.parquet" in record.files:
            with_maps.setdefault((trial.seed, trial.fold), []).append(record)
    cells = {trial.id: trial.cell for trial in plan.trials}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for record in max(with_maps.values(), key=len, default=[]):  # of equally full ones the first
        table = store.read_part(record, "maps.parquet")
        if table is not None and table.num_rows:
            found[cells[record.id]] = {row["sample"]: row for row in table.to_pylist()}
    return found


def _draw(row: dict[str, Any]) -> NDArray[np.uint8]:
    probe = read_probe(row)
    truth = None if probe.defects is None else probe.defects > 0
    return overlay(probe.image, probe.levels, THRESHOLD_LEVEL, truth)
