"""Your own images in folders: ``good/``, ``defect/`` and, where they exist, ``masks/``.

Layout: ``good/a.jpg``, ``defect/b.jpg``, ``masks/b.png``: a mask has the stem of its image. With several
defect classes: ``defect/scratch/b.jpg`` and ``masks/scratch/b.png`` (or ``masks/b.png``, where one image
alone is called b). Other folders below ``good/`` and within a class are batches: all their images are
read. Folders of parts (``train``, ``test``, ``validation``), of images and of masks may lie at any level
and in any order: ``train/good``, ``images/bad`` with ``masks/bad``, ``line1/defect/images``,
``img_dir/train`` with ``ann_dir/train`` (:mod:`trainables.data.readers.folder_names`). Without normal images:
``images/`` and ``annotations/`` (``{defect: images, masks: annotations}``). ``data.path`` names the folder
(or a zip of it) below the data root. Other names of the three folders, and what masks' names have before
or after those of images, are options: ``{good: ok, defect: ng, masks: ground_truth, mask_suffix: _mask}``.
``defect: "*"`` takes every other folder for a class of defects. ``masks`` may be the same as ``defect``:
masks then lie beside their images, those of normal images too. Where ``masks`` is not set, every folder
named like masks holds masks.

Rules: the folder is the label, in upper or lower case; a defective image without a mask has an image label
only. Where no folder holds normal images, masks are needed, and an image of a folder such as ``images`` is
defective where its mask shows a defect. Several masks in a folder that is called like their image
(``masks/b/0.png``, ``masks/b/1.png``) are united. With ``mask_classes: {1: scratch, 2: hole}`` masks hold
class indices (see reader table). Every image is taken for an item of its own: when one part was
photographed several times, use ``data.item``. Files that are passed over are counted, and masks of which
none is named like an image refuse the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field

from trainables.data.files.formats import MASK_SUFFIXES
from trainables.data.files.names import (
    DEFECT_FOLDERS,
    GOOD_FOLDERS,
    Naming,
    compared,
    in_words,
    is_picture,
    is_system_file,
    naming_of,
    split_beside,
)
from trainables.data.files.sources import DataFolders
from trainables.data.inspect.findings import counted
from trainables.data.inspect.unread import unread_files
from trainables.data.masks import RUNS_SUFFIX
from trainables.data.readers.base import (
    Entry,
    Listing,
    MaskOptions,
    MaskSettings,
    Reader,
    folders_in,
    options_of,
    united_masks,
)
from trainables.data.readers.folder_names import (
    FolderNames,
    Pairing,
    Picture,
    Places,
    as_class,
    by_home,
    look_through,
    pair,
)
from trainables.data.spec import DataSpec
from trainables.errors import InputError

__all__ = ["READER", "FolderOptions", "Found", "find_pictures"]

_FolderName = Annotated[str, Field(pattern=r"^[^/\\.][^/\\]*$")]
_Affix = Annotated[str, Field(pattern=r"^[^/\\]*$")]


class FolderOptions(MaskSettings, frozen=True):
    """Settings of reader folder."""

    good: _FolderName = Field("good", description="Folder of normal images.")
    defect: _FolderName = Field(
        "defect", description='Folder of defective images. `"*"`: every other folder is a class of defects.'
    )
    masks: _FolderName = Field(
        "masks",
        description="Folder of masks; may be that of defective images. Default: `masks`, or folders of "
        "other usual names.",
    )
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


def read_folder(spec: DataSpec, folders: DataFolders) -> Listing:
    """Index ``good/``, ``defect/`` and ``masks/``, with folders of parts, batches and images in any order."""
    options = options_of(FolderOptions, spec)
    found = find_pictures(folders.below_root(READER.name, spec.path), options)
    root, images = found.root, found.images
    _refuse_unfit(found, options)
    if found.names_masks and not (found.masks or found.mask_folders or found.beside):
        raise InputError(
            f"data.options.masks: {root} has no folder {options.masks!r}, which a setting of masks names. "
            "Correct the name, or leave masks, mask_prefix and mask_suffix out."
        )
    if not found.masks:
        _refuse_masks_among_images(images, options)

    # Each mask finds its image; what remains ambiguous, or matches nothing at all, is refused.
    pairing = pair(images, found.masks, options.naming)
    for image, first, second in pairing.rivals[:1]:
        raise InputError(
            f"{root}: {image} has two masks, {first} and {second}. Name the folder of masks in "
            "data.options.masks, or move one of the two away."
        )
    if not pairing.masks:
        _refuse_unmatched(found, pairing, options)

    # Several masks of one image are united, in the cache: the masks of all images are read from there then.
    mask_root = None
    if any(len(files) > 1 for files in pairing.masks.values()):
        if options.mask_classes is not None:
            raise InputError(
                f"{root}: several masks of one image are united, and are of one class; found mask_classes. "
                "Leave mask_classes out, or draw one mask for each image."
            )
        named = {image.as_posix(): files for image, files in pairing.masks.items()}
        mask_root = united_masks(root, named, options.mask_above, folders.cache)

    # A published split needs both parts. With one of them alone, images would be missing from every trial.
    parts = {image.split for image in images}
    is_split = {"train", "test"} <= parts
    remarks = ()
    if len(parts) > 1 and not is_split:
        listed = ", ".join(sorted(part for part in parts if part))
        remarks = (f"the parts {listed} are read as one set, for train and test are not both there.",)
    entries = [
        _entry(image, found, pairing, options, mask_root=mask_root, is_split=is_split) for image in images
    ]
    indices = options.indices(spec)
    read = {image.path for image in images}.union(*pairing.masks.values())
    return Listing(
        root,
        tuple(entries),
        options.mask_above if mask_root is None else 0,
        unsplit=f"{root} has no folders train and test: use `splits: per_seed`.",
        missing_mask_way_out="Add it",
        mask_root=mask_root,
        indices=indices,
        classes=tuple(indices.names.values()) if indices else None,
        mask_options=MaskOptions.of(options),
        unread=unread_files(root, {path.as_posix() for path in read}, _Reasons(found, pairing, options).why),
        remarks=remarks,
        look_alike_way_out="Set {settings} in data.options",
    )


@dataclass(frozen=True)
class Found:
    """Images and masks of a folder, before they are paired."""

    root: Path
    images: tuple[Picture, ...]
    masks: tuple[Picture, ...]
    mask_folders: tuple[PurePosixPath, ...]
    drawings: frozenset[PurePosixPath]  # masks drawn over their images, for people to look at
    folders: frozenset[str]  # words of the names of all folders with pictures, as in ``no_defect``
    beside: bool  # masks lie beside their images
    names_masks: bool  # a setting says where they are, or how they are called
    others: tuple[PurePosixPath, ...]  # pictures in folders that say nothing of them
    several: tuple[tuple[str, ...], ...]  # folders that each hold one of normal images and others beside it

    @property
    def holds_masks(self) -> bool:
        """True where pictures of any format lie in folders of masks."""
        return bool(self.masks) or any(map(self.pictures_of_masks, self.mask_folders))

    def pictures_of_masks(self, folder: PurePosixPath) -> list[PurePosixPath]:
        """Pictures of any format in a folder of masks."""
        paths = (path for path in (self.root / folder).rglob("*") if is_picture(path))
        return sorted(
            PurePosixPath(path.relative_to(self.root).as_posix())
            for path in paths
            if not is_system_file(path.name)
        )

    @cached_property
    def homes(self) -> frozenset[PurePosixPath]:
        """Folders of masks that hold some."""
        return frozenset(mask.home for mask in self.masks)

    @cached_property
    def has_good(self) -> bool:
        """True where a folder of normal images is there."""
        return any(image.label == "good" for image in self.images)

    @property
    def defective(self) -> list[Picture]:
        """Images in folders of defective ones."""
        return [image for image in self.images if image.label == "defect"]


def find_pictures(start: Path, options: FolderOptions) -> Found:
    """Look for images and masks below ``start``, or below the one folder that it holds."""
    found = _find_pictures(start, options)
    below = folders_in(start) if start.is_dir() else []
    if len(below) == 1 and (options.defect == "*" or not found.has_good):  # a zip often has one folder on top
        further = _find_pictures(below[0], options)
        if further.defective and (further.has_good or further.masks):
            return further
    return found


def _find_pictures(root: Path, options: FolderOptions) -> Found:
    given = options.model_fields_set
    beside = compared(options.masks) == compared(options.defect)
    masks_name = None if "masks" not in given else "" if beside else options.masks
    names = FolderNames(options.good, options.defect, masks_name)

    # First every folder is read for what it says; then images without a label are passed over, and masks
    # beside their images are told by name.
    places = look_through(root, names) if root.is_dir() else Places((), ())
    pictures = places.of("image")
    good_above = {picture.folders[: picture.labelled - 1] for picture in pictures if picture.label == "good"}
    if options.defect == "*":
        pictures = [as_class(picture, good_above) for picture in pictures]
    masks = [picture for picture in places.of("mask") if picture.path.suffix.lower() in MASK_SUFFIXES]
    # Folders of the very name go before those of other usual names.
    masks = [mask for mask in masks if mask.home.name == options.masks] or masks
    if masks and names.are_unlabelled and not any(picture.label or picture.folders for picture in pictures):
        # No folder says anything of images: whatever is no mask is one, and its mask says what it shows.
        pictures = [replace(picture, label="defect", home=picture.path.parent) for picture in pictures]
    images = [picture for picture in pictures if picture.label is not None]
    # Where the folders lie at the top, others of their names further below are no batches.
    tops = [{image.label for image in images if image.labelled <= 1}, {image.label for image in images}]
    if tops[0] == tops[1]:
        images = [image for image in images if image.labelled <= 1]
    if beside:
        among = set(split_beside([image.path for image in images], options.naming)[1])
        masks = [image for image in images if image.path in among]
        images = [image for image in images if image.path not in among]
    taken = {picture.path for picture in (*images, *masks)}
    return Found(
        root,
        tuple(images),
        tuple(masks),
        places.mask_folders,
        frozenset(picture.path for picture in places.of("drawing")),
        frozenset(in_words(name) for image in places.pictures for name in image.path.parts[:-1]),
        beside,
        bool({"masks", "mask_suffix", "mask_prefix"} & given),
        tuple(picture.path for picture in pictures if picture.path not in taken),
        tuple(sorted(good_above)) if options.defect == "*" and len(good_above) > 1 else (),
    )


def _refuse_unfit(found: Found, options: FolderOptions) -> None:
    """Refuse folders that say too little of what is normal and defective, or two things."""
    for image in found.images:
        if image.contradicts:
            raise InputError(
                f"{found.root}: {image.path} lies in a folder of normal images and in one of defective ones. "
                "Move it into one of the two."
            )
    if options.defect == "*":
        names = {in_words(image.home.name) for image in found.defective}
        for name in sorted(names & set(GOOD_FOLDERS)):
            raise InputError(
                f'{found.root}: with defect: "*" every folder beside {options.good} is a class of defects, '
                f"found {name}, a name of normal images. Join the two, or name the folder of defects."
            )

    # Without normal images masks must say what is defective; a folder of usual name that is merely misspelt
    # must not be taken for none.
    no_good = "good" not in options.model_fields_set and found.folders.isdisjoint(GOOD_FOLDERS)
    has_masks = bool(found.masks or found.mask_folders or found.beside)
    if found.defective and not found.several and (found.has_good or (has_masks and no_good)):
        return
    defect = "folders of defects beside it" if options.defect == "*" else f"a folder {options.defect}"
    below = [path.name for path in folders_in(found.root)[:8]] if found.root.is_dir() else []
    several = [f"{'/'.join(folders)}/{options.good}" for folders in found.several[:8]]
    raise InputError(
        f"{found.root} is not laid out for reader folder: expected a folder {options.good} and {defect} (and "
        f"{options.masks}), alone or with folders of parts, images and batches; found "
        f"{', '.join(several or below) or 'no folder'}. Name the folder in data.path, or the folders in "
        "data.options. Images that are all defective need masks, and only these two folders."
    )


def _entry(
    image: Picture,
    found: Found,
    pairing: Pairing,
    options: FolderOptions,
    *,
    mask_root: Path | None,
    is_split: bool,
) -> Entry:
    # A defective image without a mask keeps the place where it would lie, for the message.
    is_good = image.label == "good"
    sample = image.path.with_suffix("").as_posix()
    files = pairing.masks.get(image.path)
    if files is not None:
        mask = files[0].as_posix() if mask_root is None else f"{sample}{RUNS_SUFFIX}"
    else:
        mask = None if is_good or mask_root is not None else _expected_mask(image, found, options).as_posix()
    # The folder is the class where every other one is, else that below the folder of defective images.
    at = image.labelled - 1 if options.defect == "*" else image.labelled
    shown = "defect" if len(image.folders) <= at else image.folders[at]
    # Of images/ nobody says that all are defective: their masks do.
    is_named = found.has_good or in_words(options.defect) in DEFECT_FOLDERS
    return Entry(
        sample,
        image.path.as_posix(),
        False if is_good else True if is_named else None,
        mask,
        None if is_good else shown,
        sample,
        image.split if is_split else None,
    )


def _expected_mask(image: Picture, found: Found, options: FolderOptions) -> PurePosixPath:
    """Place where the mask of an image would lie: below the nearest folder of masks, as its image does."""
    base = image.home if found.beside else image.home.parent / options.masks
    folders = [folder for folder in found.mask_folders if folder in found.homes] or list(found.mask_folders)
    fitting = [folder for folder in folders if image.path.is_relative_to(folder.parent)] or folders
    if fitting and not found.beside:
        base = max(fitting, key=lambda folder: len(folder.parts))
    inside = image.path.relative_to(image.home)
    if options.defect == "*" and image.home.name != base.name:
        inside = PurePosixPath(image.home.name) / inside
    return (base / inside).with_name(f"{options.naming.of(image.path.stem)}.png")


def _refuse_unmatched(found: Found, pairing: Pairing, options: FolderOptions) -> None:
    """Refuse masks of which none is an image's: the study would be trained without any."""
    # The message shows a real image and a real file, so that the difference in their names is seen at once.
    image = min(found.defective, key=lambda image: image.path)
    if found.masks:
        mask = min(found.masks, key=lambda mask: mask.path)
        if (why := pairing.why[mask.path]).startswith("it may"):
            raise InputError(f"{found.root}: no mask is an image's alone, such as {mask.path}: {why}.")
        place = mask.home
        raise InputError(
            f"{place} holds {counted(len(found.masks), 'mask')}, and no image has a name that fits: expected "
            f"{place}/{options.naming.of(image.path.stem)}.png for {image.path}, found {mask.path}. "
            f"{_way_out(found)}"
        )
    if found.beside:
        expected = image.path.with_name(f"{options.naming.of(image.path.stem)}.png")
        raise InputError(
            f"{image.home} holds no mask beside its images: expected {expected} for {image.path}, found none "
            "of such a name. Correct mask_prefix and mask_suffix in data.options, or leave masks out."
        )
    for place in found.mask_folders:
        files = found.pictures_of_masks(place)
        if files:
            first = files[0]
            raise InputError(
                f"{place} holds {counted(len(files), 'mask')}, of which none is read: "
                f"{_why_no_mask(first.suffix.lower())}. Expected "
                f"{place}/{options.naming.of(image.path.stem)}.png for {image.path}, found {first}. Save "
                "masks as PNG."
            )


