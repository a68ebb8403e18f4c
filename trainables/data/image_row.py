"""One image of a data set, as its inspection found it: all that splits and loading read of it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from trainables.data.formats import Trait

__all__ = ["ImageRow"]


class ImageRow(BaseModel, frozen=True):
    """One image of the manifest; paths are relative to its root, or for a mask to its mask root."""

    model_config = ConfigDict(extra="forbid")
    sample: str  # id
    image: str
    label: bool  # True: defective
    mask: str | None  # of a defective image; None: unknown, or normal
    defect_class: str | None  # None: normal
    group: str  # physical item, never divided between parts
    split: str | None  # "train", "validation" or "test", where the makers publish one split
    fold: int | None  # fold in which the sample is test, where they publish folds
    image_hash: str  # sha256 of the file
    mask_hash: str | None
    width: int  # pixels, as stored
    height: int
    samples: str = "uint8"  # type of the file's samples: uint8, uint16 or float
    peak: float = 255  # greatest value of any channel
    traits: tuple[Trait, ...] = ()
    shows_others: bool = False  # its mask has pixels of classes that the study does not ask for
    copy_of: str | None = None  # first id of images of several items that show the same, in other bytes
