"""Comparison of an exported model with the trial's own on real photos, before an export is in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.storage import Record, Store
from assay.study import Trial
from trainables.data import READERS, Manifest, make_split, open_manifest
from trainables.data.files.formats import BrokenImageError
from trainables.data.files.sources import decode_deep, decode_image, read_bytes, resize_image
from trainables.errors import InputError
from trainables.evaluation.heatmaps import read_probe
from trainables.evaluation.model_scorer import ModelScorer
from trainables.evaluation.same_scores import refuse_changing_scores
from trainables.evaluation.scorer import IMAGES_AT_ONCE
from trainables.runtime.deployed import Decision, DeployedModel

__all__ = [
    "TOLERANCE",
    "Check",
    "CheckPhotos",
    "Decide",
    "check_export",
    "check_photos",
    "refuse_changing_model",
]

TOLERANCE = 1e-3  # of scores and heatmaps, which are in [0, 1]
_PHOTOS = 64  # of the test images, spread over all
_BATCH = 3


# Scores and decides photos (H × W × C) that are all of one size.
Decide = Callable[[Sequence[NDArray[np.uint8]]], Decision]


@dataclass(frozen=True)
class CheckPhotos:
    """Photos on which two models are compared."""

    source: str  # what they are, in words
    photos: Callable[[], Iterator[NDArray[np.uint8]]]  # H × W × C each, decoded one by one
    recorded: tuple[float, ...] = ()  # the scores that the trial's evaluation found, if they are test images


@dataclass(frozen=True)
class Check:
    """Result of a comparison."""

    source: str
    count: int
    score: float  # largest difference
    heatmap: float
    decisions: int  # that differ
    recorded: float | None  # largest difference of the trial's model, as exported, from the recorded scores

    @property
    def passed(self) -> bool:
        """True if both differences are within the tolerance; a difference that is no number is not."""
        return self.score <= TOLERANCE and self.heatmap <= TOLERANCE

    def __str__(self) -> str:
        text = (
            f"{self.count} {self.source}: max difference of scores {self.score:.1e}, "
            f"of heatmaps {self.heatmap:.1e}; {self.decisions} decisions differ"
        )
        if self.recorded is None:
            return text
        return f"{text}; from the scores recorded at training {self.recorded:.1e}"


def check_photos(store: Store, record: Record, data: Path | None, cache: Path) -> CheckPhotos:
    """The study's test images where they can be opened, else what the trial kept.

    Synthetic images need no root, and are not the trial's where another version made those.

    Args:
        store: Where the trial lies.
        record: The trial's.
        data: Root of its data; None: not at hand.
        cache: Where archives are unpacked.

    Raises:
        InputError: If the data are not the trial's; or if there is no root and the trial kept no photos.
    """
    trial = Trial.model_validate(record.trial)
    if data is None and READERS[trial.data.reader].needs_root:
        return _kept_photos(store, record, trial)
    manifest = open_manifest(trial.data, data, cache)

    # Other images would prove nothing of this model, so their hash has to be the one that it was trained on.
    if manifest.hash == trial.manifest:
        return _test_photos(store, record, trial, manifest)
    if data is None:
        return _kept_photos(store, record, trial)
    raise InputError(
        f"the data are not those of trial {trial.id}: manifest {manifest.hash[:12]}, trained on "
        f"{trial.manifest[:12]}. Name the root of the same files with --data, or leave it out: the "
        "export is then checked on the photos that the trial kept."
    )


def check_export(exported: Decide, model: DeployedModel, photos: CheckPhotos) -> Check:
    """Compare an exported model with the trial's own (in the arithmetic of the export), photo by photo.

    Photos of one size go in threes: a graph that is right for one image only would not pass.
    """
    score = heatmap = recorded = 0.0
    count = decisions = 0
    # A program is started for each batch: it is given as many photos as it takes.
    at_once = ModelScorer(model.predictor, model.device).images_at_once
    for batch in _batches(photos.photos(), at_once if at_once > IMAGES_AT_ONCE else _BATCH):
        theirs = exported(batch)
        ours = model.decide([model.prepare(photo) for photo in batch])
        score = _larger(score, ours.score, theirs.score)
        heatmap = _larger(heatmap, ours.heatmap, theirs.heatmap)
        decisions += int((ours.decision != theirs.decision).sum())
        if photos.recorded:
            recorded = _larger(recorded, ours.score, np.array(photos.recorded[count : count + len(batch)]))
        count += len(batch)
    return Check(photos.source, count, score, heatmap, decisions, recorded if photos.recorded else None)


def refuse_changing_model(model: DeployedModel, photos: CheckPhotos) -> None:
    """Refuse a model whose scores depend on the batch, as a trial does: no export of it would be right.

    Raises:
        InputError: If they do.
    """
    size = None if model.sees_stored else model.card.image_size
    images = (photo if size is None else resize_image(photo, size) for photo in photos.photos())
    few = {f"photo {number}": image for number, image in enumerate(islice(images, _BATCH), 1)}
    refuse_changing_scores(ModelScorer(model.predictor, model.device), few, model.card.precision)


def _test_photos(store: Store, record: Record, trial: Trial, manifest: Manifest) -> CheckPhotos:
    """Choose 64 test images at most, spread over all of them."""
    test = make_split(manifest, trial.data, trial.supervision, trial.seed, trial.fold).test
    chosen = [test[i] for i in np.linspace(0, len(test) - 1, min(_PHOTOS, len(test))).round().astype(int)]
    table = store.read_part(record, "predictions.parquet")

    # With the scores that were recorded when it was trained, the trial's own model is checked as well:
    # another machine or library may say something else.
    scores: dict[str, float] = {}
    if table is not None:
        scores = dict(zip(table["sample"].to_pylist(), table["score"].to_pylist(), strict=True))
    channels, tiles = trial.config["channels"], trial.data.tiles
    decode = decode_deep if _is_given_stored(trial) else decode_image

    def photos() -> Iterator[NDArray[np.uint8]]:
        for sample in chosen:
            row = manifest.by_sample[sample]
            try:
                photo = decode(read_bytes(manifest.root, row.image), channels, manifest.white)
            except BrokenImageError as error:
                raise InputError(f"{row.image}: {error.advice}.") from error
            yield photo if tiles is None else resize_image(photo, (tiles.height, tiles.width))

    if tiles is not None:
        return CheckPhotos(f"of {len(test)} test images, each shrunken to a tile", photos)
    known = all(sample in scores for sample in chosen)
    return CheckPhotos(
        f"of {len(test)} test images", photos, tuple(scores[sample] for sample in chosen) if known else ()
    )


def _kept_photos(store: Store, record: Record, trial: Trial) -> CheckPhotos:
    """The small photos of test images that the trial kept with its heatmaps."""
    channels, tiles = trial.config["channels"], trial.data.tiles
    if _is_given_stored(trial):
        raise InputError(
            f"an export of trial {record.id} is checked on images as stored (`images: stored`), found small "
            "photos alone that it kept. Name the root of its data with --data."
        )
    table = store.read_part(record, "maps.parquet")
    if table is None or not table.num_rows:
        raise InputError(
            f"trial {record.id} kept no photos to check an export on (`keep: {{probes: 0}}`). Name the root "
            "of its data with --data."
        )

    def photos() -> Iterator[NDArray[np.uint8]]:
        for row in table.to_pylist():
            image = read_probe(row).image
            photo = image if channels == 3 else image[:, :, :1]
            yield photo if tiles is None else resize_image(photo, (tiles.height, tiles.width))

    return CheckPhotos("small photos that the trial kept", photos)


def _is_given_stored(trial: Trial) -> bool:
    """True of a program whose images have all their bits and pixels: its recorded scores are of those."""
    return trial.config.get("images") == "stored"


def _batches(photos: Iterator[NDArray[np.uint8]], at_once: int) -> Iterator[list[NDArray[np.uint8]]]:
    """So many photos of one size at a time."""
    for _, alike in groupby(photos, key=lambda photo: photo.shape):
        while batch := list(islice(alike, at_once)):
            yield batch


def _larger(
    so_far: float, ours: NDArray[np.floating], theirs: NDArray[np.floating] | Sequence[float]
) -> float:
    """The larger of ``so_far`` and the largest difference; NaN stays NaN and is within no tolerance."""
    return float(np.maximum(so_far, np.abs(ours - np.asarray(theirs)).max()))
