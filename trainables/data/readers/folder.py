"""Your own images in folders: ``good/``, ``defect/`` and, where they exist, ``masks/``.

Layout: ``good/a.jpg``, ``defect/b.jpg``, ``masks/b.png``: a mask has the stem of its image. With
several defect classes: ``defect/scratch/b.jpg`` and ``masks/scratch/b.png`` (or ``masks/b.png``, where one
image alone is called b). Folders below ``good/`` and within a class are batches: all their images are read.
With a split of your own, the same below ``train/`` and ``test/``, and perhaps ``validation/``; below folders
of any other names, which are batches then. Without normal images: ``images/`` and ``annotations/``, each
perhaps with ``training/`` and ``test/`` (``{defect: images, masks: annotations}``). ``data.path`` names the
folder (or a zip of it) below the data root. Other names of the three folders, and what masks' names have
before or after those of images, are options: ``{good: ok, defect: ng, masks: ground_truth, mask_suffix:
_mask}``. ``defect: "*"`` takes every other folder for a class of defects. ``masks`` may be the folder of
defective images itself: those of normal images, which are empty, then lie beside these.

Rules: the folder is the label, in upper or lower case; a defective image without a mask has an image label
only. Where no folder holds normal images, masks are needed, and an image of a folder such as ``images`` is
defective where its mask shows a defect. With ``mask_classes: {1: scratch, 2: hole}`` masks hold class indices
(see reader table). Every image is taken for an item of its own: when one part was photographed several times,
use ``data.item``. Files that are passed over are counted, and masks of which none is named like an image
refuse the data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field

from trainables.data.formats import MASK_SUFFIXES
from trainables.data.readers.base import (
    Entry,
    Listing,
    MaskOptions,
    MaskSettings,
    Reader,
    folders_in,
    options_of,
)
from trainables.data.readers.mask_names import (
    MaskIndex,
    Naming,
    compared,
    images_below,
    naming_of,
    split_beside,
)
from trainables.data.sources import DataFolders
from trainables.data.spec import DataSpec
from trainables.data.unread import DEFECT_FOLDERS, GOOD_FOLDERS, is_picture, is_system_file, unread_files
from trainables.errors import InputError

__all__ = ["READER", "FolderOptions", "part_of"]


_FolderName = Annotated[str, Field(pattern=r"^[^/\\.][^/\\]*$")]
_Affix = Annotated[str, Field(pattern=r"^[^/\\]*$")]
_PARTS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
}
_DEPTH = 2  # folders that batches may lie below


class FolderOptions(MaskSettings, frozen=True):
    """Settings of reader folder."""

    good: _FolderName = Field("good", description="Folder of normal images.")
    defect: _FolderName = Field(
        "defect", description='Folder of defective images. `"*"`: every other folder is a class of defects.'
    )
    masks: _FolderName = Field("masks", description="Folder of masks; may be that of defective images.")
    mask_prefix: _Affix = Field(
        "", description="What a mask's name has before that of its image, as in `gt_`."
    )
    mask_suffix: _Affix = Field(
        "", description="What a mask's name has after that of its image, as in `_mask`."
    )

    @property
    def naming(self) -> Naming:
        """Prefix and suffix of masks' names."""
        return Naming(self.mask_prefix, self.mask_suffix)


@dataclass(frozen=True)
class _Base:
    """A folder that holds those of good, defective images and masks."""

    folder: Path
    split: str | None  # published part
    good: Path | None
    defect: tuple[tuple[Path, str | None], ...]  # with their class; None: the folders below it are classes
    masks: Path | None

    def suffices(self, options: FolderOptions) -> bool:
        """True where there are defective images and normal ones, or masks and no word of normal ones."""
        if self.good is not None or not self.defect:
            return bool(self.defect)
        expected = "good" in options.model_fields_set or any(
            _child(self.folder, name) for name in GOOD_FOLDERS
        )
        return self.masks is not None and not expected


