"""Folders that go to a training program and come back, version 1 (docs/own-program.md).

::

    data/train/images/ID.png    data/train/masks/ID.png    data/train/images.csv    and the same of validation
    data/train/classes/ID.png   data/classes.txt             where the data have several classes
    images/ID.png                                            to `predict`: images alone
    answers/scores.csv          answers/maps/ID.png or ID.npy                         from it

Images are those that every method sees (at `image_size`, 8 bits, grey or colour), or as they are stored. Of
masks only those are written that the study grants, and a normal image's empty one beside them.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.data.samples import ImageSet, MaskedSample, Sample, TrainingData
from trainables.data.stored import png_of
from trainables.errors import InputError
from trainables.program.spec import ProgramLog

__all__ = [
    "EXCHANGE_VERSION",
    "Answers",
    "LogReader",
    "Scale",
    "read_answers",
    "thinned",
    "write_data",
    "write_images",
]

EXCHANGE_VERSION = 1
_COLUMNS = ("id", "label", "has_mask", "item", "class", "height", "width")
_WHITE = {"uint8": 255, "uint16": 65535}
_MOST_ROW = 1_000_000  # characters of a line of a log or of scores


class Answers(NamedTuple):
    """A program's answer to N images of H × W pixels."""

    scores: NDArray[np.float64]  # N
    maps: NDArray[np.float32]  # N × H × W


class Scale(NamedTuple):
    """Numbers of any size as numbers in [0, 1], in the same order: 0.5 is the centre."""

    centre: float
    width: float  # above 0

    def apply(self, values: NDArray[Any]) -> NDArray[np.float64]:
        z = (values.astype(np.float64) - self.centre) / self.width
        return 0.5 + 0.5 * z / (1 + np.abs(z))

    @classmethod
    def of(cls, values: NDArray[Any]) -> Scale:
        """By the median and the range between quartiles."""
        low, centre, high = np.quantile(values.astype(np.float64), (0.25, 0.5, 0.75))
        width = float(high - low) or float(values.max() - values.min()) or 1.0
        return cls(float(centre), width)


