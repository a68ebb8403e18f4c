"""Folders of one's own images, read name by name: what each of them says of the pictures below it.

A path such as ``line1/train/images/scratch/7.png`` is read folder by folder. A folder says which part of a
split its pictures belong to (``train``), that they are images or masks (``images``, ``ann_dir``), or that
they are good or defective (``ok``, ``ng``), in whatever order. A name may say two things: ``train_masks``,
and ``scratch_mask`` where there is a folder ``scratch`` too. What remains are batches and classes. A mask
belongs to the image of its name whose folders it shares.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from trainables.data.files.formats import MASK_SUFFIXES
from trainables.data.files.names import (
    Naming,
    compared,
    in_words,
    is_system_file,
    part_of,
    rest_of_images,
    rest_of_masks,
    says_drawing,
    words_of,
)
from trainables.data.readers.base import folders_in, images_in

__all__ = [
    "FolderNames",
    "Pairing",
    "Picture",
    "Places",
    "as_class",
    "by_home",
    "look_through",
    "pair",
]

Kind = Literal["image", "mask", "drawing", "stray"]
Label = Literal["good", "defect"]

_TOP = PurePosixPath()


class _Folder(NamedTuple):
    """Meaning of a folder's name; ``rest`` is a batch or a class, "" where it says nothing more."""

    kind: Kind = "image"
    split: str | None = None
    label: Label | None = None
    rest: str = ""


@dataclass(frozen=True)
class FolderNames:
    """Names of the folders of normal and defective images, and of masks."""

    good: str
    defect: str  # "*": every other folder is a class of defects
    masks: str | None  # None: every usual name
    known: frozenset[str] = frozenset()  # all folders, so that scratch_mask is known as that of scratch
    _read: dict[str, _Folder] = field(default_factory=dict[str, _Folder], init=False, compare=False)

    @property
    def are_unlabelled(self) -> bool:
        """True where defective images lie in a folder such as ``images``, whose name is no label."""
        return rest_of_images(self.defect) == ""

    def read(self, name: str) -> _Folder:
        """Read the name of a folder."""
        if name not in self._read:
            self._read[name] = self._as_role(name) or self._as_masks(name) or self._as_images(name)
        return self._read[name]

    def _as_role(self, name: str) -> _Folder | None:
        if compared(name) == compared(self.good):
            return _Folder(label="good", rest=name)
        if compared(name) == compared(self.defect):
            return _Folder(label="defect", rest=name)
        split = part_of(name)
        return None if split is None else _Folder(split=split)

    def _as_masks(self, name: str) -> _Folder | None:
        if self.masks is not None:
            return _Folder("mask") if compared(name) == compared(self.masks) else None
        if says_drawing(name):
            return _Folder("drawing")
        # A word for masks alone, with a role (`train_masks`), or with a class whose images have a folder
        # too; anything else is no folder of masks.
        rest = rest_of_masks(name)
        if not rest:
            return None if rest is None else _Folder("mask")
        role = self._as_role(rest)
        if role is not None:
            return role._replace(kind="mask")
        return _Folder("mask", rest=rest) if rest in self.known else None

    def _as_images(self, name: str) -> _Folder:
        label: Label | None = "defect" if self.are_unlabelled else None
        if says_drawing(name):
            return _Folder("drawing")
        rest = rest_of_images(name)
        if rest == "":
            return _Folder(label=label)
        if rest is not None:
            role = self._as_role(rest)
            if role is not None:
                return role._replace(label=role.label or label)
            if rest_of_masks(f"{rest}_mask") in self.known:
                return _Folder(label=label, rest=rest)
        return _Folder(rest=name)


@dataclass(frozen=True)
class Picture:
    """An image file, by its folders."""

    path: PurePosixPath  # below the root
    kind: Kind
    split: str | None
    label: Label | None
    folders: tuple[str, ...]  # batches, classes and the folder that is the label, from above
    labelled: int  # how many of ``folders`` lie above its classes and batches: those up to its label
    shared: int = 0  # of a mask: how many of ``folders`` lie above that of masks
    home: PurePosixPath = _TOP  # the folder that says what it is: of masks, or the label
    contradicts: bool = False  # its folders call it good and defective

    @cached_property
    def compared_folders(self) -> tuple[str, ...]:
        """``folders`` as they are compared with others."""
        return tuple(in_words(name) or compared(name) for name in self.folders)


