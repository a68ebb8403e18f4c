"""Synthetic textured surfaces, made on the spot: no download, no account, exact masks.

In the manner of DAGM 2007 (Weakly Supervised Learning for Industrial Optical Inspection): grey images
of five materials, each defective one with a scratch, crack, dent, pits, stain or smear. They are
rendered as PNG into the cache once per set of options. Items have a material of their own; items are
divided into a fixed train and test part (`splits: published`), so that seeds vary the training and not
the test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import cv2
import numpy as np
from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from trainables.data.files.atomic import made_once
from trainables.data.files.sources import DataFolders
from trainables.data.readers.base import Entry, Listing, Reader, options_of
from trainables.data.seeds import seed_for, shuffled
from trainables.data.spec import DataSpec
from trainables.data.synthesis import DEFECTS, TEXTURES, Surface, add_defect, paint_surface

__all__ = ["READER"]

_RENDERING = 2  # raised when the same options give other pixels


class SyntheticOptions(BaseModel, frozen=True, extra="forbid"):
    """Settings of reader synthetic."""

    images: int = Field(240, ge=8, le=100_000, description="Images in all.")
    positives: int = Field(96, ge=2, description="Defective images among them.")
    size: tuple[int, int] = Field((128, 128), description="Height and width, 32 to 2048 pixels.")
    difficulty: float = Field(0.4, ge=0, le=1, description="0: obvious; 1: fainter than the texture.")
    kinds: tuple[str, ...] = Field(tuple(DEFECTS), min_length=1, description=f"Of {', '.join(DEFECTS)}.")
    textures: tuple[str, ...] = Field(tuple(TEXTURES), min_length=1, description=f"Of {', '.join(TEXTURES)}.")
    seed: int = Field(0, ge=0, lt=1 << 31, description="Another seed makes another data set.")
    items: int = Field(60, ge=4, description="Physical items; the images are divided among them.")
    test_share: float = Field(0.4, gt=0, lt=1, description="Share of the items in the test part.")

    @field_validator("size")
    @classmethod
    def _sides_are_pixels(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not all(32 <= side <= 2048 for side in value):
            raise ValueError(f"a side is 32 to 2048 pixels, found {value[0]} × {value[1]}")
        return value

    @field_validator("kinds", "textures")
    @classmethod
    def _names_are_known(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        known = DEFECTS if info.field_name == "kinds" else TEXTURES
        if not set(value) <= set(known) or len(set(value)) < len(value):
            raise ValueError(f"expected different names of {', '.join(known)}")
        return value

    @model_validator(mode="after")
    def _counts_fit(self) -> Self:
        if self.items > self.images:
            default = "" if "items" in self.model_fields_set else " by default"
            raise ValueError(
                f"every item has an image, found {self.items} items{default} for {self.images} images. Write "
                f"`items: {self.images}` or fewer"
            )
        if self.positives >= self.images:
            raise ValueError(f"some images are normal: {self.positives} positives of {self.images} images")
        return self

    @property
    def key(self) -> str:
        """Hash of all that decides a pixel or a name."""
        return hashlib.sha256(f"{_RENDERING}:{self.model_dump_json()}".encode()).hexdigest()[:16]


class _Picture(NamedTuple):
    number: int
    item: int
    split: str
    kind: str | None


def read_synthetic(spec: DataSpec, folders: DataFolders) -> Listing:
    """Index the images of ``data.options``, rendered on the first call."""
    options = options_of(SyntheticOptions, spec)
    pictures = list(_plan(options))
    # Everything that decides a pixel stands in the key, so images are rendered once for all who ask for the
    # same.
    folder = made_once(
        folders.cache / "synthetic" / options.key, lambda partial: _render(pictures, options, partial)
    )
    entries = tuple(
        Entry(
            sample=f"{picture.number:05d}",
            image=f"images/{picture.number:05d}.png",
            label=picture.kind is not None,
            mask=f"masks/{picture.number:05d}.png" if picture.kind else None,
            defect_class=picture.kind,
            group=f"item{picture.item:04d}",
            split=picture.split,
        )
        for picture in pictures
    )
    return Listing(
        folder,
        entries,
        mask_above=127,
        missing_mask_way_out=f"Delete the folder {folder} to render it again",
    )


def _plan(options: SyntheticOptions) -> Iterator[_Picture]:
    """Who is what: items to parts, defects to images, each kind as often in train as in test."""
    # Items are divided first, so no material is seen in both parts.
    items = shuffled((str(item) for item in range(options.items)), seed_for(options.seed, None, "test"))
    held_out = min(max(round(options.test_share * options.items), 1), options.items - 1)
    test_items = {int(item) for item in items[:held_out]}
    of_part: dict[str, list[int]] = {"train": [], "test": []}
    for index in range(options.images):
        of_part["test" if index % options.items in test_items else "train"].append(index)

    # Defects are as frequent in test as in training, and at least one is there.
    in_test = min(
        max(round(options.positives * len(of_part["test"]) / options.images), 1), len(of_part["test"])
    )
    kinds: dict[int, str] = {}
    for part, count in (("test", in_test), ("train", options.positives - in_test)):
        order = shuffled(map(str, of_part[part]), seed_for(options.seed, None, "positives"))
        for rank, index in enumerate(order[:count]):
            kinds[int(index)] = options.kinds[rank % len(options.kinds)]
    for index in range(options.images):
        item = index % options.items
        yield _Picture(index, item, "test" if item in test_items else "train", kinds.get(index))


def _render(pictures: list[_Picture], options: SyntheticOptions, folder: Path) -> None:
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    for picture in pictures:
        # An item's material has random numbers of its own, and each image too: another number of images
        # leaves the others as they are.
        texture_name = options.textures[picture.item % len(options.textures)]
        item_rng = np.random.default_rng(seed_for(options.seed, None, "item", picture.item))
        surface = Surface.draw(texture_name, item_rng)
        rng = np.random.default_rng(seed_for(options.seed, None, "image", picture.number))
        grey, texture = paint_surface(options.size, surface, rng)
        name = f"{picture.number:05d}.png"
        if picture.kind is not None:
            grey, mask = add_defect(
                grey, texture, surface, kind=picture.kind, difficulty=options.difficulty, rng=rng
            )
            _write(folder / "masks" / name, mask)
        _write(folder / "images" / name, np.clip(np.rint(grey), 0, 255).astype(np.uint8))


def _write(path: Path, pixels: np.ndarray) -> None:
    ok, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    assert ok, f"OpenCV cannot encode {path.name}"
    path.write_bytes(data.tobytes())


READER = Reader(
    name="synthetic",
    title="Synthetic textured surfaces with six kinds of defects, made on the spot",
    licence="Apache-2.0, as this program",
    citation="after DAGM 2007, Weakly Supervised Learning for Industrial Optical Inspection",
    Options=SyntheticOptions,
    read=read_synthetic,
    needs_root=False,
)
