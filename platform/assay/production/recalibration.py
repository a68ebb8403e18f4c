"""A new image threshold for an exported model, from photos of good parts, without training.

The scores of the photos choose the threshold with a promise on false alarms
(:mod:`trainables.evaluation.operating_point`). Graph, card and README of the export are written anew into
another folder. Nothing else of the model changes. Good photos say nothing on escapes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.production.export import model_card
from assay.production.export_format import ExportFormat
from assay.production.folder import new_folder
from assay.production.onnx_file import OnnxModel, load_onnx, set_image_threshold
from assay.production.photos import Photo, in_mask_folders, read_photo
from assay.study.names import counted
from trainables.data.files.formats import BrokenImageError
from trainables.data.files.names import as_text
from trainables.data.files.sources import decode_image
from trainables.data.inspect.findings import summarise
from trainables.data.items import item_of
from trainables.data.threshold import FalseAlarms, threshold_text
from trainables.errors import InputError
from trainables.evaluation.metrics.inputs import ImageScores
from trainables.evaluation.operating_point import choose_by_promise, refuse_too_few
from trainables.evaluation.scorer import KeptPromise
from trainables.runtime.deployed import Card

__all__ = ["recalibrate"]

_FILE = "model.onnx"
_BATCH = 16
_WAY_OUT = "Add photos of good parts, raise --false-alarms, or lower --sure."


class _GoodPhoto(NamedTuple):
    """A photo of a good part."""

    name: str
    part: str  # photos of a part, and copies of a file, have one name
    score: float


def recalibrate(
    model: OnnxModel,
    photos: Sequence[Photo],
    promise: FalseAlarms,
    *,
    source: Path,
    output: Path,
    export: ExportFormat,
    say: Callable[[str], None],
) -> Card:
    """Set the image threshold of an exported model by photos of good parts, and write it anew.

    Args:
        model: What was read from ``source``, with the white point of the photos on its card.
        photos: Of good parts, which nothing else has read.
        promise: On new parts like these.
        source: Folder of the export.
        output: New folder.
        export: The format, which says how the model is called.
        say: Takes a line on the progress.

    Returns:
        The card of what was written.

    Raises:
        InputError: If the model reads tiles, a photo cannot be read, there are too few parts for the promise,
            or no threshold keeps it that would decide anything defective.
    """
    if model.card.tiles is not None:
        raise InputError(
            f"a threshold is set anew by scores of whole photos, and {source} scores tiles. Put photos of "
            "the new line into the study's data, and let data.calibration choose a data.threshold that "
            "promises."
        )
    _refuse_masks(photos)
    # A part counts once, by its highest score; a second copy of a file is no second part.
    good = _good_photos(model, photos, say)
    parts: dict[str, float] = {}
    for photo in good:
        parts[photo.part] = max(parts.get(photo.part, 0.0), photo.score)
    scores = np.array(list(parts.values()))
    refuse_too_few(promise, len(scores), 0, "these photos", _WAY_OUT)
    point = choose_by_promise(ImageScores(np.zeros(len(scores), np.bool_), scores, 0.0), promise)
    if point.threshold > 1:
        highest = [photo.name for photo in good if photo.score >= 1]
        raise InputError(
            f"a score is 1 at most, and {counted(len(highest), 'good photo')} reach it "
            f"({summarise(highest)}): only a threshold that decides nothing defective would keep the "
            "promise. Take these photos away if they show defects, or train on photos of this line."
        )

    # The card says what the threshold rests on, and what it was.
    before = model.card.thresholds
    thresholds = before.model_copy(
        update={
            "image": point.threshold,
            "image_source": f"recalibration: {threshold_text(promise)}",
            "promise": KeptPromise(
                rule=promise, wrong=point.wrong, parts=point.parts, source="recalibration"
            ),
        }
    )
    trained = before.image if model.card.trained_threshold is None else model.card.trained_threshold
    card = model.card.model_copy(
        update={
            "thresholds": thresholds,
            "trained_threshold": trained,
            "recalibrated": datetime.now(UTC).replace(microsecond=0),
            "test_errors": {},
        }
    )
    with new_folder(output) as folder:
        set_image_threshold(source / _FILE, card, folder / _FILE)
        checked = _check(load_onnx(folder / _FILE), model, photos)
        (folder / "README.md").write_text(model_card(card, export.usage(card), checked), encoding="utf-8")
    return card


def _refuse_masks(photos: Sequence[Photo]) -> None:
    """Refuse files that may be masks: scored as photos they would choose the threshold too."""
    named: dict[Path, Photo] = {}
    masks = [photo.name for photo in in_mask_folders(photos)]
    for photo in photos:
        other = named.setdefault(photo.path.with_suffix(""), photo)
        if other is not photo:
            masks.append(f"{other.name} beside {photo.name}")
    if masks:
        raise InputError(
            f"a promise rests on photos of good parts alone, found {counted(len(masks), 'file')} that may be "
            f"masks ({summarise(masks)}). Name the photos alone, such as 'good/*.jpg'."
        )


def _good_photos(model: OnnxModel, photos: Sequence[Photo], say: Callable[[str], None]) -> list[_GoodPhoto]:
    """The scores of photos, and the parts that they show."""
    pattern = model.card.item
    good: list[_GoodPhoto] = []
    remaining = iter(photos)
    while batch := list(islice(remaining, _BATCH)):
        data = [_bytes_of(photo) for photo in batch]
        scores = model.decide([_prepared(model, *each) for each in zip(batch, data, strict=True)]).score
        for photo, content, score in zip(batch, data, scores, strict=True):
            if not 0 <= score <= 1:  # NaN is in no range
                raise InputError(f"a score is within [0, 1], found {score:g} for {photo.name}.")
            item = None if pattern is None else item_of(pattern, PurePath(as_text(photo.path.absolute())))
            good.append(_GoodPhoto(photo.name, item or hashlib.sha256(content).hexdigest(), float(score)))
        say(f"{len(good)}/{len(photos)} good photos")
    return good


def _bytes_of(photo: Photo) -> bytes:
    try:
        return read_photo(photo.path)
    except BrokenImageError as error:
        raise _unreadable(photo, error) from error


def _prepared(model: OnnxModel, photo: Photo, data: bytes) -> NDArray[np.uint8]:
    try:
        return model.prepare(decode_image(data, model.card.channels, model.card.white))
    except BrokenImageError as error:
        raise _unreadable(photo, error) from error


def _unreadable(photo: Photo, error: BrokenImageError) -> InputError:
    return InputError(f"{photo.name}: {error}. A promise rests on all photos: mend it, or take it away.")


def _check(written: OnnxModel, before: OnnxModel, photos: Sequence[Photo]) -> str:
    """Ask the written model about some of the photos: scores as before, decisions by the new threshold."""
    few = [_prepared(before, photo, _bytes_of(photo)) for photo in photos[:_BATCH]]
    old, new = before.decide(few), written.decide(few)
    assert np.array_equal(old.score, new.score), "only the threshold was changed"
    assert np.array_equal(new.decision, new.score >= written.card.thresholds.image), "it stands in the graph"
    return (
        f"{counted(len(few), 'photo')} of good parts: scores as before the recalibration, decisions by the "
        "new threshold"
    )
