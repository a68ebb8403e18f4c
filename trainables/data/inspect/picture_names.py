"""Words in names of folders and files that say what a picture is: a mask, or a drawing for people to look at.

``words_of("SegmentationClassPNG")`` are ``segmentation``, ``class`` and ``png``: a name is read word by word,
in any spelling. A word alone proves nothing (``damaged_label`` is a defect of bottles), so whoever asks
compares the names of images too, or looks at the pixels.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

__all__ = [
    "bases_of",
    "is_of_masks",
    "rest_of_images",
    "rest_of_masks",
    "says_drawing",
    "says_mask",
    "words_of",
]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
_MASK = (
    r"masks?|gts?|(?:ground)?truth|label(?:s|l?ed)?|annotat(?:ions?|ed)|anno(?:s|t)?|anns?|seg(?:s|m|maps?)?"
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


def words_of(name: str) -> list[str]:
    """The words of a name in small letters: ``GroundTruth_2`` has ``ground``, ``truth`` and ``2``."""
    return [word.lower() for word in _WORD.findall(name)]


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
