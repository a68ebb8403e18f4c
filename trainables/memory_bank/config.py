"""Settings of a memory bank. Defaults are published values where there are any, the trunk a small one."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from trainables.contract import Objection
from trainables.nn.choices import PATCH, TRUNK_WIDTHS, TransformerName, TrunkName, TrunkStride, cells_along
from trainables.nn.settings import OddSide, PublishedWeightsConfig
from trainables.nn.trunk.file import TrunkChoice, TrunkFile
from trainables.nn.weight_counts import trunk

__all__ = ["MemoryBankConfig", "count_parameters"]

_NUMBERS = 64  # per pixel, of the network that passes are measured by


def _no_single(value: int) -> int:
    if value == 1:
        raise ValueError(
            "the nearest cell alone would weigh every image 0: use 0 (off) or 2 and more, found 1"
        )
    return value


class MemoryBankConfig(PublishedWeightsConfig, frozen=True):
    """Settings of one memory bank and of how images are held against it."""

    added_later: ClassVar[frozenset[str]] = frozenset({"distance", "score_share"})

    trunk: TrunkChoice[TrunkName | TransformerName] = Field(
        "lite0",
        description="Network whose maps are read: lite0 (EfficientNet-Lite0), resnet18, wide_resnet50_2, "
        "dinov2_vits14 or the same with registers, whose state dict is weights_file; or any network as an "
        "ONNX file, {file: …, sha256: …, maps: […]}.",
    )
    random_trunk: bool = Field(
        False, description="Leave the trunk's weights random, without a weights_file: a control."
    )

    layers: tuple[TrunkStride, ...] = Field(
        (8, 16),
        min_length=1,
        description="Maps of the trunk that are joined, by pixels between cells; published: 8 and 16. DINOv2 "
        "has that of 14 alone.",
    )
    patch: OddSide = Field(
        3,
        ge=1,
        le=15,
        description="Side of the neighbourhood whose mean describes a cell, cells; published: 3.",
    )
    distance: Literal["euclidean", "cosine"] = Field(
        "euclidean",
        description="How far two cells are from each other: euclidean (PatchCore), or cosine, one minus that "
        "of the angle between them (AnomalyDINO).",
    )
    coreset: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Share of the cells that is remembered; published: .01, .1 and .25; AnomalyDINO: 1.",
    )
    most_cells: int = Field(
        50_000,
        ge=1,
        le=10_000_000,
        description="Cells of normal images that these are chosen from, drawn at random where there are "
        "more; published: all.",
    )
    projection: int = Field(
        128,
        ge=0,
        le=4096,
        description="Dimensions of the random projection in which they are chosen (published code: 128); 0: "
        "none.",
    )
    neighbours: int = Field(
        1, ge=1, le=64, description="Nearest remembered cells whose mean distance counts; published: 1."
    )
    reweight: Annotated[int, AfterValidator(_no_single)] = Field(
        0,
        ge=0,
        le=64,
        description="Remembered cells around the nearest one by which the image's score is weighed (Eq. 7); "
        "0: not weighed, as in the published code.",
    )
    score_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of an image's cells, the farthest ones, whose mean distance is its score "
        "(AnomalyDINO: .01). 0: the farthest cell alone (PatchCore).",
    )
    smoothing: float = Field(
        4.0, ge=0, le=100, description="Standard deviation of the map's blur, pixels; published: 4, 0: none."
    )
    held_out: float = Field(
        0.1,
        gt=0,
        le=0.5,
        description="Share of the normal training items on which scales are measured and which are not "
        "remembered, where validation has no normal image; our choice.",
    )

    @field_validator("layers", mode="before")
    @classmethod
    def _layers_are_distinct(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)) and len(set(value)) < len(value):
            raise ValueError(f"a layer is read once, found {list(value)}")
        return tuple(sorted(value)) if isinstance(value, (list, tuple)) else value

    @model_validator(mode="after")
    def _trunk_and_score_are_read(self) -> Self:
        # Each of these refusals guards a setting that would otherwise be read by nothing.
        if self.random_trunk and self.weights_file is not None:
            raise ValueError(
                "random_trunk: true leaves weights random, found weights_file: "
                f"{self.weights_file} beside it. Leave one out."
            )
        self.check_trunk_file(random_trunk=False, layers=type(self).model_fields["layers"].default)
        if not isinstance(self.trunk, TrunkFile):
            strides = list(TRUNK_WIDTHS[self.trunk])
            if not set(self.layers) <= set(strides):
                raise ValueError(
                    f"{self.trunk} has maps of {strides} pixels between cells, found layers: "
                    f"{list(self.layers)}. Use some of these"
                )
        if self.reweight and (self.score_share or self.distance == "cosine"):
            raise ValueError(
                "reweight weighs the euclidean distance of the farthest cell, found score_share: "
                f"{self.score_share:g} and distance: {self.distance}. Leave it out, or both of these"
            )
        return self

    @property
    def trunk_objections(self) -> list[Objection]:
        """The reason why a frozen trunk without weights cannot be meant, and the way out; else none."""
        if self.random_trunk or self.weights_file is not None or self.trunk_file is not None:
            return []
        sentence = (
            f"{self.trunk} is read as it was published, found no weights_file. Name its state dict and "
            "weights_sha256, or set random_trunk: true for a control that learned nothing"
        )
        return [Objection("config.weights_file", sentence)]

    @property
    def pass_cost(self) -> float:
        if self.trunk_file is not None:  # its maps, enlarged and joined
            return max(1.0, 3 * self.features / (_NUMBERS * self.strides[0] ** 2))
        return 4.0 if self.trunk == "wide_resnet50_2" else 1.0  # its widest map

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels between the cells of the maps that are read, from fine to coarse."""
        return self.layers if self.trunk_file is None else self.trunk_file.strides

    @property
    def sees_patches(self) -> bool:
        """True where a cell is a transformer's patch, and looks at its middle."""
        return self.trunk_file is None and self.layers[0] == PATCH

    @property
    def features(self) -> int:
        """Numbers that describe a cell."""
        if isinstance(self.trunk, TrunkFile):
            return sum(self.trunk.widths.values())
        return sum(TRUNK_WIDTHS[self.trunk][stride] for stride in self.layers)

    @property
    def cells_per_image(self) -> int:
        """Cells of the finest map."""
        if self.trunk_file is not None:
            return math.prod(self.trunk_file.shapes[0][1:])
        return math.prod(cells_along(side, self.layers[0]) for side in self.image_size)

    def remembered(self, cells: int) -> int:
        """Cells that are remembered of so many."""
        return max(1, round(self.coreset * min(cells, self.most_cells)))


def count_parameters(config: MemoryBankConfig) -> int:
    """Number of weights of the trunk and of the largest bank."""
    return trunk(config.trunk, max(config.layers)) + config.remembered(config.most_cells) * config.features
