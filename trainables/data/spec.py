"""The part of a study about data and labels: ``DataSpec`` and ``Supervision``, checked at the border."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from trainables.data.conditions import PropertyValue
from trainables.data.items import check_pattern
from trainables.data.threshold import Escapes, FalseAlarms, ThresholdRule

__all__ = [
    "DataSpec",
    "HoldOut",
    "MaskDetail",
    "Others",
    "Supervision",
    "Tiles",
]

MaskDetail = Literal["fine", "box", "turned_box", "ellipse"]
Others = Literal["leave_out", "normal", "ignore"]
SupervisionKind = Literal["none", "weak", "mixed", "full"]


class Supervision(BaseModel, frozen=True, extra="forbid"):
    """Which labels training may read.

    ``none``: normal images only. ``weak``: image labels. ``mixed: N``: image labels and the masks of N
    defective images, drawn at random. ``full``: all masks. In YAML a word, or ``{mixed: N}``.
    """

    kind: SupervisionKind
    # As the file has it: `{mixed: N}`, so that a message names the key that was written.
    masks: int | None = Field(
        default=None,
        ge=0,
        validation_alias=AliasChoices("mixed", "masks"),
        description="Number of training masks, for `mixed` only.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        if isinstance(value, str):
            kind, _, masks = value.partition(": ")  # `mixed: 5`, as it is printed
            return {"kind": kind, "masks": masks} if masks else {"kind": kind}
        if isinstance(value, dict) and "mixed" in value:
            for key in ("kind", "masks"):
                if key in value:
                    raise ValueError(
                        f"`mixed` says how many masks are read, found `{key}: {value[key]!r}` beside "
                        f"`mixed: {value['mixed']!r}`. Remove `{key}`."
                    )
            return {"kind": "mixed", **value}
        if not isinstance(value, Supervision) and not (isinstance(value, dict) and "kind" in value):
            raise ValueError("labels are `none`, `weak`, `full`, or some masks as in `{mixed: 5}`")
        return value

    @model_validator(mode="after")
    def _count_belongs_to_mixed(self) -> Self:
        if (self.kind == "mixed") != (self.masks is not None):
            raise ValueError(
                "a number of masks belongs to mixed supervision: write `supervision: {mixed: 5}`, "
                f"found {self.kind} with {'no number' if self.masks is None else self.masks}"
            )
        return self

    @model_serializer
    def _to_yaml(self) -> str | dict[str, int]:
        return {"mixed": self.masks} if self.masks is not None else self.kind

    @property
    def reads_masks(self) -> bool:
        """True where training may see any mask at all."""
        return self.kind == "full" or bool(self.masks)

    def __str__(self) -> str:
        return f"mixed: {self.masks}" if self.kind == "mixed" else self.kind


class HoldOut(BaseModel, frozen=True, extra="forbid"):
    """A part taken from a larger one, at random by physical item, with classes in proportion."""

    share: float = Field(0.2, gt=0, lt=1, description="Share of the items.")
    by: Literal["item"] = Field("item", description="What is never divided: the physical item (`group`).")


class Tiles(BaseModel, frozen=True, extra="forbid"):
    """Overlapping tiles that large images are cut into, in pixels of the stored image.

    Each tile is brought to a method's ``image_size``, as an image is without tiles.
    """

    height: int = Field(ge=32, le=16384, description="Height of a tile, pixels as stored.")
    width: int = Field(ge=32, le=16384, description="Width of a tile, pixels as stored.")
    overlap: int = Field(
        ge=0, description="Pixels that neighbours share, at most half a side; heatmaps lose half of it."
    )

    @model_validator(mode="after")
    def _keeps_a_core(self) -> Self:
        if 2 * self.overlap > min(self.height, self.width):
            raise ValueError(
                f"tiles overlap by at most half a side, found overlap: {self.overlap} for tiles of "
                f"{self.height} × {self.width} pixels. Write a smaller overlap, or larger tiles."
            )
        return self


def _none_as_word(value: Any) -> Any:
    return None if value == "none" else value


# Settings that stored plans and searches do not have.
_ADDED_LATER: dict[str, Any] = {
    "tiles": None,
    "item": None,
    "others": "leave_out",
    "white": "auto",
    "binary_photos": False,
    "threshold": "f1",
    "calibration": None,
    "normals": None,
    "train_where": None,
}


class DataSpec(BaseModel, frozen=True, extra="forbid"):
    """Images, splits and masks: the ``data:`` block of a study."""

    reader: str = Field(
        description="Name of a reader: one of a published data set such as kolektorsdd, `folder` or `table` "
        "for images of your own, `synthetic`, or one of another package."
    )
    path: str | None = Field(
        None, description="Folder or file below the data root; the reader knows its usual place."
    )
    classes: tuple[str, ...] | None = Field(None, description="Defect classes to keep; default: all.")
    others: Others = Field(
        "leave_out",
        description="Defects of classes that `classes` does not keep. Images that show nothing else are left "
        "out, or are `normal`. Beside a kept class they are background; with `ignore` their pixels count "
        "neither way.",
    )
    splits: Literal["published", "deduplicated", "per_seed"] = Field(
        "published",
        description="`published`: the makers' partition. `deduplicated`: the same without training images "
        "that are copies of a test image. `per_seed`: drawn by item, anew for each seed.",
    )
    masks: Literal["nested", "published"] = Field(
        "nested",
        description="Which masks `mixed: N` sees: the first N of one random order, or the makers' list.",
    )
    validation: Annotated[HoldOut | None, BeforeValidator(_none_as_word)] = Field(
        HoldOut(share=0.2, by="item"),
        description="Taken from training, or `none`: last epoch, threshold 0.5.",
    )
    test: HoldOut = Field(HoldOut(share=0.3, by="item"), description="Test part of `splits: per_seed`.")
    positives: int | None = Field(
        None,
        ge=1,
        description="Defective images to train on: the first of the order that `masks: nested` uses; "
        "default: all.",
    )
    normals: int | None = Field(
        None,
        ge=1,
        description="Normal images to train on: the first of one random order; default: all.",
    )
    train_where: dict[str, Annotated[tuple[PropertyValue, ...], Field(min_length=1)]] | None = Field(
        None,
        min_length=1,
        description="Images of the training part to keep, by properties that the reader knows, such as "
        "{exposure: [1, 2]}: validation and calibration are limited alike, the test part is not.",
    )
    mask_detail: MaskDetail = Field(
        "fine",
        description="How finely masks of the training part are drawn: `fine` as they are, or each connected "
        "defect as its upright `box`, its `turned_box` or an `ellipse`. Test masks stay as they are.",
    )
    tiles: Tiles | None = Field(
        None,
        description="Cut large images into overlapping tiles, `{height: 512, width: 512, overlap: 64}` in "
        "pixels as stored; default: an image is shown to the network whole.",
    )
    item: Annotated[str, AfterValidator(check_pattern)] | None = Field(
        None,
        description="Pattern of file names that says which part an image shows, such as `{part}_{view}`, or "
        "`augmented` for copies by their names (`a_flip`, `a_aug3`); default: as the reader says, mostly "
        "every image by itself.",
    )
    white: Literal["auto"] | Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        "auto",
        description="Value of a pixel that is white, of images with more than 8 bits: 1023, 4095, 65535 … "
        "`auto`: the least of 255, 1023, 4095 and 65535 that no image exceeds, and 1 for floating point.",
    )
    binary_photos: bool = Field(
        False,
        description="Images that look like masks of other images are photos: default is to refuse them, for "
        "a mask that is trained on as a photo shows its own answer.",
    )
    threshold: ThresholdRule = Field(
        "f1",
        description="The image threshold: by best F1 on validation, by a promise on new parts, by the least "
        "cost, or a number.",
    )
    calibration: HoldOut | None = Field(
        None,
        description="Taken from training and read by nothing but the threshold; default: validation chooses "
        "it.",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Further settings of the reader.")

    @model_serializer(mode="wrap")
    def _without_added_later(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Settings that came later are written where they are set: what was stored before stays equal."""
        settings = write(self)
        return {
            key: value
            for key, value in settings.items()
            if key not in _ADDED_LATER or value != _ADDED_LATER[key]
        }

    @model_validator(mode="after")
    def _others_are_those_that_classes_leaves(self) -> Self:
        if self.others != "leave_out" and self.classes is None:
            raise ValueError(
                "`others` says what becomes of defects that `classes` does not keep: name the classes to "
                f"keep, found others: {self.others} without them"
            )
        return self

    @model_validator(mode="after")
    def _something_chooses_the_threshold(self) -> Self:
        chosen = self.threshold != "f1" and not isinstance(self.threshold, float)
        if chosen and self.validation is None and self.calibration is None:
            kind = "a promise" if isinstance(self.threshold, (FalseAlarms, Escapes)) else "a cost"
            raise ValueError(
                f"{kind} needs parts that choose the threshold, found validation: none and no `calibration`. "
                "Write calibration: {share: 0.3, by: item}"
            )
        return self

    @model_validator(mode="after")
    def _lists_or_numbers(self) -> Self:
        if self.positives is not None and self.masks == "published":
            raise ValueError(
                "`positives` draws images, and `masks: published` names them: leave one of the two out, "
                f"found positives: {self.positives}"
            )
        if self.item is not None and self.masks == "published":
            raise ValueError(
                "`item` makes items of file names, and `masks: published` lists the makers' items: leave one "
                f"of the two out, found item: {self.item}"
            )
        return self

    @property
    def identity(self) -> dict[str, Any]:
        """All settings as JSON values, for ids: those that came later only where they are set."""
        added_later = {"positives": None, "mask_detail": "fine"}
        settings = self.model_dump(mode="json")
        return {
            key: value
            for key, value in settings.items()
            if key not in added_later or value != added_later[key]
        }
