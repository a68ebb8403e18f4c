"""A metric is one declaration of its name, its direction, what it reads and how it is computed.

There are five kinds, by what ``compute`` gets::

    ImageMetric    labels and scores of the images, and their threshold    (ImageScores)
    CountMetric    pixels found, missed and false at the threshold         (PixelCounts)
    CurveMetric    the same at any threshold                               (PixelCurve)
    HeatmapMetric  every heatmap with its mask, and the threshold          (MapAndTruth …)
    DefectMetric   defects in known test masks, found and outlined         (DefectScore)

It returns a number, or :class:`~.inputs.Undefined` with the reason. The first kind reads
image labels, the others read masks: they are undefined where no defective image has one, and nobody asks them
then. Counts and curves are also known of each stage of a model, whose scores are binned; heatmaps are not.
Defects are looked for on test images alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

import numpy as np

from trainables.evaluation.metrics.inputs import (
    Erasure,
    ImageScores,
    MapAndTruth,
    PixelCounts,
    PixelCurve,
    Undefined,
)
from trainables.evaluation.metrics.regions import DefectScore
from trainables.registry import Registry

__all__ = [
    "METRICS",
    "CountMetric",
    "CurveMetric",
    "DefectMetric",
    "HeatmapMetric",
    "ImageMetric",
    "LabelFreeMetric",
    "Metric",
    "ReportedMetric",
    "part_metric",
]

_InputT = TypeVar("_InputT")
ROUNDING = 1e-9  # by so much a sum of shares may exceed 1


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Name, reading and direction of a score, whatever it is computed from."""

    reads: ClassVar[Literal["labels", "masks"]]  # the labels that it needs
    name: str  # in study files and records
    title: str  # in tables
    description: str  # a sentence for whoever reads the table
    unit: str = "share"  # within 0..1; any other word: a number from 0 up in this unit, "images", "pixels"
    better: Literal["higher", "lower"] = "higher"
    digits: int = 1  # decimals of a mean where the unit is not a share: 1 suits a count
    noted: bool = True  # every report says where it is undefined; False: only those that show it

    @classmethod
    def of(
        cls, name: str, title: str, description: str, **facts: Any
    ) -> Callable[[Callable[..., float | Undefined]], Self]:
        """Declare it by the function that computes it: a decorator."""
        declared: dict[str, Any] = {"name": name, "title": title, "description": description, **facts}

        def by(compute: Callable[..., float | Undefined]) -> Self:
            declared["compute"] = compute
            return cls(**declared)

        return by

    @property
    def sign(self) -> int:
        """1 where higher is better, −1 where lower is: of scores times it higher is better."""
        return 1 if self.better == "higher" else -1

    @property
    def worst(self) -> float | None:
        """The value that a diverged trial gets; None: there is no bound (a count depends on the test set)."""
        if self.better == "higher":
            return 0.0
        return 1.0 if self.unit == "share" else None

    @property
    def highest(self) -> float:
        """The highest value there can be, infinite for a count."""
        return 1.0 if self.unit == "share" else math.inf

    @property
    def lowest(self) -> float:
        """The lowest value there can be."""
        return 0.0

    @property
    def decimals(self) -> int:
        """Decimals of a mean over up to ten repeats: a step of 0.01 or of one image in one of them shows."""
        return max(3, self.digits) if self.unit == "share" else self.digits

    @property
    def scale(self) -> str:
        """The unit beside an axis."""
        return "0–1" if self.unit == "share" else self.unit

    def text(self, value: float) -> str:
        """One value, as tables of single trials write it."""
        if self.unit == "share":
            return f"{value:.4f}"
        return f"{value:.0f}" if abs(value) >= 1e5 else f"{value:g}"  # no number is cut to 1.23457e+06

    def checked(self, value: float | Undefined) -> float | Undefined:
        """``value`` as it is recorded.

        Raises:
            ValueError: If it is not finite, or out of the range of its unit.
        """
        if isinstance(value, Undefined):
            return value
        # A metric may come from another package, so its number is checked like any input.
        if not math.isfinite(value):
            raise ValueError(
                f"the metric {self.name} is a finite number, found {value}. Return Undefined(reason) where "
                "the images do not define it."
            )
        if not -ROUNDING <= value <= self.highest + ROUNDING:
            expected = "a share from 0 to 1" if self.unit == "share" else f"a number of {self.unit} from 0 up"
            raise ValueError(f"the metric {self.name} is {expected}, found {value}. Mend how it is computed.")
        return float(value)