def _why_no_mask(suffix: str) -> str:
    if suffix in (".jpg", ".jpeg"):
        return "a JPEG has values nobody drew"
    known = ", ".join(known.removeprefix(".") for known in MASK_SUFFIXES)
    return f"{suffix.removeprefix('.')} is no format of masks ({known})"


def _way_out(found: Found) -> str:
    naming = naming_of((image.path.stem for image in found.images), (mask.path.stem for mask in found.masks))
    if naming is None or naming == Naming():
        return "Rename the masks like their images, or name both in a table (reader table)."
    return f"Set {naming} in data.options."


def _refuse_masks_among_images(images: Sequence[Picture], options: FolderOptions) -> None:
    """Refuse folders of images in which masks lie too: each would be trained on as an image."""
    for label in ("defect", "good"):
        for folder, paths in by_home([image for image in images if image.label == label]).items():
            kept, masks = split_beside(paths, options.naming)
            if not masks:
                continue
            naming = naming_of((path.stem for path in kept), (path.stem for path in masks)) or Naming()
            settings = ", ".join(filter(None, [f"masks: {_quoted(options.defect)}", str(naming)]))
            moved = f" (and set {naming})" if naming != Naming() else ""
            way_out = "Remove them" if label == "good" else f"Set {settings} in data.options"
            raise InputError(
                f"{folder}: {masks[0]} looks like the mask of another image there, as do {len(masks)} files "
                f"in all. {way_out}, or move the masks into a folder {options.masks}{moved}."
            )


