"""Heatmaps that are kept: a few test images, the same in every cell, small enough to look at thousands.

A row of the table holds pictures at display size (longer side at most 320 pixels) and, beside them, exact
counts at the network's full input size. A heatmap is stored as 256 levels of which **128 is the pixel
threshold**: ``[lo, threshold)`` becomes 0–127 and ``[threshold, hi]`` 128–255, so the mask at level 128 is
the record's mask bit for bit, and one slider moves several cells from their own operating points. ``lo``
and ``hi`` are those of all probe images of a trial: a level means one score in all of them.

Of an image in tiles both are counted after it was shrunken to at most 2048 pixels (:func:`shrunken`).

Trade-off: the small heatmap is an area average, true for the eye; a hair line may fade in it. Numbers never
come from it: IoU, FP and FN at any level come from ``positives`` and ``negatives``, a defect's hit from
``peaks``, all counted before shrinking.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.contract import seed_for
from trainables.data.samples import ImageSet
from trainables.evaluation.metrics import defect_regions, truth_at

__all__ = [
    "MAPS_SCHEMA",
    "THRESHOLD_LEVEL",
    "Probe",
    "Scale",
    "choose_probes",
    "defect_numbers",
    "display_size",
    "maps_table",
    "read_probe",
    "shrunken",
]

DISPLAY_SIDE = 320  # pixels; a grid of comparisons shows cells of 190 px, 320 leaves room to look closer
LARGEST_SIDE = 2048  # pixels of a probe in tiles: more would be lost on a screen, and memory with it
THRESHOLD_LEVEL = 128
_NORMAL_SHARE = 0.25  # of the probes: false alarms need something to be seen on

MAPS_SCHEMA = pa.schema(
    [
        pa.field("sample", pa.string(), nullable=False),
        pa.field("label", pa.bool_(), nullable=False),
        pa.field("defect_class", pa.string()),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),  # display size, pixels
        pa.field("width", pa.int32(), nullable=False),
        pa.field("full_height", pa.int32(), nullable=False),  # the network's input size, pixels
        pa.field("full_width", pa.int32(), nullable=False),
        pa.field("thumbnail", pa.binary(), nullable=False),  # JPEG, display size
        pa.field("heatmap", pa.binary(), nullable=False),  # zlib of uint8 levels, display size, row by row
        pa.field("lo", pa.float64(), nullable=False),
        pa.field("threshold", pa.float64(), nullable=False),
        pa.field("hi", pa.float64(), nullable=False),
        # Null when the image is defective but its mask is unknown:
        pa.field("truth", pa.binary()),  # zlib of the defects' numbers 1.., 0 background, display size
        pa.field("truth_bits", pa.int32()),  # 8 or (more than 255 defects) 16, little-endian
        pa.field("peaks", pa.binary()),  # uint8: highest level inside defect 1, 2, … at full size
        pa.field("areas", pa.binary()),  # int32, little-endian: pixels of defect 1, 2, … at full size
        pa.field("positives", pa.binary()),  # 256 × int32, little-endian: defect pixels per level, full size
        pa.field("negatives", pa.binary()),  # 256 × int32, little-endian: background pixels per level
    ]
)


class Scale(NamedTuple):
    """Scores that the levels stand for: 0 is ``lo``, 128 ``threshold``, and 255 reaches to ``hi``."""

    lo: float
    threshold: float
    hi: float

    def levels(self, heatmap: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Level of every score; ≥ 128 exactly where the score ≥ threshold (compared as float32)."""
        # Both sides of the threshold have 128 levels of their own, so the threshold falls between two
        # levels exactly; the comparison is in float32, as in the counts.
        values = heatmap.astype(np.float64)
        reached = heatmap >= np.float32(self.threshold)
        below = (values - self.lo) / ((self.threshold - self.lo) or 1.0)  # an empty range holds no score
        above = (values - self.threshold) / ((self.hi - self.threshold) or 1.0)
        part = np.where(reached, above, below)
        steps = np.clip(np.floor(part * 128), 0, 127)
        return (steps + np.where(reached, THRESHOLD_LEVEL, 0)).astype(np.uint8)

    def score(self, level: int) -> float:
        """The lowest score of a level."""
        if level < THRESHOLD_LEVEL:
            return self.lo + (self.threshold - self.lo) * level / 128
        return self.threshold + (self.hi - self.threshold) * (level - THRESHOLD_LEVEL) / 128


