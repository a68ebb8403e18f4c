"""Images that look like masks of other images: trained on as photos, they would show their own answer.

A reader goes by places and names, and a folder that it does not know may hold masks. So the pixels are
looked at too. An image is taken for a mask where all of this holds:

* its pixels are those of a mask: a few values in large areas, or black and white with soft edges;
* another image, a photo of the same shape, has its name, with or without something before or after it
  (``d0.png`` and ``scratch_mask/d0.png`` or ``d0_gt.png``), or it lies in a folder named like masks;
* so do at least half of the images that lie or are called alike: one black photo is no mask.

Only images whose names have such a partner are looked at, so that other sets pay nothing. Photos that are
black and white, and have the names of other photos, are told from masks by nobody: ``data.binary_photos``
says what they are.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.data.files.formats import MASK_SUFFIXES
from trainables.data.files.names import (
    Naming,
    bases_of,
    compared,
    is_of_masks,
    says_drawing,
    says_mask,
    words_of,
)
from trainables.data.inspect.findings import Fault

__all__ = ["Content", "LookAlikes", "Seen", "content_of"]

Content = Literal["photo", "plateau", "mask", "constant"]

_LOOKED_AT = 1 << 18  # pixels, in whole rows all over the image
_PHOTOS = 64  # of one name that are compared
_FEW = 32  # values that classes may have
_DARK = 64  # few values below it may be those of a dark photo, which changes from pixel to pixel
_DRAWN = re.compile(r"[-_. ]*(?:vis|viz|visuali[sz]ation|overlay)", re.IGNORECASE)
_IF_PHOTO = "If it is a photo, set `binary_photos: true` in data (`--binary-photos`)"
_ENDS = 0.12  # share of the range that counts as black, and as white


class Seen(NamedTuple):
    """Content and shape of an image that was looked at."""

    content: Content
    height: int
    width: int


def content_of(grey: NDArray[Any]) -> Content:
    """Kind of the pixels of an image, h × w.

    Returns:
        ``mask``: a few values in large areas, or black and white with soft edges. ``constant``: one value,
        as an empty mask has. ``plateau``: over half of the pixels have one value, as in soft masks, and in
        photos before a black ground. ``photo``: anything else.
    """
    # Whole rows, since changes along a row tell drawn areas from a photo.
    rows = grey[:: max(1, -(-grey.size // _LOOKED_AT))]
    if rows.dtype.kind == "f":
        rows = (rows * (65535 / max(float(rows.max()), 1e-12))).astype(np.uint16)
    counts = np.bincount(rows.ravel())
    values = np.flatnonzero(counts)
    if len(values) == 1:
        return "constant"

    # A drawn mask changes at the edges of its areas only; a photo changes from pixel to pixel even with few
    # values.
    changes = float(np.mean(rows[:, 1:] != rows[:, :-1])) if rows.shape[1] > 1 else 0.0
    most, ground = counts.max() / rows.size, int(counts.argmax())
    highest = int(values[-1])
    if len(values) <= 3:
        allowed = 0.25
    elif len(values) <= _FEW:
        allowed = 0.05 if highest <= _DARK else 0.15
    else:
        allowed = 0.0
    if changes <= allowed:
        return "mask"
    # Of a mask with soft edges, or one saved as a JPEG, nearly all pixels are black or white, and the ground
    # is even.
    black, white = counts[: int(_ENDS * highest) + 1].sum(), counts[int((1 - _ENDS) * highest) :].sum()
    drawn = white if ground <= _ENDS * highest else black
    beside_ground = rows.size - (black + white - drawn)
    if (
        highest > _DARK
        and most >= 0.5
        and changes <= 0.25
        and black + white >= 0.95 * rows.size
        and drawn >= 0.6 * beside_ground
    ):
        return "mask"
    return "plateau" if most >= 0.5 and changes <= 0.3 else "photo"


@dataclass(frozen=True)
class _Kinship:
    """An image that may be a mask, by its name."""

    image: str
    partners: Sequence[str]  # images that it may be a mask of; of those with its own name it is one itself
    group: tuple[str, str]  # what is alike in its place and name
    naming: Naming  # of a mask, around the name of its image
    says_mask: bool  # its name, or that of a folder above it, has a word for masks
    says_drawing: bool  # likewise a word for masks drawn over images


class LookAlikes:
    """The images of a set that may be masks of others, by their names."""

    def __init__(self, images: Sequence[str]) -> None:
        paths = [(image, PurePosixPath(image)) for image in images]
        by_stem: defaultdict[str, list[str]] = defaultdict(list)
        beside: defaultdict[str, list[str]] = defaultdict(list)
        for image, path in paths:
            by_stem[compared(path.stem)].append(image)
            beside[str(path.parent)].append(image)
        self._kin: list[_Kinship] = []
        self._in_group: Counter[tuple[str, str]] = Counter()
        for image, path in paths:
            # By the same name in another folder; by a name with something added; and by tools that make a
            # folder for each image.
            stem, folder = compared(path.stem), str(path.parent)
            self._in_group[folder, path.suffix] += 1
            in_masks = any(map(says_mask, path.parts[:-1]))
            in_drawings = any(map(says_drawing, path.parts[:-1]))
            if len(by_stem[stem]) > 1 or any(map(is_of_masks, path.parts[:-1])):
                group = (folder, path.suffix)
                self._kin.append(_Kinship(image, by_stem[stem], group, Naming(), in_masks, in_drawings))
            for base, before, after in bases_of(stem, by_stem):
                group = (f"{before}*{after}", path.suffix)
                naming = Naming(path.stem[: len(before)], path.stem[len(path.stem) - len(after) :])
                self._in_group[group] += 1
                mask, drawing = says_mask(before + after), bool(_DRAWN.fullmatch(after))
                self._kin.append(
                    _Kinship(image, by_stem[base], group, naming, mask or in_masks, drawing or in_drawings)
                )
            # A folder for each image, as some tools export them: a.json/img.png, label.png and label_viz.png.
            bare = re.sub(f"{_DRAWN.pattern}$", "", path.stem, flags=re.IGNORECASE)
            if is_of_masks(bare) and len(beside[folder]) > 1:
                group = (path.name, "")
                self._in_group[group] += 1
                drawn = bare != path.stem
                self._kin.append(_Kinship(image, beside[folder], group, Naming(), not drawn, drawn))
        lists = {id(kin.partners): kin.partners for kin in self._kin}
        self.looked_at = {kin.image for kin in self._kin}.union(*lists.values())

    def faults(self, seen: Mapping[str, Seen], way_out: str) -> Iterator[Fault]:
        """A sentence for each image that looks like a mask, or like a photo with its mask drawn over it.

        Args:
            seen: Content of the images ``looked_at``, but for those that cannot be read.
            way_out: What to do, with ``{settings}`` for those of reader folder that read the masks as such.
        """
        # Half of a group may be masks, and of one without a word for masks one shows something.
        alike: Counter[tuple[str, str]] = Counter()
        shown: set[tuple[str, str]] = set()
        kin_seen = [kin for kin in self._kin if kin.image in seen]
        for kin in kin_seen:
            content = seen[kin.image].content
            if _may_be_mask(content, kin):
                alike[kin.group] += 1
                shown.update([kin.group] if content != "constant" or kin.says_mask else [])

        # A group decides together, since a single black photo looks like an empty mask.
        masks: dict[str, tuple[_Kinship, str | None]] = {}
        drawings: dict[str, str] = {}
        for kin in kin_seen:
            content = seen[kin.image].content
            is_mask = (
                _may_be_mask(content, kin)
                and kin.group in shown
                and 2 * alike[kin.group] >= self._in_group[kin.group]
            )
            photo = _photo_of(kin, seen) if is_mask or kin.says_drawing else None
            if kin.says_drawing:
                drawings |= {kin.image: photo} if photo is not None else {}
            elif (
                is_mask
                and (photo is not None or (content == "mask" and _lies_in_masks(kin.image)))
                and (kin.image not in masks or masks[kin.image][1] is None)
            ):
                masks[kin.image] = kin, photo

        settings = _settings([(kin, photo) for kin, photo in masks.values() if photo is not None])
        if "{settings}" in way_out and not settings:
            way_out = "Move the masks into one folder masks, with the folders that their images lie in"
        if any(PurePosixPath(image).suffix.lower() not in MASK_SUFFIXES for image in masks):
            way_out = f"Save masks as PNG. {way_out}"
        way_out = way_out.replace("{settings}", settings)
        for image, (_, photo) in masks.items():
            what = "a mask, by its folder and pixels" if photo is None else f"the mask of {photo}"
            yield Fault(
                image,
                f"{image} looks like {what}, and would be trained on as a photo. {way_out}. {_IF_PHOTO}",
            )
        for image, photo in drawings.items():
            if image not in masks:
                yield Fault(
                    image,
                    f"{image} looks like {photo} with something drawn over it, and would be trained on as a "
                    f"photo. Move such pictures out of the folder. {_IF_PHOTO}",
                )


def _settings(found: Sequence[tuple[_Kinship, str]]) -> str:
    """Settings of reader folder by which these are masks; "" where one folder and naming is not enough."""
    folders: set[str] = set()
    for kin, photo in found:
        above = PurePosixPath(kin.image).parts[:-1]
        # The photo's own folders say nothing: that of masks is the innermost which it does not lie in.
        own = [name for name in above if name not in PurePosixPath(photo).parts[:-1]] or list(above)
        said = [name for name in own if says_mask(name)]
        folders.update((said or own)[-1:])
    namings = {kin.naming for kin, _ in found}
    if len(folders) != 1 or len(namings) != 1:
        return ""
    return ", ".join(filter(None, [f"masks: {folders.pop()}", str(namings.pop())]))


def _lies_in_masks(image: str) -> bool:
    return any(map(is_of_masks, PurePosixPath(image).parts[:-1]))


def _may_be_mask(content: Content, kin: _Kinship) -> bool:
    return content in ("mask", "constant") or (content == "plateau" and kin.says_mask)


def _photo_of(kin: _Kinship, seen: Mapping[str, Seen]) -> str | None:
    """The photo that an image may be the mask of: of several that whose folders are called most alike."""
    photos = (image for image in kin.partners if _is_photo_of(kin.image, image, seen))
    said = _words_above(kin.image)
    return max(islice(photos, _PHOTOS), key=lambda image: len(said & _words_above(image)), default=None)


def _words_above(image: str) -> set[str]:
    return {word for name in PurePosixPath(image).parts[:-1] for word in words_of(name)}


def _is_photo_of(mask: str, image: str, seen: Mapping[str, Seen]) -> bool:
    """True where an image is another one, is no mask itself, and has the mask's shape, perhaps turned."""
    if image == mask or image not in seen or seen[image].content in ("mask", "constant"):
        return False
    _, height, width = seen[mask]
    _, rows, columns = seen[image]
    shapes = ((rows, columns), (columns, rows))
    return any(abs(height * across - width * down) <= height * across / 50 for down, across in shapes)
