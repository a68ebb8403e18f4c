"""Pictures of a study: the same test images in every cell, prediction against truth, and what led to it.

They are drawn from the maps that trials kept of their probe images (``keep.probes``). No model is loaded and
nothing is predicted again, so a picture costs seconds, and shows probe images only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from assay.analysis.names import variant_name
from assay.analysis.results.results import ReadPart, StudyResults
from assay.analysis.summary import Repeat
from assay.storage.record import Record
from assay.storage.store import Store
from assay.study import Trial
from trainables.errors import InputError
from trainables.evaluation.heatmaps import THRESHOLD_LEVEL, read_probe
from trainables.evaluation.overlay import contact_sheet, heat_overlay, overlay

__all__ = ["decision_picture", "lineage_sheet", "lineage_sheets", "overlay_sheet", "records_with_maps"]

_ROWS = 6  # probe images at most, of those that all columns have; defective ones first, then by name
_MAPS = "maps.parquet"  # of a trial: its probe images
_UNSAFE = re.compile(r"[^\w\-.]+")  # in file names


def overlay_sheet(results: StudyResults, store: Store) -> NDArray[np.uint8]:
    """Six probe images in rows, cells in columns, all of one repeat: the first with maps in the most cells.

    Args:
        results: The study; cells without maps in that repeat have no column.
        store: Where the records' maps lie.

    Returns:
        H × W × 3, uint8, BGR: the photo, the decision at validation's pixel threshold filled, the truth
        outlined.

    Raises:
        InputError: If no finished trial has kept maps, or the cells have no image in common.
    """
    maps = {
        variant_name(results, cell): {row["sample"]: row for row in table.to_pylist()}
        for cell, record in _fullest_repeat(results, store).items()
        if (table := store.read_part(record, _MAPS)) is not None and table.num_rows
    }
    if not maps:
        raise InputError(
            "a picture needs a finished trial with probe images, and none of the "
            f"{len(results.records)} records has any yet. Run the study, with keep.probes above 0."
        )
    first, *others = maps.values()
    common = [sample for sample in first if all(sample in other for other in others)]
    if not common:
        raise InputError(
            f"a picture compares cells on the same images, and {'; '.join(maps)} share no probe image: "
            "a factor changes the data. `assay report` compares their numbers."
        )
    chosen = _chosen([first[sample] for sample in common], _ROWS)
    return contact_sheet(
        [(sample, [decision_picture(probes[sample]) for probes in maps.values()]) for sample in chosen],
        list(maps),
    )


def lineage_sheets(results: StudyResults, store: Store) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """File name and :func:`lineage_sheet` of each cell whose model shows its stages.

    They are of the repeat that :func:`overlay_sheet` shows.
    """
    for number, (cell, record) in enumerate(_fullest_repeat(results, store).items()):
        sheet = lineage_sheet(store, record)
        if sheet is not None:
            yield f"{number:02d}-{_UNSAFE.sub('_', cell)[:80]}.png", sheet


def lineage_sheet(store: Store, record: Record, rows: int = _ROWS) -> NDArray[np.uint8] | None:
    """Probe images in rows; photo, truth and the stages of the model in columns.

    Args:
        store: Where the record's files lie.
        record: Of one trial.
        rows: Probe images at most, defective ones first, then by name.

    Returns:
        H × W × 3, uint8, BGR: each map as colour over the photo, with the truth outlined. None where the
        model shows no stages, or no probe images are kept.
    """
    maps, lineage = (store.read_part(record, f"{part}.parquet") for part in ("maps", "lineage"))
    if maps is None or lineage is None or not lineage.num_rows:
        return None
    probes = {row["sample"]: row for row in maps.to_pylist()}
    stages: dict[str, list[dict[str, Any]]] = {}
    for row in lineage.sort_by("order").to_pylist():
        stages.setdefault(row["sample"], []).append(row)
    chosen = _chosen(list(probes.values()), rows)
    columns = ["photo", "truth", *(row["stage"] for row in stages[chosen[0]])]
    return contact_sheet(
        [(sample, _draw_lineage(probes[sample], stages[sample])) for sample in chosen], columns
    )


def _chosen(rows: list[dict[str, Any]], count: int) -> list[str]:
    """Samples that are shown: defective ones first, then by name."""
    return [row["sample"] for row in sorted(rows, key=lambda row: (not row["label"], row["sample"]))[:count]]


def records_with_maps(
    results: StudyResults, trials: Sequence[Trial], read_part: ReadPart
) -> dict[Repeat, dict[str, Record]]:
    """Repeat → cell → record, of the trials that kept probe images; the repeat of the most cells first.

    A trial that kept none has a table without a row, also when its study asks for images later. Such tables
    are the same bytes in every trial, so one is read of those that several trials have. Of a study that keeps
    none now, and shows what others kept of its trials, those that one trial has are read, too.
    """
    with_file: dict[str, Record] = {}
    for trial in trials:
        record = results.records.get(trial.id)
        if record is not None and _hash_of_maps(record) is not None:
            with_file[trial.id] = record
    how_many = Counter(map(_hash_of_maps, with_file.values()))
    least = 2 if results.plan.study.keep.probes else 1
    one_of_each = {_hash_of_maps(record): record for record in with_file.values()}
    empty = {
        digest
        for digest, record in one_of_each.items()
        if how_many[digest] >= least and not _has_rows(record, read_part)
    }
    kept: dict[Repeat, dict[str, Record]] = {}
    for trial in trials:
        record = with_file.get(trial.id)
        if record is not None and _hash_of_maps(record) not in empty:
            kept.setdefault(Repeat(trial.seed, trial.fold), {})[trial.cell] = record
    return dict(sorted(kept.items(), key=lambda of_repeat: -len(of_repeat[1])))


def _hash_of_maps(record: Record) -> str | None:
    return record.files.get(f"{record.attempt}/{_MAPS}")


def _has_rows(record: Record, read_part: ReadPart) -> bool:
    """False where a trial kept no probe image; true where that cannot be read, which a page then says."""
    try:
        table = read_part(record, _MAPS)
    except OSError:
        return True
    return table is not None and table.num_rows > 0


def _fullest_repeat(results: StudyResults, store: Store) -> dict[str, Record]:
    """Cell → record of the repeat with maps in the most cells; empty where none has any."""
    return next(iter(records_with_maps(results, results.reported.trials, store.read_part).values()), {})


def decision_picture(row: Mapping[str, Any]) -> NDArray[np.uint8]:
    """A probe image (a row of ``maps.parquet``): the decision at its own threshold, the truth outlined."""
    probe = read_probe(row)
    truth = None if probe.defects is None else probe.defects > 0
    return overlay(probe.image, probe.levels, THRESHOLD_LEVEL, truth)


def _draw_lineage(probe: dict[str, Any], stages: list[dict[str, Any]]) -> list[NDArray[np.uint8]]:
    photo, _, defects = read_probe(probe)
    truth = None if defects is None else defects > 0
    nothing = np.zeros(photo.shape[:2], np.float32)
    pictures = [photo, heat_overlay(photo, nothing, truth)]
    for stage in stages:
        kept = cv2.imdecode(np.frombuffer(stage["png"], np.uint8), cv2.IMREAD_COLOR)
        assert kept is not None, "lineage.parquet holds readable PNGs"
        picture = kept.astype(np.uint8)
        is_map = stage["kind"] == "map"
        pictures.append(heat_overlay(photo, picture[:, :, 0] / np.float32(255), truth) if is_map else picture)
    return pictures