@dataclass(frozen=True, eq=False)
class Probe:
    """One image of the probe set with the model's prediction. H × W: the network's input size."""

    sample: str
    label: bool
    defect_class: str | None
    score: float
    image: NDArray[np.uint8]  # H × W × C
    heatmap: NDArray[np.float32]  # H × W
    truth: NDArray[np.bool_] | None  # H × W; None: defective, but the mask is unknown


class ProbePicture(NamedTuple):
    """A row of the table, decoded, at display size."""

    image: NDArray[np.uint8]  # h × w × 3, BGR
    levels: NDArray[np.uint8]  # h × w; ≥ 128: decided defect
    defects: NDArray[np.uint16] | None  # h × w: number of the defect, 0 background


def choose_probes(images: ImageSet, count: int, seed: int) -> tuple[int, ...]:
    """Indices of the probe images: a quarter normal, the others defective, class by class in turn.

    Depends on ids, labels, classes and ``seed`` only, so every cell of a repeat shows the same images.
    Where one kind has too few images the other fills up.
    """
    rng = np.random.default_rng(seed_for(seed, None, "probes"))
    # Sorted by id before anything is drawn, since the order of images may differ between machines.
    strata: dict[str, list[int]] = {}
    for i in sorted(range(len(images)), key=lambda i: images.ids[i]):
        kind = (images.classes[i] if images.classes else None) or "" if images.labels[i] else "normal "
        strata.setdefault(kind, []).append(i)
    shuffled = {kind: rng.permutation(strata[kind]).tolist() for kind in sorted(strata)}
    normal = shuffled.pop("normal ", [])

    # In turns over the classes, so a rare class is among the probes even where few are kept.
    defective = [
        members[turn]
        for turn in range(max(map(len, shuffled.values()), default=0))
        for members in shuffled.values()
        if turn < len(members)
    ]

    # Where one kind runs short the other fills up.
    wanted = round(count * _NORMAL_SHARE)
    normals = min(len(normal), max(wanted, count - len(defective)))
    return tuple(sorted(defective[: count - normals] + normal[:normals]))


def maps_table(probes: Sequence[Probe], threshold: float) -> pa.Table:
    """The probe images of one trial as a table of ``MAPS_SCHEMA``; ``threshold`` is its pixel threshold."""
    lo = min([threshold, *(float(probe.heatmap.min()) for probe in probes)])
    hi = max([threshold, *(float(probe.heatmap.max()) for probe in probes)])
    scale = Scale(lo, threshold, hi)
    return pa.Table.from_pylist([_row(probe, scale) for probe in probes], schema=MAPS_SCHEMA)


