"""Pictures of validation images for agents. An image that is a test image of any study is none of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from assay.extras.agents.terms import OutOfBoundsError, Terms
from assay.production.model import load_model, model_files
from assay.storage import Record, Store
from assay.storage.plans import written_plan
from assay.storage.preregistration import read_preregistrations
from assay.study import Plan, SearchPlan, Trial
from trainables.data import load_evaluation, make_split, open_images, open_manifest
from trainables.data.spec import DataSpec, Supervision
from trainables.data.stored import StoredImages
from trainables.errors import InputError
from trainables.evaluation.overlay import Picture, contact_sheet, overlay

if TYPE_CHECKING:
    from assay.analysis.results.results import StudyResults

__all__ = ["tested_images", "validation_picture"]

_MOST = 6  # images of a picture


def validation_picture(results: StudyResults, terms: Terms, cell: str, images: list[str] | None) -> bytes:
    """Draw photos of one repeat of a cell with the decision of its model, and the truth that training saw.

    Args:
        results: The study.
        terms: Where data and cache lie.
        cell: Of which a trial with a model is drawn.
        images: Names of validation images, 6 at most; none: the first ones, defective ones before others.

    Returns:
        A PNG.

    Raises:
        InputError: If no model of the cell is kept.
        OutOfBoundsError: If an image is asked for that is no validation image, or a test image anywhere.
    """
    trial, record = _trained(results, cell)
    manifest = open_manifest(trial.data, terms.data, terms.cache)
    split = make_split(manifest, trial.data, trial.supervision, trial.seed, trial.fold)

    # Agents see no test image of any study: one that another study tests on would be spent just the same.
    tested = tested_images(terms.store, terms.data, terms.cache)
    rows = [manifest.by_sample[sample] for sample in split.validation]
    shown = [row for row in rows if row.image_hash not in tested and row.split != "test"]
    names = [row.sample for row in sorted(shown, key=lambda row: (not row.label, row.sample))][:_MOST]
    if images:
        refused = sorted(set(images) - {row.sample for row in shown})
        if refused:
            raise OutOfBoundsError(
                f"shown are validation images that no study of the storage tests on, found {refused[0]!r}"
            )
        names = list(dict.fromkeys(images))[:_MOST]
    if not names:
        raise OutOfBoundsError(
            f"shown are validation images that no study of the storage tests on, found none of {cell}: all "
            f"{len(rows)} of its validation images are test images of another repeat or study"
        )
    model = load_model(terms.store, record)
    source = open_images(manifest, model.card.image_size, model.card.channels, terms.cache, tiles=split.tiles)

    # Only the images that are drawn are opened, and none of the test part.
    part = load_evaluation(
        manifest,
        replace(split, validation=tuple(names), test=()),
        trial.supervision,
        source,
        stored=StoredImages(manifest, model.card.channels) if model.sees_stored else None,
    )
    assert part.validation is not None, "there are names"
    sheet: list[tuple[str, list[Picture]]] = []
    for name in names:
        image, masks = part.validation.images[name], part.validation.masks
        heatmap = model.decide([part.validation.given[name]]).heatmap[0]
        sheet.append((name, [overlay(image, heatmap, model.card.thresholds.pixel, masks.get(name))]))
    written, png = cv2.imencode(".png", contact_sheet(sheet, [cell]))
    assert written, "a sheet is a uint8 picture"
    return png.tobytes()


def tested_images(store: Store, data: Path | None, cache: Path) -> set[str]:
    """Hashes of all test images of all repeats of all studies of a storage.

    Raises:
        InputError: If the data of a study cannot be opened: it is not known then what may be shown.
    """
    tested: set[str] = set()
    planned = store.studies()
    for name in store.study_folders():
        if name not in planned and not read_preregistrations(store, name):
            continue  # nothing of it was trained
        for spec, supervision, seed, fold in _splits(written_plan(store, name)):
            manifest = open_manifest(spec, data, cache)
            split = make_split(manifest, spec, supervision, seed, fold)
            tested |= {manifest.by_sample[sample].image_hash for sample in split.test}
    return tested


def _splits(plan: Plan) -> list[tuple[DataSpec, Supervision, int, int | None]]:
    """Data, labels, seed and fold of each test part of a plan, those of points to come among them."""
    drawn = ((trial.data, trial.supervision, trial.seed, trial.fold) for trial in plan.trials)
    to_come = (
        (searched.cell.data, searched.cell.supervision, repeat.seed, repeat.fold)
        for searched in (plan.searched if isinstance(plan, SearchPlan) else ())
        for repeat in (*searched.repeats, *searched.fresh)
    )
    parts = {  # a published test part knows no seed, and no test part the labels
        (part[0].model_dump_json(), part[2] if part[0].splits == "per_seed" else 0, part[3]): part
        for part in chain(drawn, to_come)
    }
    return list(parts.values())


def _trained(results: StudyResults, cell: str) -> tuple[Trial, Record]:
    """The first trial of a cell whose model is kept."""
    cells = dict.fromkeys(trial.cell for trial in results.plan.trials)
    if cell not in cells:
        raise InputError(f"{results.name} has no cell {cell!r}. Its cells: {', '.join(cells)}.")
    for trial in results.plan.trials:
        record = results.records.get(trial.id)
        if trial.cell == cell and record is not None and model_files(record):
            return trial, record
    raise InputError(
        f"a picture is drawn with a model, and none of {cell} is kept. Set `keep: {{models: all}}`, or "
        "`best_per_cell` and wait until its repeats have ended."
    )