def read_folder(spec: DataSpec, folders: DataFolders) -> Listing:
    """Index ``good/``, ``defect/`` and ``masks/``, directly or below the folders of parts or batches."""
    options = options_of(FolderOptions, spec)
    start = folders.below_root(READER.name, spec.path)
    below = folders_in(start) if start.is_dir() else []
    candidates = [start, *below] if len(below) == 1 else [start]  # a zip often has one folder on top
    root, bases = next(
        ((folder, bases) for folder in candidates if (bases := _bases(folder, options))), (start, [])
    )
    if not bases:
        raise InputError(
            f"{start} is not laid out for reader folder: expected the folders {options.good} and "
            f"{options.defect} (and {options.masks}), directly, below train and test, or below folders of "
            f"batches; found {', '.join(path.name for path in below[:8]) or 'no folder'}. Name the folder in "
            "data.path, or the folders in data.options. Images that are all defective need masks, and only "
            "these two folders."
        )
    if (
        not any(base.masks for base in bases)
        and {"masks", "mask_suffix", "mask_prefix"} & options.model_fields_set
    ):
        raise InputError(
            f"data.options.masks: {root} has no folder {options.masks!r}, which a setting of masks names. "
            "Correct the name, or leave masks, mask_prefix and mask_suffix out."
        )
    lists = [_PartList(root, base, options) for base in bases]
    entries = tuple(entry for part in lists for entry in part.entries())
    indices = options.indices(spec)
    used = {path for entry in entries for path in (entry.image, entry.mask or "")}
    if not any(part.index.used for part in lists):
        _refuse_unmatched(root, lists, options)
    reasons = _Reasons(root, tuple(lists), options)
    return Listing(
        root,
        entries,
        options.mask_above,
        unsplit=f"{root} has no folders train and test: use `splits: per_seed`.",
        missing_mask_way_out="Add it",
        indices=indices,
        classes=tuple(indices.names.values()) if indices else None,
        mask_options=MaskOptions.of(options),
        unread=unread_files(root, used, reasons.why),
        look_alike_way_out="Set {settings} in data.options",
    )


def _bases(root: Path, options: FolderOptions) -> list[_Base]:
    """Folders that hold images: ``root`` itself, its parts, or its batches."""
    if not root.is_dir():
        return []
    whole = _base(root, None, options)
    if whole.suffices(options):
        return [whole]
    parts = [_base(path, part_of(path), options) for path in folders_in(root) if part_of(path)]
    held = {part.split for part in parts if part.good is not None or part.suffices(options)}
    if {"train", "test"} <= held:
        return [part for part in parts if part.good is not None or part.defect]
    if options.defect == "*":
        return []
    batches = list(_batches(root, options, _DEPTH))
    return batches if any(base.good for base in batches) and any(base.defect for base in batches) else []


def part_of(folder: Path) -> str | None:
    """The published part that a folder's name stands for."""
    return _PARTS.get(folder.name.lower())


def _batches(root: Path, options: FolderOptions, depth: int) -> Iterator[_Base]:
    for path in folders_in(root):
        base = _base(path, None, options)
        if base.good is not None or base.defect:
            yield base
        elif depth > 1:
            yield from _batches(path, options, depth - 1)


def _base(folder: Path, split: str | None, options: FolderOptions) -> _Base:
    good, masks = _child(folder, options.good), _child(folder, options.masks)
    if options.defect == "*":
        others = [path for path in folders_in(folder) if path not in (good, masks)]
        classes = [(path, path.name) for path in others if images_below(path)]
        return _Base(folder, split, good, tuple(classes), masks)
    defect = _child(folder, options.defect)
    return _Base(folder, split, good, () if defect is None else ((defect, None),), masks)


def _child(folder: Path, name: str) -> Path | None:
    """The folder of this name; if there is none, that of the same name in other letters."""
    exact = folder / name
    if exact.is_dir():
        return exact
    alike = [path for path in folders_in(folder) if compared(path.name) == compared(name)]
    return alike[0] if len(alike) == 1 else None


def _without_case(image: Path) -> str:
    return compared(str(image.with_suffix("")))