@dataclass(frozen=True)
class Places:
    """All image files below a folder."""

    pictures: tuple[Picture, ...]
    mask_folders: tuple[PurePosixPath, ...]  # with pictures or without

    def of(self, kind: Kind) -> list[Picture]:
        """Pictures of a kind."""
        return [picture for picture in self.pictures if picture.kind == kind]


def look_through(root: Path, names: FolderNames) -> Places:
    """Read all folders below ``root``."""
    known = frozenset(in_words(path.name) for path in _all_folders(root))
    names = replace(names, known=known)
    pictures: list[Picture] = []
    mask_folders: list[PurePosixPath] = []

    def walk(folder: Path, above: Picture) -> None:
        for path in images_in(folder):
            if not is_system_file(path.name):
                pictures.append(replace(above, path=above.path / path.name))
        # What a name means may depend on its neighbours, so these are looked at together.
        inner = folders_in(folder)
        alike = Counter(compared(path.name) for path in inner)
        has_images = any(rest_of_images(path.name) == "" for path in inner)
        for path in inner:
            meaning = names.read(path.name)
            # Within good/ or defect/ a folder label/ holds masks beside images/, and else photos of labels.
            is_of_labels = set(words_of(path.name)) <= {"label", "labels"}
            if above.label and names.masks is None and is_of_labels and not has_images:
                meaning = _Folder(rest=path.name)
            below = _entered(above, path.name, meaning)
            # Beside good/ a folder Good/ is another one: which of them is meant nobody knows.
            meant = (names.good, names.defect, names.masks or "masks")
            if alike[compared(path.name)] > 1 and path.name not in meant:
                below = replace(below, kind="stray")
            if below.kind == "mask" and above.kind != "mask":
                mask_folders.append(below.path)
            walk(path, below)

    walk(root, Picture(PurePosixPath(), "image", None, None, (), 0))
    return Places(tuple(pictures), tuple(mask_folders))


def _all_folders(root: Path) -> Iterator[Path]:
    for path in folders_in(root):
        yield path
        yield from _all_folders(path)


def _entered(above: Picture, name: str, meaning: _Folder) -> Picture:
    """A folder below another, with what its own name says."""
    path = above.path / name
    folders = (*above.folders, meaning.rest) if meaning.rest else above.folders
    # What stands further up wins: within masks everything is a mask, and the first label is the label.
    kind, shared, home = above.kind, above.shared, above.home
    if meaning.kind != "image" and above.kind == "image":
        kind, shared, home = meaning.kind, len(above.folders), path
    label, labelled, contradicts = above.label, above.labelled, above.contradicts
    if meaning.label is not None and label is None:
        label, labelled = meaning.label, len(folders)
        home = path if kind == "image" else home
    elif meaning.label is not None:
        contradicts = contradicts or meaning.label != label
    return Picture(
        path, kind, above.split or meaning.split, label, folders, labelled, shared, home, contradicts
    )


def as_class(picture: Picture, good_above: Collection[tuple[str, ...]]) -> Picture:
    """A picture of a folder beside that of normal images, which is a class of defects; others as they are."""
    above = [folders for folders in good_above if picture.folders[: len(folders)] == folders]
    depth = max(map(len, above), default=len(picture.folders))
    if picture.label is not None or len(picture.folders) <= depth:
        return picture
    name = picture.folders[depth]
    home = next((path for path in picture.path.parents if path.name == name), picture.path.parent)
    return replace(picture, label="defect", labelled=depth + 1, home=home)


@dataclass
class Pairing:
    """The masks of images, by the images' paths, and why others are no image's."""

    masks: dict[PurePosixPath, list[PurePosixPath]] = field(
        default_factory=dict[PurePosixPath, list[PurePosixPath]]
    )  # several where a folder is called like the image
    why: dict[PurePosixPath, str] = field(default_factory=dict[PurePosixPath, str])
    rivals: list[tuple[PurePosixPath, PurePosixPath, PurePosixPath]] = field(
        default_factory=list[tuple[PurePosixPath, PurePosixPath, PurePosixPath]]
    )  # an image, and two masks that are equally near