@dataclass(frozen=True, kw_only=True)
class _Computed(Metric, Generic[_InputT]):
    """Computed from one thing."""

    compute: Callable[[_InputT], float | Undefined]

    def value(self, of_images: _InputT) -> float | Undefined:
        """The metric of some images."""
        return self.checked(self.compute(of_images))


@dataclass(frozen=True, kw_only=True)
class ImageMetric(_Computed[ImageScores]):
    """Computed from image labels and image scores."""

    reads = "labels"

    @cached_property
    def needs_normal(self) -> bool:
        """True where it is undefined for defective images alone, however they are scored."""
        # Asked of a small example and not declared: a declaration could be wrong.
        scores = np.array([0.25, 0.75, 0.75])
        defective = ImageScores(np.ones(3, np.bool_), scores, 0.5, items=("a", "a", "b"))
        return isinstance(self.value(defective), Undefined)


@dataclass(frozen=True, kw_only=True)
class CountMetric(_Computed[PixelCounts]):
    """Computed from pixel counts at one threshold; some image has a defect."""

    reads = "masks"


@dataclass(frozen=True, kw_only=True)
class CurveMetric(_Computed[PixelCurve]):
    """Computed from pixel counts at every threshold; some pixel is defect, and some is not."""

    reads = "masks"


@dataclass(frozen=True, kw_only=True)
class HeatmapMetric(Metric):
    """Computed from whole heatmaps and masks, at one threshold; some image has a defect."""

    compute: Callable[[Iterable[MapAndTruth], float], float | Undefined]
    reads = "masks"

    def value(self, images: Iterable[MapAndTruth], threshold: float) -> float | Undefined:
        """The metric of these images; a pixel is decided defect when its score ≥ ``threshold``."""
        return self.checked(self.compute(images, threshold))


@dataclass(frozen=True, kw_only=True)
class DefectMetric(Metric):
    """Computed from the defects in known test masks: how many were found, and how many outlined."""

    compute: Callable[[DefectScore], float | Undefined]
    reads = "masks"

    def value(self, defects: Sequence[DefectScore]) -> float | Undefined:
        """The metric of these defects, the first of which are all; undefined where there are none."""
        if not defects or not defects[0].regions:
            return Undefined("no mask of a defective image to compare with")
        return self.checked(self.compute(defects[0]))


@dataclass(frozen=True, kw_only=True)
class LabelFreeMetric(Metric):
    """Computed from what happens when shown defects are painted over; only a search may ask for it."""

    compute: Callable[[Erasure], float]
    reads = "labels"


def part_metric(metric: ImageMetric, name: str, title: str, description: str) -> ImageMetric:
    """A metric of images as one of parts: of items that were photographed more than once."""

    def compute(images: ImageScores) -> float | Undefined:
        parts = images.parts
        value = parts if isinstance(parts, Undefined) else metric.compute(parts)
        if isinstance(value, Undefined) and value is not parts:
            return Undefined(value.reason.replace("image", "part"))
        return value

    unit = "parts" if metric.unit == "images" else metric.unit
    return ImageMetric(
        name=name, title=title, description=description, unit=unit, better=metric.better, compute=compute
    )


@dataclass(frozen=True, kw_only=True)
class ReportedMetric(Metric):
    """A score that another program computed: known by its name, and never computed here."""

    digits: int = 3
    reads = "labels"

    @property
    def worst(self) -> float | None:
        return super().worst if self.unit == "share" else None  # nobody says how bad it can get

    @property
    def lowest(self) -> float:
        return 0.0 if self.unit == "share" else -math.inf


METRICS: Registry[Metric] = Registry(
    Metric,
    noun="metric",
    group="assay.metrics",
    package="trainables.evaluation.metrics",
    attribute="DECLARED",
    several=True,
)
