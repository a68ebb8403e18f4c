"""Names of folders and files, and what they say of a picture: good or defective, image, mask or drawing.

``words_of("SegmentationClassPNG")`` are ``segmentation``, ``class`` and ``png``: a name is read word by word,
in any spelling. A word alone proves nothing (``damaged_label`` is a defect of bottles), so whoever asks
compares the names of images too, or looks at the pixels.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from trainables.data.files.formats import IMAGE_SUFFIXES, MASK_SUFFIXES

__all__ = [
    "DEFECT_FOLDERS",
    "GOOD_FOLDERS",
    "IMAGE_FOLDERS",
    "MASK_FOLDERS",
    "Naming",
    "as_text",
    "bases_of",
    "compared",
    "composed",
    "in_words",
    "is_of_masks",
    "is_picture",
    "is_system_file",
    "naming_of",
    "no_format",
    "part_of",
    "rest_of_images",
    "rest_of_masks",
    "says_drawing",
    "says_mask",
    "split_beside",
    "words_of",
]

# Usual names of folders, in small letters; the first ones are those that messages show.
GOOD_FOLDERS = (
    *("good", "ok", "normal", "pass", "free", "defect_free", "passed", "no_defect", "non_defective", "io"),
)
DEFECT_FOLDERS = (
    *("defect", "defects", "defective", "ng", "nok", "bad", "anomaly", "anomalies", "fail", "ko", "nio"),
    *("not_ok", "not_good", "no_good", "anomalous", "abnormal"),
)
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "photos", "jpeg_images")  # good and defective ones alike
MASK_FOLDERS = (
    *("masks", "mask", "ground_truth", "groundtruth", "gt", "labels", "label", "annotations", "annotation"),
    *("segmentations", "segmentation", "segs", "seg", "imported_masks"),
)
_PARTS = {  # of a published split
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
}

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
_MASK = (
    r"masks?|gts?|(?:ground_?)?truth|label(?:s|l?ed)?|annotat(?:ions?|ed)|anno(?:s|t)?|anns?|seg(?:s|m|maps?)?"
    r"|segmentations?"
)
_MASK_WORD = re.compile(_MASK)
_MASK_WORD_APART = re.compile(rf"(?:^|[-_. ])(?:{_MASK})(?=$|[-_. ])")
# Words beside them that name no class of defects, as in ann_dir, SegmentationClassPNG or imported_masks.
_FILLING = re.compile(
    r"ground|dir|png|bmp|tiff?|class|images?|imgs?|data|all|files|bin(?:ary)?|pixel|imported"
)
_IMAGE_WORD = re.compile(r"images?|imgs?|photos?|pictures?|pics?|rgb|inputs?")
_IMAGE_FILLING = re.compile(r"dir|jpe?g|png|data|all|files|raw|original")
_DRAWING_WORD = re.compile(r"visuali[sz]ations?|overlays?|viz")
# Short words stand apart: `Hofmann` is no mask of `Hofm`.
_MASK_ENDING = re.compile(
    rf"[-_. ]?(?:masks?|gts?|ground_?truth|labels?|seg|annotations?|segmentations?)|[-_. ](?:{_MASK})",
    re.IGNORECASE,
)
# Formats of pictures beside those that are read.
_OTHER_PICTURES = re.compile(
    r"\.(webp|gif|hei[cf]|avif|jp2|j2k|jxl|jfif|jpe|p[gpn]m|exr|tga|svg|psd|dcm|dng|raw|cr2|nef|arw)"
)
_SYSTEM = frozenset(("thumbs.db", "desktop.ini", "__macosx", "contact_sheet.png"))


# Spelling and words --------------------------------------------------------------------------------


def composed(name: str) -> str:
    """A name with its letters as one sign each: a zip of a Mac has `ü` as `u` and two dots."""
    return unicodedata.normalize("NFC", name)


def compared(name: str) -> str:
    """A name as it is compared with others: composed, and without a difference between `A` and `a`."""
    return composed(name).casefold()


def words_of(name: str) -> list[str]:
    """The words of a name in small letters: ``GroundTruth_2`` has ``ground``, ``truth`` and ``2``."""
    return [word.lower() for word in _WORD.findall(name)]


def in_words(name: str) -> str:
    """A name as usual ones are written: ``no_defect`` for ``No-Defect`` and ``noDefect``."""
    return "_".join(words_of(name))


def says_mask(name: str) -> bool:
    """True where a word of the name is one for masks."""
    return any(map(_MASK_WORD.fullmatch, words_of(name)))


def rest_of_masks(name: str) -> str | None:
    """The rest of a name for masks, ``scratch`` of ``masks_scratch``; None of other names."""
    if not says_mask(name):
        return None
    words = (word for word in words_of(name) if not _MASK_WORD.fullmatch(word))
    return "_".join(word for word in words if not _FILLING.fullmatch(word))


def rest_of_images(name: str) -> str | None:
    """The rest of a name for images, ``train`` of ``train_images``; None of other names."""
    words = words_of(name)
    if not any(map(_IMAGE_WORD.fullmatch, words)):
        return None
    words = [word for word in words if not _IMAGE_WORD.fullmatch(word)]
    return "_".join(word for word in words if not _IMAGE_FILLING.fullmatch(word))


def is_of_masks(name: str) -> bool:
    """True where a name is one for masks and says nothing else: ``ground_truth``, ``ann_dir``."""
    return rest_of_masks(name) == ""


def says_drawing(name: str) -> bool:
    """True where a word of the name is one for masks drawn over their images."""
    return any(map(_DRAWING_WORD.fullmatch, words_of(name)))


def part_of(folder: Path | PurePosixPath | str) -> str | None:
    """The published part that a folder's name stands for."""
    words = [word for word in words_of(PurePosixPath(folder).name) if word not in ("set", "data", "dataset")]
    return _PARTS.get(words[0]) if len(words) == 1 else None


