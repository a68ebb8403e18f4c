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
    """Probe images in rows, cells in columns, from the first repeat that is finished in every cell shown.

    Args:
        plan: The study; its first finished repeat gives the columns.
        store: Where the records' maps lie.
        records: By trial id.
        rows: Probe images, defective ones first, in the order of the data set.

    Returns:
        H × W × 3, uint8, BGR: the photo, the decision at validation's pixel threshold filled, the truth
        outlined.

    Raises:
        InputError: If no finished trial has kept maps.
    """
    maps = _first_repeat(plan, store, records)
    if not maps:
        raise InputError(
            "a picture needs a finished trial with probe images, and there is none yet. Run the study, with "
            "keep.probes above 0."
        )
    first = next(iter(maps.values()))
    chosen = sorted(first, key=lambda sample: (not first[sample]["label"], sample))[:rows]
    return contact_sheet(
        [(sample, [_draw(probes[sample]) for probes in maps.values()]) for sample in chosen], list(maps)
    )


def _first_repeat(
    plan: Plan, store: Store, records: Mapping[str, Record]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Cell → sample → row of its maps, of one (seed, fold): the same images in every cell."""
    repeats = dict.fromkeys((trial.seed, trial.fold) for trial in plan.trials)
    for seed, fold in repeats:
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for trial in plan.trials:
            record = records.get(trial.id)
            if (trial.seed, trial.fold) != (seed, fold) or record is None:
                continue
            table = store.read_part(record, "maps.parquet")
            if table is not None and table.num_rows:
                found[trial.cell] = {row["sample"]: row for row in table.to_pylist()}
        if found:
            return found
    return {}


def _draw(row: dict[str, Any]) -> NDArray[np.uint8]:
    probe = read_probe(row)
    truth = None if probe.defects is None else probe.defects > 0
    return overlay(probe.image, probe.levels, THRESHOLD_LEVEL, truth)