def thinned(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pixels of maps (N × H × W), enough of them for a quartile."""
    return maps[:, ::4, ::4].ravel()


# What goes to the program -----------------------------------------------------------------------------


def write_data(folder: Path, data: TrainingData, *, leave_out: bool) -> list[str]:
    """Write training and validation images, with the masks that may be seen.

    Args:
        folder: For the data; it does not exist.
        data: That a method's ``fit`` was given.
        leave_out: Leave out defective images whose mask may not be seen.

    Returns:
        Sentences on what was left out.
    """
    notes: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    # Where no mask may be seen there is nothing to tell apart.
    known = data.train.class_masks if data.supervision.reads_masks else None
    if known is not None:
        lines = "".join(f"{name}\n" for name in known.names)
        (folder / "classes.txt").write_text(lines, encoding="utf-8")
    for name, images in (("train", data.train), ("validation", data.validation)):
        part = folder / name
        (part / "images").mkdir(parents=True)
        (part / "masks").mkdir()
        rows: list[tuple[object, ...]] = []
        lacking = 0
        for i in range(0 if images is None else len(images)):
            assert images is not None, "it has images"
            sample = images[i]
            # Where masks may be read, a normal image's is known without anybody drawing it.
            image = sample.image if images.stored is None else images.stored[sample.id]
            mask = _mask(sample, image.shape[:2], reads_masks=data.supervision.reads_masks)
            if mask is None and sample.label and leave_out:
                lacking += 1
                continue
            _write_png(part / "images", sample.id, image)
            if mask is not None:
                _write_png(part / "masks", sample.id, mask)
                if (classes := _classes(images, sample, mask)) is not None:
                    _write_png(part / "classes", sample.id, classes)
            rows.append(_row(images, i, sample, has_mask=mask is not None))
        with (part / "images.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([_COLUMNS, *rows])
        if lacking:
            notes.append(
                f"{name}: {lacking} defective images without a mask are left out (without_mask: leave_out)"
            )
    return notes


def write_images(folder: Path, images: Sequence[NDArray[Any]]) -> list[str]:
    """Write images for `predict` under names that say nothing; returns the names, their ids."""
    folder.mkdir(parents=True)
    ids = [f"{i:06d}" for i in range(len(images))]
    for name, image in zip(ids, images, strict=True):
        _write_png(folder, name, image)
    return ids


def _row(images: ImageSet, i: int, sample: Sample, *, has_mask: bool) -> tuple[object, ...]:
    height, width = sample.image.shape[:2] if images.sizes is None else images.sizes[i]
    item = images.items[i] if images.items else ""
    defect = images.classes[i] if images.classes else None
    return (sample.id, int(sample.label), int(has_mask), item, defect or "", int(height), int(width))


def _mask(sample: Sample, size: tuple[int, int], *, reads_masks: bool) -> NDArray[np.uint8] | None:
    """The mask at the size of the image that is written, 0 and 255; None where nobody may see it.

    A pixel is defective where half of it is. A defect too fine for that keeps the pixels that it touches.
    """
    height, width = size
    if isinstance(sample, MaskedSample):
        # By area, as the evaluation brings masks to the network's size.
        share = cv2.resize(sample.mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        mask = share >= 0.5
        mask = mask if mask.any() else share > 0
        return mask.astype(np.uint8) * np.uint8(255)
    return np.zeros((height, width), np.uint8) if reads_masks and not sample.label else None


def _classes(images: ImageSet, sample: Sample, mask: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The class of each defective pixel of ``mask`` (1, 2, …), and 0; None where nobody knows it.

    A pixel is of the class that has most of it; one that a mask widens to is of the nearest one's.
    """
    known = images.class_masks
    if known is None:
        return None
    numbers = known.masks.get(sample.id)
    if numbers is None:
        return None if sample.label else mask
    height, width = mask.shape
    most, classes = np.zeros((height, width), np.float32), np.zeros((height, width), np.uint8)
    for number in np.unique(numbers[numbers > 0]):
        share = cv2.resize(
            (numbers == number).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA
        )
        classes[share > most] = number
        most = np.maximum(most, share)
    # A coarse drawing of all defects together may reach beyond those of each class.
    if (classes[mask > 0] == 0).any() and classes.any():
        _, nearest = cv2.distanceTransformWithLabels(
            (classes == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        of_label = np.zeros(int(nearest.max()) + 1, np.uint8)
        of_label[nearest[classes > 0]] = classes[classes > 0]
        classes = of_label[nearest]
    return np.where(mask > 0, classes, np.uint8(0))


def _write_png(folder: Path, sample: str, picture: NDArray[Any]) -> None:
    parts = PurePosixPath(sample).parts
    assert not {"/", ".."} & {*parts}, "an id names a file below a folder"
    path = folder.joinpath(*parts[:-1], f"{parts[-1]}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_of(picture))


# What comes back --------------------------------------------------------------------------------------


def read_answers(
    folder: Path,
    ids: Sequence[str],
    size: tuple[int, int],
    *,
    bounded: bool,
    stored: Sequence[tuple[int, int]] | None = None,
) -> Answers:
    """Read scores and maps of all images.

    Args:
        folder: Of the answers.
        ids: Of the images.
        size: Height and width of the maps that are returned.
        bounded: Scores and maps are in [0, 1].
        stored: Sizes of the images that were given as stored: each map has its image's, and is brought to
            ``size`` by area, as masks are. None: all have ``size``.

    Raises:
        InputError: If one is missing or is none: file, id and value are named.
    """
    # Every image must have its row and no other: a program that drops images would otherwise be measured on
    # those it kept.
    values = _read_scores(folder / "scores.csv", bounded=bounded)
    if unknown := [name for name in values if name not in set(ids)]:
        raise InputError(
            f"scores.csv has a row for each image and no other, found the id {unknown[0]!r}. "
            "An id is a file's name without .png"
        )
    if missing := [name for name in ids if name not in values]:
        raise InputError(
            f"scores.csv has a row for each image, found none for the id {missing[0]} "
            f"({len(missing)} of {len(ids)} are missing)"
        )
    sizes = [size] * len(ids) if stored is None else stored
    maps = np.stack(
        [
            _brought_to(size, _read_map(folder / "maps", name, own, bounded=bounded))
            for name, own in zip(ids, sizes, strict=True)
        ]
    )
    return Answers(np.array([values[name] for name in ids], np.float64), maps)


def _read_scores(path: Path, *, bounded: bool) -> dict[str, float]:
    if not path.is_file():
        found = ", ".join(sorted(each.name for each in path.parent.iterdir())) if path.parent.is_dir() else ""
        raise InputError(f"answers have a file scores.csv, found {found or 'nothing there'}")
    values: dict[str, float] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"id", "score"} <= {*(rows.fieldnames or ())}:
                raise InputError(
                    "scores.csv starts with the line `id,score`, found "
                    f"{','.join(rows.fieldnames or ()) or 'nothing'}"
                )
            for row in rows:
                name, text = str(row["id"]), row["score"]
                # Of two rows of one image nobody knows which is meant, and the later one would win without
                # a word.
                if name in values:
                    raise InputError(f"scores.csv has one row for each id, found {name} twice")
                values[name] = _score(name, text, bounded=bounded)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"scores.csv is a table in UTF-8, found {error}") from error
    return values


def _score(name: str, text: str | None, *, bounded: bool) -> float:
    try:
        value = float(text or "")
    except ValueError:
        raise InputError(f"scores.csv: a score is a number, found {text!r} for the id {name}") from None
    if not math.isfinite(value):
        raise FloatingPointError(
            f"scores.csv: a score is a finite number, found {text} for the id {name}: the model diverged"
        )
    if bounded and not 0 <= value <= 1:
        raise InputError(
            f"scores.csv: a score is within [0, 1], found {text} for the id {name}. Bound it, or write "
            "`scores: unbounded` into the method's file"
        )
    return value


def _brought_to(size: tuple[int, int], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map at ``size``: each pixel the mean of those that it covers."""
    if values.shape == size:
        return values
    resized = cv2.resize(values, size[::-1], interpolation=cv2.INTER_AREA)
    # Means of float32 may leave the range by a rounding.
    return np.clip(np.asarray(resized, np.float32), values.min(), values.max())


def _read_map(folder: Path, name: str, size: tuple[int, int], *, bounded: bool) -> NDArray[np.float32]:
    # Grey pictures of 8 or 16 bits become shares of their white; arrays are taken as they are.
    png, npy = folder / f"{name}.png", folder / f"{name}.npy"
    if png.is_file():
        file = f"maps/{name}.png"
        picture = cv2.imread(str(png), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
        if picture is None or picture.ndim != 2 or str(picture.dtype) not in _WHITE:
            kind = "no picture" if picture is None else f"{picture.dtype} of shape {picture.shape}"
            raise InputError(f"{file} is a grey PNG of 8 or 16 bits, found {kind} for the id {name}")
        values = picture.astype(np.float32) / np.float32(_WHITE[str(picture.dtype)])
    elif npy.is_file():
        file = f"maps/{name}.npy"
        try:
            array = np.load(npy, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise InputError(f"{file} is an array of numbers, found {error} for the id {name}") from error
        if array.dtype.kind not in "fiub":
            raise InputError(f"{file} is an array of numbers, found {array.dtype} for the id {name}")
        values = array.astype(np.float32)
    else:
        raise InputError(f"answers have a file maps/{name}.png or .npy, found neither for the id {name}")

    # What a program writes is checked here like any input, with its file and the image's id.
    if values.shape != size:
        raise InputError(
            f"{file} has the size of its image, {size[0]} × {size[1]} pixels, found "
            f"{' × '.join(map(str, values.shape))} for the id {name}"
        )
    if not np.isfinite(values).all():
        raise FloatingPointError(
            f"{file} holds finite numbers, found another for the id {name}: the model diverged"
        )
    if bounded and not (values.min() >= 0 and values.max() <= 1):
        value = float(values.min() if values.min() < 0 else values.max())
        raise InputError(
            f"{file} is within [0, 1], found {value:g} for the id {name}. Bound it, or write "
            "`scores: unbounded` into the method's file"
        )
    return values


# The log while it trains ------------------------------------------------------------------------------


class LogReader:
    """Reads the rows that a program adds to its log. A line counts when it has ended."""

    def __init__(self, log: ProgramLog, path: Path) -> None:
        self._log, self._path = log, path
        self._at, self._rest, self._line = 0, b"", 0
        self._header: list[str] | None = None

    def rows(self, *, last: bool = False) -> Iterator[tuple[int, dict[str, float]]]:
        """Epoch and numbers of each new row; ``last``: what stands behind the last line's end is a line too.

        Raises:
            InputError: If a row has no epoch, or is none.
        """
        if self._path.is_file():
            with self._path.open("rb") as file:
                file.seek(self._at)
                self._rest += file.read(_MOST_ROW)
                self._at = file.tell()

        # The program may be in the middle of a line, so what stands behind the last line's end waits for
        # the next look.
        *lines, self._rest = self._rest.split(b"\n")
        if last and self._rest:
            lines, self._rest = [*lines, self._rest], b""
        if len(self._rest) >= _MOST_ROW:
            raise InputError(f"{self._name}: a line has fewer than {_MOST_ROW:,} characters")
        for line in lines:
            self._line += 1
            if text := line.decode("utf-8-sig", errors="replace").strip():
                row = self._row(text)
                if row is not None:
                    yield row

    @property
    def _name(self) -> str:
        return f"{self._path.name}:{self._line}"

    def _row(self, text: str) -> tuple[int, dict[str, float]] | None:
        if self._log.csv is not None:
            (cells,) = csv.reader([text])
            if self._header is None:
                self._header = [cell.strip() for cell in cells]
                if self._log.epoch not in self._header:
                    raise InputError(
                        f"{self._name}: the log has a column `{self._log.epoch}`, found "
                        f"{', '.join(self._header)}. "
                        "Name it in `log: {epoch: …}`"
                    )
                return None
            values: Mapping[str, object] = dict(zip(self._header, cells, strict=False))
        else:
            try:
                values = json.loads(text)
            except ValueError as error:
                raise InputError(
                    f"{self._name}: a line of the log is a JSON object, found {error}"
                ) from error
            if not isinstance(values, dict):
                raise InputError(f"{self._name}: a line of the log is a JSON object, found {text[:60]}")

        # Whatever is a number in a row is a curve; words are passed over.
        numbers = {name: number for name, value in values.items() if (number := _number(value)) is not None}
        epoch = numbers.pop(self._log.epoch, math.nan)
        if not epoch.is_integer():
            raise InputError(
                f"{self._name}: an epoch is a whole number, found {values.get(self._log.epoch)!r} in "
                f"`{self._log.epoch}`"
            )
        numbers.pop("epoch", None)  # the curve's own column
        return int(epoch), numbers


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None