def pair(images: Sequence[Picture], masks: Sequence[Picture], naming: Naming) -> Pairing:
    """Find the image of each mask: of its name, in the same folders.

    Folders that say what a picture is count neither way. An image elsewhere will do where it is defective,
    and it and the mask alone have the name.
    """
    # Images by the name that their mask would have, and by their own, for folders called like an image.
    by_name: defaultdict[str, list[Picture]] = defaultdict(list)
    by_stem: defaultdict[str, list[Picture]] = defaultdict(list)
    for image in images:
        by_name[compared(naming.of(image.path.stem))].append(image)
        by_stem[compared(image.path.stem)].append(image)
    places = {(compared(mask.path.stem), mask.split, mask.path.parent) for mask in masks}
    namesakes = Counter((stem, split) for stem, split, _ in places)

    # Each mask looks for its image, and if there is none of its name, its folder does.
    claims: defaultdict[PurePosixPath, list[Picture]] = defaultdict(list)
    united: defaultdict[PurePosixPath, list[Picture]] = defaultdict(list)
    pairing = Pairing()
    for mask in sorted(masks, key=lambda mask: (MASK_SUFFIXES.index(mask.path.suffix.lower()), mask.path)):
        stem = compared(mask.path.stem)
        candidates = [image for image in by_name.get(stem, []) if _may_share(mask, image)]
        nearest = _nearest(mask.compared_folders, candidates, naming.of, mask.path.stem)
        if not nearest and len(candidates) == 1 and namesakes[stem, mask.split] == 1:
            shared = mask.compared_folders[: mask.shared]
            if candidates[0].label != "good" and _within(shared, candidates[0].compared_folders):
                nearest = candidates
        if not candidates and len(mask.folders) > mask.shared:
            name = mask.path.parent.name
            around = [image for image in by_stem.get(compared(name), []) if _may_share(mask, image)]
            around = _nearest(mask.compared_folders[:-1], around, str, name)
            if len(around) == 1:
                united[around[0].path].append(mask)
                continue
        if len(nearest) == 1:
            claims[nearest[0].path].append(mask)
        elif nearest:
            pairing.why[mask.path] = (
                f"it may be the mask of {nearest[0].path} or {nearest[1].path}. Lay masks in the folders of "
                "their images"
            )
        else:
            pairing.why[mask.path] = "masks without an image of their name. Rename them, or remove them"

    _settle(pairing, claims, united)
    return pairing


def _settle(
    pairing: Pairing,
    claims: Mapping[PurePosixPath, Sequence[Picture]],
    united: Mapping[PurePosixPath, Sequence[Picture]],
) -> None:
    """Give each image its masks: the one that shares most folders, or all in a folder of its name."""
    for image, claimed in claims.items():
        # The mask that shares most folders with its image is meant; a second one just as near makes it
        # ambiguous.
        first, *others = sorted(claimed, key=lambda mask: -len(mask.folders))
        pairing.masks[image] = [first.path]
        for mask in others:
            if len(mask.folders) == len(first.folders) and mask.path.parent != first.path.parent:
                pairing.rivals.append((image, first.path, mask.path))
            pairing.why[mask.path] = "another mask of the same image is read. Remove one of them"
    for image, several in united.items():
        if image in pairing.masks:
            pairing.rivals.append((image, pairing.masks[image][0], several[0].path))
        pairing.masks[image] = sorted(mask.path for mask in several)


def _may_share(mask: Picture, image: Picture) -> bool:
    """True where the parts of a mask and an image do not contradict each other."""
    return mask.split is None or image.split in (None, mask.split)


def _nearest(
    folders: tuple[str, ...], images: Sequence[Picture], name_of: Callable[[str], str], stem: str
) -> list[Picture]:
    """Images in the given folders with fewest others between; defective ones, if there are any."""
    # A mask is of a defective image if any fits: normal ones have none.
    fitting = [image for image in images if _within(folders, image.compared_folders)]
    fitting = [image for image in fitting if image.label != "good"] or fitting
    least = min((len(image.folders) for image in fitting), default=0)
    nearest = [image for image in fitting if len(image.folders) == least]
    exact = [image for image in nearest if name_of(image.path.stem) == stem]
    return exact if len(nearest) > 1 and len(exact) == 1 else nearest


def _within(some: Sequence[str], others: Sequence[str]) -> bool:
    """True where all of some folders are among others, in this order."""
    remaining = iter(others)
    return all(name in remaining for name in some)


def by_home(pictures: Sequence[Picture]) -> Mapping[PurePosixPath, list[PurePosixPath]]:
    """Paths of pictures below the folder that says what they are."""
    homes: defaultdict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for picture in pictures:
        homes[picture.home].append(picture.path.relative_to(picture.home))
    return homes
