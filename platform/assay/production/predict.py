"""Scores and decisions for any number of image files, in bounded memory.

Threads read ahead, score (:mod:`side_by_side`) and write behind. OpenCV, zlib and torch release the
interpreter, so they wait for cores only (see docs/benchmarks.md). What is in flight is counted in
bytes of decoded pixels, so that a hundred thousand images take as much memory as a hundred.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from assay.production.annotation_files import AddOutlines
from assay.production.folder import write_inside
from assay.production.palette_png import palette_png
from assay.production.photos import Photo, read_photo
from assay.production.rows import PhotoRow, RowWriter
from assay.production.side_by_side import PhotoModel, SideBySide
from trainables.data.annotations import Polygon, outlines
from trainables.data.files.formats import BrokenImageError, examine
from trainables.data.files.names import as_text
from trainables.data.files.sources import decode_deep, decode_image
from trainables.evaluation.overlay import PALETTE, overlay_indices
from trainables.runtime.deployed import Decision, enlarge_mask

__all__ = ["Pictures", "PredictionProgress", "predict"]

BATCH = 16  # images in one prediction, as in the evaluation
_AHEAD = 4 * BATCH  # images in flight at most: read, scored or being written
_MEMORY = 512 << 20  # bytes of decoded pixels in flight
_IN_TILES = 8  # times the bytes of a photo in tiles: its heatmap, its mask and what is drawn
_DARK = 16  # grey levels: 12 bits that are read as 16 have as many
_THREADS = min(4, os.cpu_count() or 1)  # that read, and as many that write


@dataclass(frozen=True)
class Pictures:
    """Files beside the table: below ``folder`` the pictures ``masks/…`` and ``overlays/…``, and outlines."""

    folder: Path
    masks: bool = False  # 255 = defect, at the photo's own size
    overlays: bool = False  # the decision drawn over the photo
    annotations: AddOutlines | None = None  # outlines of the mask, for a labelling tool


class _Written(NamedTuple):
    """A photo of which all pictures are written."""

    photo: Photo
    row: PhotoRow
    defects: tuple[Polygon, ...] = ()


class PredictionProgress(NamedTuple):
    """Progress of a prediction."""

    done: int  # rows written
    total: int
    defective: int
    broken: tuple[str, ...]  # names of the photos that have no score, with the reason
    dark: int = 0  # photos of more than 8 bits with 16 grey levels or fewer


class _Seen(NamedTuple):
    """A photo that was read: its pixels as the model is given them, or why there are none."""

    photo: Photo
    small: NDArray[np.uint8] | None
    size: tuple[int, int]  # of the photo: height, width
    original: NDArray[np.uint8] | None  # kept where an overlay is drawn on it
    error: str | None
    dark: bool = False

    @property
    def bytes(self) -> int:
        return sum(image.nbytes for image in (self.small, self.original) if image is not None)


def predict(
    model: PhotoModel,
    photos: Sequence[Photo],
    rows: RowWriter,
    pictures: Pictures,
    on_progress: Callable[[PredictionProgress], None],
) -> PredictionProgress:
    """Score ``photos`` in their order, and write a row and the pictures of each.

    A photo that cannot be read gets a row that says why. An interruption (Ctrl-C) keeps the rows of all
    photos that were scored before it.

    Raises:
        OSError: If something cannot be written; the rows until then are kept.
    """
    return _Pipeline(model, photos, rows, pictures, on_progress).run()


class _Pipeline:
    def __init__(
        self,
        model: PhotoModel,
        photos: Sequence[Photo],
        rows: RowWriter,
        pictures: Pictures,
        on_progress: Callable[[PredictionProgress], None],
    ) -> None:
        self._model, self._pictures, self._on_progress = model, pictures, on_progress
        self._todo: Iterator[Photo] = iter(photos)
        self._rows = rows
        self._progress = PredictionProgress(0, len(photos), 0, ())
        self._reads: deque[Future[_Seen]] = deque()
        self._batch: list[_Seen] = []
        self._scores: deque[tuple[list[_Seen], Future[Decision] | None]] = deque()
        self._writes: deque[Future[_Written]] = deque()
        self._largest = 0  # bytes of the largest photo so far
        self._reader = ThreadPoolExecutor(_THREADS, "assay-read")
        self._writer = ThreadPoolExecutor(_THREADS, "assay-write")
        self._at_once = 1 if model.card.tiles else BATCH
        self._scorer = SideBySide(model, -(-len(photos) // self._at_once))

    def run(self) -> PredictionProgress:
        with ExitStack() as stack:
            # Undone in this order: no further reads, then the pictures in hand and their rows.
            stack.callback(self._writer.shutdown)
            stack.callback(self._finish_rows)
            stack.callback(self._hand_over_scored)
            stack.enter_context(self._scorer)
            stack.callback(self._reader.shutdown, cancel_futures=True)

            # Photos are read ahead, batches scored and pictures written at the same time, as many as memory
            # has room for. The order of the rows stays that of the photos.
            while self._read_on() or self._batch or self._scores:
                if self._reads:
                    seen = self._reads.popleft().result()
                    self._largest = max(self._largest, seen.bytes)
                    self._batch.append(seen)
                if self._batch and (len(self._batch) == self._at_once or not self._reads):
                    self._score_batch()
                while len(self._scores) > self._scorer.count or (self._scores and not self._reads):
                    self._hand_over()
                self._collect()
        return self._progress

    def _read_on(self) -> bool:
        """Keep the readers busy; returns whether there is a photo to wait for."""
        while True:
            # Photos in flight are bounded by memory, so that a folder of any size can be predicted.
            if self._in_flight() < self._room():
                photo = next(self._todo, None)
                if photo is None:
                    break
                self._reads.append(self._reader.submit(self._read, photo))
            elif self._writes and not self._reads:  # the writers lag: rather wait than score a small batch
                self._finish_row()
            elif self._scores and not self._reads:
                self._hand_over()
            else:
                break
        return bool(self._reads)

    def _in_flight(self) -> int:
        scored = sum(len(batch) for batch, _ in self._scores)
        return len(self._reads) + len(self._batch) + scored + len(self._writes)

    def _room(self) -> int:
        """Photos in flight at most: few until the first sizes are known."""
        in_tiles = self._model.card.tiles is not None
        if not self._largest:
            return 1 if in_tiles else _THREADS
        return max(1, min(_AHEAD, _MEMORY // (self._largest * (_IN_TILES if in_tiles else 1))))

    def _read(self, photo: Photo) -> _Seen:
        card = self._model.card
        try:
            data = read_photo(photo.path)
            image = decode_image(data, card.channels, card.white)
        except BrokenImageError as error:
            return _Seen(photo, None, (0, 0), None, str(error))
        size = (image.shape[0], image.shape[1])
        kept = image if self._pictures.overlays else None
        dark = int(image.max()) < _DARK and examine(data).samples != "uint8"
        stored = self._model.sees_stored
        given = decode_deep(data, card.channels, card.white) if stored else self._model.prepare(image)
        return _Seen(photo, given, size, kept, None, dark)

    def _score_batch(self) -> None:
        dark = self._progress.dark + sum(seen.dark for seen in self._batch)
        self._progress = self._progress._replace(dark=dark)
        batch, self._batch = self._batch, []
        small = [seen.small for seen in batch if seen.small is not None]
        self._scores.append((batch, self._scorer.decide(small) if small else None))

    def _hand_over_scored(self) -> None:
        """Hand over what an interruption left scored."""
        while self._scores:
            _, scored = self._scores[0]
            if scored is not None and (scored.cancelled() or scored.exception() is not None):
                break
            self._hand_over()

    def _hand_over(self) -> None:
        """Hand the oldest batch to the writers, as soon as it is scored."""
        batch, scored = self._scores[0]
        # An interruption while it waits loses nothing.
        decisions = None if scored is None else scored.result()
        self._scores.popleft()

        # Photos that could not be read were not scored, and have no place in the answer.
        at = 0
        for seen in batch:
            if seen.small is None or decisions is None:
                self._writes.append(_broken(seen.photo, seen.error or ""))
                continue
            score, heatmap = float(decisions.score[at]), decisions.heatmap[at]
            if not (0 <= score <= 1 and heatmap.min() >= 0 and heatmap.max() <= 1):  # NaN is in no range
                text = f"the model gave no number within [0, 1] for it (score {score:g})"
                self._writes.append(_broken(seen.photo, text))
            else:
                decision, mask = bool(decisions.decision[at]), decisions.mask[at].copy()
                self._writes.append(self._writer.submit(self._write, seen, score, decision, mask))
            at += 1

    def _write(self, seen: _Seen, score: float, decision: bool, small: NDArray[np.bool_]) -> _Written:
        # A mask is decided at the network's size, and drawn at the photo's own.
        mask = enlarge_mask(small, seen.size)
        mask_path = overlay_path = None
        if self._pictures.masks:
            mask_path = self._picture("masks", seen.photo, _grey_png(mask * np.uint8(255)))
        if seen.original is not None:
            drawn = palette_png(overlay_indices(seen.original, mask), PALETTE)
            overlay_path = self._picture("overlays", seen.photo, drawn)
        defects = () if self._pictures.annotations is None else tuple(outlines(mask))
        row = PhotoRow(
            image=seen.photo.name,
            score=score,
            decision=decision,
            defect_pixels=int(np.count_nonzero(mask)),
            height=seen.size[0],
            width=seen.size[1],
            mask=mask_path,
            overlay=overlay_path,
            error=None,
        )
        return _Written(seen.photo, row, defects)

    def _picture(self, kind: str, photo: Photo, png: bytes) -> str:
        """Write one file; returns its path below the folder."""
        place = kind / photo.place
        write_inside(self._pictures.folder / place, png)
        return as_text(place)

    def _collect(self) -> None:
        while self._writes and self._writes[0].done():
            self._finish_row()

    def _finish_rows(self) -> None:
        while self._writes:
            self._finish_row()

    def _finish_row(self) -> None:
        photo, row, defects = self._writes[0].result()  # an interruption while it waits loses nothing
        self._writes.popleft()
        self._rows.add(row)
        if self._pictures.annotations is not None and row.error is None:
            self._pictures.annotations(photo, row, defects)
        done, total, defective, broken, dark = self._progress
        if row.error is not None:
            broken = (*broken, f"{row.image}: {row.error}")
        self._progress = PredictionProgress(done + 1, total, defective + bool(row.decision), broken, dark)
        self._on_progress(self._progress)


def _grey_png(picture: NDArray[np.uint8]) -> bytes:
    written, data = cv2.imencode(".png", picture)
    assert written, "a uint8 picture of 1 channel"
    return data.tobytes()


def _broken(photo: Photo, error: str) -> Future[_Written]:
    future: Future[_Written] = Future()
    future.set_result(_Written(photo, PhotoRow(photo.name, None, None, None, None, None, None, None, error)))
    return future