class _PartList:
    """Images of one base, and their masks."""

    def __init__(self, root: Path, base: _Base, options: FolderOptions) -> None:
        self.root, self.base = root, base
        self._naming = options.naming
        beside = any(base.masks == folder for folder, _ in base.defect)
        self.good = images_below(base.good) if base.good is not None else []
        good_masks: list[PurePosixPath] = []
        if beside or options.masks == options.defect:  # a part may have no defective images
            self.good, good_masks = split_beside(self.good, options.naming)
        self.defect: list[tuple[Path, str | None, PurePosixPath]] = []
        masks = [] if base.masks is None or beside else images_below(base.masks, MASK_SUFFIXES)
        for folder, name in base.defect:
            images = images_below(folder)
            if beside and folder == base.masks:
                images, masks = split_beside(images, options.naming)
            elif base.masks is None:
                _refuse_masks_among_images(folder.relative_to(root), images, options)
            self.defect += [(folder, name, path) for path in images]
        if base.good is not None and base.masks is None:
            _refuse_masks_among_images(base.good.relative_to(root), self.good, options, are_good=True)
        stems = Counter(compared(path.stem) for _, _, path in self.defect)
        self._defect_stems = set(stems)
        parts = {part_of(Path(path.parts[0])) for _, _, path in self.defect}
        # Without good/ parts may lie within images/: images/train/ and images/test/.
        self._split_below = (
            base.good is None and base.split is None and parts - {"validation"} == {"train", "test"}
        )
        stems.update(compared(path.stem) for path in self.good)
        self.index = MaskIndex(masks, options.naming, stems)
        self._good_index = MaskIndex(good_masks, options.naming, stems)
        self.indices = [(base.masks, self.index)] if base.masks is not None else []
        self.indices += [(base.good, self._good_index)] if base.good is not None and good_masks else []
        images = [folder / path for folder, _, path in self.defect]
        images += [] if base.good is None else [base.good / path for path in self.good]
        self._alike = Counter(map(_without_case, images))

    def entries(self) -> Iterator[Entry]:
        base = self.base
        for path in self.good:
            assert base.good is not None, "it holds these images"
            # masks/001.png is the mask of defect/001.png, where both folders have a 001.
            flat = [] if compared(path.stem) in self._defect_stems else [path]
            places = [PurePosixPath(base.good.name) / path, *flat]
            exactly = self._alike[_without_case(base.good / path)] > 1
            beside = self._good_index.find([path], by_name=False, exactly=exactly)
            file = self.index.find(places, by_name=False, exactly=exactly)
            mask = base.good / beside if beside is not None else self._mask(file)
            yield self._entry(base.good / path, None, mask, base.split)
        for folder, name, path in self.defect:
            inside = PurePosixPath(folder.name) / path
            places = [path, inside] if name is None else [inside]
            inner = path.parts[:-1][self._split_below :]
            defect_class = name or (inner[0] if inner else None)
            exactly = self._alike[_without_case(folder / path)] > 1
            file = self.index.find(places, by_name=True, exactly=exactly)
            expected = places[0].with_name(f"{self._naming.of(path.stem)}.png")
            mask = self._mask(file) or (base.masks or base.folder / "masks") / expected
            split = part_of(Path(path.parts[0])) if self._split_below else base.split
            entry = self._entry(folder / path, defect_class or "defect", mask, split)
            named = defect_class is not None or folder.name.casefold() in DEFECT_FOLDERS
            # Of images/ nobody says that all are defective: their masks do.
            yield entry if named or base.good is not None else replace(entry, label=None)

    def _mask(self, path: PurePosixPath | None) -> Path | None:
        return None if path is None or self.base.masks is None else self.base.masks / path

    def _entry(self, path: Path, defect_class: str | None, mask: Path | None, split: str | None) -> Entry:
        image = path.relative_to(self.root)
        sample = image.with_suffix("").as_posix()
        return Entry(
            sample,
            image.as_posix(),
            defect_class is not None,
            None if mask is None else mask.relative_to(self.root).as_posix(),
            defect_class,
            sample,
            split,
        )

    @property
    def unmatched(self) -> list[PurePosixPath]:
        """Masks of no image."""
        return [path for path in self.index.files if path not in self.index.used]

    @property
    def stems(self) -> set[str]:
        """Stems of all images."""
        return {path.stem for path in self.good} | {path.stem for _, _, path in self.defect}