# Files ---------------------------------------------------------------------------------------------


def is_picture(path: PurePath) -> bool:
    """True where a file's name is that of a picture, of a format that is read or of another."""
    suffix = path.suffix.lower()
    return suffix in IMAGE_SUFFIXES or bool(_OTHER_PICTURES.fullmatch(suffix))


def no_format(suffix: str) -> str:
    """Reason why a picture with this suffix is not read."""
    known = ", ".join(known.removeprefix(".") for known in IMAGE_SUFFIXES)
    return f"{suffix.removeprefix('.')} is no format that is read ({known}). Save as PNG or TIFF"


def as_text(path: str | PurePath) -> str:
    """A path with bytes that are no UTF-8 escaped: ``g\\xff.png``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_system_file(name: str) -> bool:
    """True for hidden files and those that systems, or ``assay init``, leave in folders."""
    return name.startswith(".") or name.lower() in _SYSTEM or name.endswith(".contact_sheet.png")


# Masks, by the names of their images ---------------------------------------------------------------


@dataclass(frozen=True)
class Naming:
    """Prefix and suffix of a mask's stem, around that of its image."""

    prefix: str = ""
    suffix: str = ""

    def __str__(self) -> str:
        parts = {"mask_prefix": self.prefix, "mask_suffix": self.suffix}
        return ", ".join(f"{name}: {text}" for name, text in parts.items() if text)

    def of(self, stem: str) -> str:
        """Stem of the mask of an image."""
        return f"{self.prefix}{stem}{self.suffix}"

    @property
    def is_usual(self) -> bool:
        """True for endings such as ``_mask``, which no photo has."""
        word = self.prefix.rstrip("_- .")
        return bool(_MASK_ENDING.fullmatch(self.suffix or self.prefix.removeprefix(word) + word))


def naming_of(images: Iterable[str], masks: Iterable[str]) -> Naming | None:
    """The naming that most masks have, by the stems of images and masks; None where none holds an image's."""
    known = set(map(composed, images))
    namings = (_naming_of(mask, known, len(mask)) for mask in map(composed, masks))
    counts = Counter(naming for naming in namings if naming is not None)
    return counts.most_common(1)[0][0] if counts else None


def _naming_of(mask: str, known: Collection[str], longest: int) -> Naming | None:
    """The naming of one mask, which starts with a known stem of up to ``longest`` signs, or ends with one."""
    starts = (Naming(suffix=mask[end:]) for end in range(longest, 0, -1) if mask[:end] in known)
    ends = (Naming(prefix=mask[:start]) for start in range(1, len(mask)) if mask[start:] in known)
    return next(starts, None) or next(ends, None)


def split_beside(
    paths: Sequence[PurePosixPath], naming: Naming | None = None
) -> tuple[list[PurePosixPath], list[PurePosixPath]]:
    """Images, and masks that lie among them: of a usual or the given naming, or beside a JPEG of its name."""
    # A mask among images is told by its name: the given one, or a usual ending behind the name of another
    # image, or that of a JPEG, which is no mask itself.
    given = naming if naming != Naming() else None
    stems: defaultdict[PurePosixPath, set[str]] = defaultdict(set)  # of images; by a given naming, of masks
    jpegs: set[str] = set()
    for path in paths:
        stem = composed(path.stem)
        stems[path.parent].add(stem if given is None else composed(given.of(stem)))
        if path.suffix.lower() in (".jpg", ".jpeg"):
            jpegs.add(composed(str(path.with_suffix(""))))
    masks = {path for path in paths if _is_mask(path, stems[path.parent], jpegs, given)}
    return [path for path in paths if path not in masks], [path for path in paths if path in masks]


def _is_mask(
    path: PurePosixPath, stems: Collection[str], jpegs: Collection[str], given: Naming | None
) -> bool:
    stem = composed(path.stem)
    if path.suffix.lower() not in MASK_SUFFIXES:
        return False
    if given is not None:
        return stem in stems
    if composed(str(path.with_suffix(""))) in jpegs:
        return True
    naming = _naming_of(stem, stems, len(stem) - 1)  # its own stem is no image's
    return naming is not None and naming.is_usual


def bases_of(stem: str, known: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Stems of other images that a stem holds, with what stands before and after: ``d0`` in ``gt_d0``.

    Args:
        stem: As it is ``compared``.
        known: Stems of all images, likewise.
    """
    for end in range(len(stem) - 1, 0, -1):
        if stem[:end] in known and _is_affix(stem[end:], stem[end]):
            yield stem[:end], "", stem[end:]
    for start in range(1, len(stem)):
        if stem[start:] in known and _is_affix(stem[:start], stem[start - 1]):
            yield stem[start:], stem[:start], ""
    bare = _MASK_WORD_APART.sub("", stem).strip("-_. ")
    if bare != stem and bare in known:
        yield bare, "", stem


def _is_affix(text: str, outside: str) -> bool:
    """True where a text beside a stem, which begins with a sign ``outside`` of it, is more than a number."""
    return any(sign.isalpha() for sign in text) and (not outside.isalnum() or says_mask(text))