def shrunken(probe: Probe) -> Probe:
    """``probe`` with 2048 pixels or less on its longer side: of each block the greatest score, any defect."""
    height, width = probe.heatmap.shape
    factor = -(-max(height, width) // LARGEST_SIDE)
    if factor == 1:
        return probe
    starts = np.arange(0, height, factor), np.arange(0, width, factor)
    # The photo is averaged for the eye; scores and truth keep their maximum, or a thin defect would vanish.
    size = (len(starts[1]), len(starts[0]))
    image = cv2.resize(probe.image, size, interpolation=cv2.INTER_AREA)
    return replace(
        probe,
        image=np.asarray(image, np.uint8).reshape(size[1], size[0], -1),
        heatmap=_blocks(np.maximum, probe.heatmap, starts),
        truth=None if probe.truth is None else _blocks(np.logical_or, probe.truth, starts),
    )


def display_size(height: int, width: int, longest: int = DISPLAY_SIDE) -> tuple[int, int]:
    """Height and width at which a picture of so many pixels is kept: never larger, in its proportions."""
    shrink = min(1.0, longest / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def read_probe(row: Mapping[str, Any]) -> ProbePicture:
    """Decode one row (``table.to_pylist()[i]``) into pictures at display size."""
    size = (row["height"], row["width"])
    image = cv2.imdecode(np.frombuffer(row["thumbnail"], np.uint8), cv2.IMREAD_COLOR)
    assert image is not None, "maps_table writes a readable JPEG"
    levels = np.frombuffer(zlib.decompress(row["heatmap"]), np.uint8).reshape(size)
    defects = None if row["truth"] is None else defect_numbers(row)
    return ProbePicture(image.astype(np.uint8), levels, defects)


def defect_numbers(row: Mapping[str, Any]) -> NDArray[np.uint16]:
    """h × w at display size: number of the defect, 0 background. The row's mask must be known."""
    numbers = np.frombuffer(zlib.decompress(row["truth"]), f"<u{row['truth_bits'] // 8}")
    return numbers.reshape(row["height"], row["width"]).astype(np.uint16)


def _blocks(
    join: np.ufunc, pixels: NDArray[Any], starts: tuple[NDArray[np.intp], NDArray[np.intp]]
) -> NDArray[Any]:
    """Each block of ``pixels``, from one start to the next, as one value."""
    return join.reduceat(join.reduceat(pixels, starts[0], axis=0), starts[1], axis=1)


def _row(probe: Probe, scale: Scale) -> dict[str, Any]:
    full_height, full_width = probe.heatmap.shape
    height, width = display_size(full_height, full_width)
    # Image and heatmap are averaged over areas at the size that a page shows. The numbers that a page
    # counts with are taken at full size, in the columns of the truth.
    image = cv2.resize(probe.image, (width, height), interpolation=cv2.INTER_AREA)
    small = cv2.resize(probe.heatmap, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    written, thumbnail = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 88])
    assert written, "a uint8 image of 1 or 3 channels can be written as JPEG"
    return {
        "sample": probe.sample,
        "label": probe.label,
        "defect_class": probe.defect_class,
        "score": probe.score,
        "height": height,
        "width": width,
        "full_height": full_height,
        "full_width": full_width,
        "thumbnail": thumbnail.tobytes(),
        "heatmap": zlib.compress(scale.levels(small).tobytes()),
        **scale._asdict(),
        **_truth_columns(probe, scale, height, width),
    }


def _truth_columns(probe: Probe, scale: Scale, height: int, width: int) -> dict[str, Any]:
    if probe.truth is None:
        return {}
    # Counted at full size: whatever the slider of a page says later is exact although the picture is small.
    levels = scale.levels(probe.heatmap)
    count, numbers = defect_regions(probe.truth)
    peaks = np.zeros(count + 1, dtype=np.uint8)
    np.maximum.at(peaks, numbers.ravel(), levels.ravel())
    areas = np.bincount(numbers.ravel(), minlength=count + 1)
    bits = 8 if count <= 255 else 16
    shown = _shrink_defects(numbers, areas, height, width)
    return {
        "truth": zlib.compress(shown.astype(f"<u{bits // 8}").tobytes()),
        "truth_bits": bits,
        "peaks": peaks[1:].tobytes(),
        "areas": areas[1:].astype("<i4").tobytes(),
        "positives": np.bincount(levels[probe.truth], minlength=256).astype("<i4").tobytes(),
        "negatives": np.bincount(levels[~probe.truth], minlength=256).astype("<i4").tobytes(),
    }


def _shrink_defects(
    numbers: NDArray[np.int32], areas: NDArray[np.int64], height: int, width: int
) -> NDArray[np.uint16]:
    """Defect numbers at display size: every defect stays visible, by its strongest cells if need be."""
    shown = np.zeros((height, width), dtype=np.uint16)
    # Small ones last: where two defects share a cell the smaller one would be lost otherwise.
    for number in np.argsort(-areas[1:], kind="stable") + 1:
        shown[truth_at((numbers == number).astype(np.uint8), height, width)] = number
    return shown