def _quoted(name: str) -> str:
    """A folder as YAML has it: a star alone would be an alias."""
    return '"*"' if name == "*" else name


@dataclass(frozen=True)
class _Reasons:
    found: Found
    pairing: Pairing
    options: FolderOptions

    def why(self, path: PurePosixPath) -> str:
        """Reason why an image or mask was passed over."""
        # From the reason that is surest to the most general one: a file has one sentence, and it should be
        # that which helps.
        if path in self.pairing.why:
            return self.pairing.why[path]
        if path in self.found.drawings:
            return (
                "masks drawn over their images, by the name of their folder, which are for people to look at"
            )
        if any(path.is_relative_to(folder) for folder in self.found.mask_folders):
            if path.suffix.lower() not in MASK_SUFFIXES:
                return f"{_why_no_mask(path.suffix.lower())}. Save masks as PNG"
            return "masks without an image of their name. Rename them, or remove them"
        defect = "folders beside it" if self.options.defect == "*" else self.options.defect
        return (
            f"not in one of the folders {self.options.good}, {defect}, {self.options.masks}. Move it there, "
            "or name its folder in data.options"
        )


READER = Reader(
    name="folder",
    title="Folders good/, defect/ and masks/ of your own images",
    licence="yours",
    citation="none",
    Options=FolderOptions,
    read=read_folder,
)
