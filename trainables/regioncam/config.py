"""Settings of region-aware CAM: the classifier's and its map's, and what each switch brings.

``fgbp`` filters the gradients that a map is made of, ``region`` weighs the map by regions, ``rounds`` trains
segmentation nets on pseudo labels, and ``crf`` refines labels and their answers. With ``method: cam``, no
region and no round it is the method ``cam``, bit for bit. A setting whose name starts with a switch's is read
only where the switch is on.

Defaults were measured on magnetic tiles: the map of the first stage found more than those of later ones,
which training leaves beside the defects; weights by regions gained nothing there, and are off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from trainables.cam.config import CamConfig, MapMethod, MapSettings
from trainables.cam.config import count_parameters as count_classifier
from trainables.nn.choices import Cutoffs, FilterBy, FilterMode, GradientFilter, GradientSign, Policy
from trainables.nn.settings import PseudoLabelConfig
from trainables.nn.weight_counts import plain_unet

__all__ = [
    "CAM_MAP",
    "FILTERED_MAP",
    "WEIGHED_MAP",
    "RegionCamConfig",
    "RegionMapSettings",
    "Regions",
    "count_parameters",
]

RegionKind = Literal["slic", "grid", "components"]
RegionScore = Literal["mean", "occlusion"]
CAM_MAP, FILTERED_MAP, WEIGHED_MAP = "cam", "fgbp", "region"


@dataclass(frozen=True)
class Regions:
    """Rule by which an image is divided, and its regions are scored."""

    kind: RegionKind
    size: int = 8  # pixels: side of a grid's cell, mean side of a superpixel; components have their own
    score: RegionScore = "mean"
    count: int = 32  # regions that are painted over, those with the highest mean; the others score 0
    gamma: float = 1.0  # exponent of the weight


class RegionCamConfig(CamConfig, PseudoLabelConfig, frozen=True):
    """Settings of one training."""

    method: MapMethod = Field(
        "layer_cam",
        description="How maps are read off the classifier: from its head (without fgbp), or by gradients.",
    )
    layers: tuple[int, ...] = Field(
        (1,),
        min_length=1,
        max_length=4,
        description="Stages of resnet18s or trunk that gradients explain: 1 first (the finest), -1 last.",
    )
    gate_by_score: bool = Field(
        True, description="Multiply maps by the image's score; segmentation nets' answers stay as they are."
    )

    fgbp: bool = Field(
        True,
        description="FGBP, our reading: filter gradients at every ReLU. Inert at the last stage.",
    )
    fgbp_guided: bool = Field(True, description="Only positive gradients pass (Springenberg et al. 2015).")
    fgbp_q: float = Field(
        0.5, ge=0, lt=1, description="Gradients below this quantile are dropped; 0: none, 0 to 0.9."
    )
    fgbp_by: FilterBy = Field(
        "gradient", description="What the quantile is taken of: |g|, or |a · g| (Kim et al. 2019, RectGrad)."
    )
    fgbp_mode: FilterMode = Field(
        "quantile", description="fgbp_q is a quantile of what is not 0, or a share of the image's largest."
    )
    fgbp_sign: GradientSign = Field(
        "positive", description="Which gradients the guide lets pass; negative: arXiv:2308.02118."
    )

    region: Literal["off"] | RegionKind = Field(
        "off",
        description="Region-aware weights, our reading: superpixels, a grid, or the map's connected parts.",
    )
    region_size: int = Field(8, ge=2, le=128, description="Side of superpixels or cells, pixels; 4 to 32.")
    region_score: RegionScore = Field(
        "mean", description="What a region is worth: its mean CAM, or what the logit loses without it."
    )
    region_count: int = Field(
        32, ge=1, le=1024, description="Regions that occlusion tries, those with the highest mean CAM."
    )
    region_gamma: float = Field(1.0, gt=0, le=4, description="Exponent of the weight; to 2.")

    threshold: Policy = Field(
        "otsu", description="Where labels start: fixed, Otsu's, or at a prior area. No mask is ever read."
    )
    rounds: int = Field(2, ge=0, le=4, description="Rounds of training on pseudo labels; 0: the map answers.")
    round_blend: float = Field(
        0.5, ge=0, lt=1, description="Share of earlier rounds in the probabilities that labels are cut from."
    )
    round_alike: float = Field(
        0.95, gt=0, le=1, description="No further round where labels overlap by more than this (mean IoU)."
    )
    round_change: float = Field(
        3.0, gt=1, le=100, description="No further round where their area grows or shrinks by this factor."
    )

    @model_validator(mode="after")
    def _relus_can_filter(self) -> Self:
        if self.trunk != "own" and self.gradient_filter is not None:
            raise ValueError(
                f"fgbp filters gradients at the ReLUs of trunk: own, found {self.trunk}. Set fgbp: false"
            )
        return self

    @property
    def gradient_filter(self) -> GradientFilter | None:
        """FGBP, without what it does not read; None where it is off, filters nothing or has no gradient."""
        if not self.fgbp or self.method == "cam" or not (self.fgbp_guided or self.fgbp_q):
            return None
        read: dict[str, Any] = {"guided": self.fgbp_guided, "q": self.fgbp_q}
        if self.fgbp_guided:
            read["sign"] = self.fgbp_sign
        if self.fgbp_q:
            read |= {"by": self.fgbp_by, "mode": self.fgbp_mode}
        return GradientFilter(**read)

    @property
    def regions(self) -> Regions | None:
        """The regions, without what their kind and score do not read; None where they are off."""
        if self.region == "off":
            return None
        read: dict[str, Any] = {"score": self.region_score, "gamma": self.region_gamma}
        if self.region != "components":
            read["size"] = self.region_size
        if self.region_score == "occlusion":
            read["count"] = self.region_count
        return Regions(self.region, **read)

    @property
    def cutoffs(self) -> Cutoffs:
        """The rule of pseudo labels."""
        return Cutoffs(self.threshold, self.foreground, self.background, self.area)


class RegionMapSettings(BaseModel, frozen=True, extra="forbid"):
    """All that a map depends on, beside the classifier."""

    read: MapSettings
    filter: GradientFilter | None
    regions: Regions | None

    @classmethod
    def of(cls, config: RegionCamConfig) -> RegionMapSettings:
        """Those of a config, without what its switches leave unread."""
        return cls(read=MapSettings.of(config), filter=config.gradient_filter, regions=config.regions)

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the maps in the order in which they are made."""
        explained = (self.read.method,) if self.needs_gradients else ()
        filtered = (FILTERED_MAP,) if self.filter is not None else ()
        return (CAM_MAP, *explained, *filtered, *((WEIGHED_MAP,) if self.regions is not None else ()))

    @property
    def needs_gradients(self) -> bool:
        """True if maps are explained by a backward pass."""
        return self.read.method != CAM_MAP


def count_parameters(config: RegionCamConfig) -> int:
    """Number of weights of a saved model: the classifier, and the last round's net."""
    net = plain_unet(config.channels, config.segment_base, config.segment_levels) if config.rounds else 0
    return count_classifier(config) + net