def _refuse_unmatched(root: Path, lists: list[_PartList], options: FolderOptions) -> None:
    """Refuse masks of which none is named like an image: the study would be trained without any."""
    for part in lists:
        masks = part.base.masks
        if masks is None or not part.defect:
            continue
        folder, _, path = part.defect[0]
        place, image = masks.relative_to(root).as_posix(), (folder / path).relative_to(root).as_posix()
        expected = f"expected {place}/{options.naming.of(path.stem)}.png for {image}"
        if part.unmatched:
            count = sum(len(part.unmatched) for part in lists)
            raise InputError(
                f"{place} holds {count} mask{'s' * (count != 1)}, and no image has a name that fits: "
                f"{expected}, found {place}/{part.unmatched[0]}. {_way_out(part)}"
            )
        if masks == folder:
            raise InputError(
                f"{place} holds no mask beside its images: {expected}, found none of such a name. Correct "
                "mask_prefix and mask_suffix in data.options, or leave masks out."
            )
        files = [file for file in masks.rglob("*") if is_picture(file) and not is_system_file(file.name)]
        if files:
            first = min(file.relative_to(root).as_posix() for file in files)
            raise InputError(
                f"{place} holds {len(files)} masks, of which none is read: "
                f"{_why_no_mask(PurePosixPath(first).suffix.lower())}. "
                f"{expected[0].upper()}{expected[1:]}, found {first}. Save masks as PNG."
            )


def _why_no_mask(suffix: str) -> str:
    if suffix in (".jpg", ".jpeg"):
        return "a JPEG has values nobody drew"
    known = ", ".join(known.removeprefix(".") for known in MASK_SUFFIXES)
    return f"{suffix.removeprefix('.')} is no format of masks ({known})"


def _way_out(part: _PartList) -> str:
    naming = naming_of(part.stems, (path.stem for path in part.unmatched))
    if naming is None or naming == Naming():
        return "Rename the masks like their images, or name both in a table (reader table)."
    return f"Set {naming} in data.options."


def _refuse_masks_among_images(
    folder: Path, images: list[PurePosixPath], options: FolderOptions, *, are_good: bool = False
) -> None:
    """Refuse a folder of images in which masks lie too: each would be trained on as an image."""
    kept, masks = split_beside(images, options.naming)
    if not masks:
        return
    naming = naming_of((path.stem for path in kept), (path.stem for path in masks)) or Naming()
    if options.defect == "*" and not are_good:  # `masks` names one folder
        way_out = f"Move the masks into a folder {options.masks}"
        way_out += f", and set {naming} in data.options" if naming != Naming() else ""
    else:
        settings = ", ".join(filter(None, [f"masks: {options.defect}", str(naming)]))
        way_out = "Remove them" if are_good else f"Set {settings} in data.options"
        way_out += f", or move the masks into a folder {options.masks}"
    raise InputError(
        f"{folder}: {masks[0]} looks like the mask of another image there, as do {len(masks)} files in all. "
        f"{way_out}."
    )


@dataclass(frozen=True)
class _Reasons:
    root: Path
    lists: tuple[_PartList, ...]
    options: FolderOptions

    def why(self, path: PurePosixPath) -> str:
        """Reason why an image or mask was passed over."""
        file = self.root / path
        for masks, index in (pair for part in self.lists for pair in part.indices):
            if not file.is_relative_to(masks):
                continue
            if path.suffix.lower() not in MASK_SUFFIXES:
                return f"{_why_no_mask(path.suffix.lower())}. Save masks as PNG"
            stem = PurePosixPath(file.relative_to(masks).as_posix()).with_suffix("")
            if stem in index.used_stems:
                return "another mask of the same image is read. Remove one of them"
            return "masks without an image of their name. Rename them, or remove them"
        names = [self.options.good, self.options.defect, self.options.masks]
        return (
            f"not in one of the folders {', '.join(names)}. Move it there, or name its folder in data.options"
        )


READER = Reader(
    name="folder",
    title="Folders good/, defect/ and masks/ of your own images",
    licence="yours",
    citation="none",
    Options=FolderOptions,
    read=read_folder,
)
