"""The masks of a folder, found by the names of their images.

``c.png`` in ``masks/`` belongs to ``c.jpg`` in ``defect/``, with a prefix and a suffix that the study names.
A mask is looked for at the same place below ``masks/``, then by its name alone, where only one image and
one mask have it. What is left over is no image's mask, and is told.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from trainables.data.formats import IMAGE_SUFFIXES, MASK_SUFFIXES
from trainables.data.readers.base import folders_in, images_in

__all__ = ["MaskIndex", "Naming", "compared", "composed", "images_below", "naming_of", "split_beside"]

_USUAL_ENDING = re.compile(r"[-_. ]?(mask|masks|gt|label|labels|labeled|seg|annotation|ground_?truth)", re.I)


def composed(name: str) -> str:
    """A name with its letters as one sign each: a zip of a Mac has `ü` as `u` and two dots."""
    return unicodedata.normalize("NFC", name)


def compared(name: str) -> str:
    """A name as it is compared with others: composed, and without a difference between `A` and `a`."""
    return composed(name).casefold()


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
        return bool(_USUAL_ENDING.fullmatch(self.suffix or self.prefix.rstrip("_- .")))


@dataclass
class MaskIndex:
    """Mask files below a folder, each handed out once."""

    files: Sequence[PurePosixPath]
    naming: Naming
    stems: Counter[str]  # of the images that are looked up by name alone, as they are ``compared``
    used: set[PurePosixPath] = field(default_factory=set[PurePosixPath])

    def __post_init__(self) -> None:
        self._at: defaultdict[str, list[PurePosixPath]] = defaultdict(list)
        self._named: defaultdict[str, list[PurePosixPath]] = defaultdict(list)
        for path in sorted(self.files, key=lambda path: MASK_SUFFIXES.index(path.suffix.lower())):
            self._at[compared(str(path.with_suffix("")))].append(path)
            self._named[compared(path.stem)].append(path)

    def find(self, places: Iterable[PurePosixPath], *, by_name: bool, exactly: bool) -> PurePosixPath | None:
        """The mask of an image, which lies at one of ``places``; None if there is none, or more than one.

        Args:
            places: Below the folder.
            by_name: A mask elsewhere will do, where one image alone has its name.
            exactly: Another image has the same name but for capitals or accents: the mask may be its own.
        """
        for place in places:
            stem = place.with_name(self.naming.of(place.stem))
            files = self._at.get(compared(str(stem)), [])
            exact = [path for path in files if path.with_suffix("") == stem] or ([] if exactly else files)
            if exact:
                self.used.add(exact[0])
                return exact[0]
            named = self._named.get(compared(stem.name), [])
            folders = {path.parent for path in named}
            if by_name and self.stems[compared(place.stem)] == 1 and len(folders) == 1:
                self.used.add(named[0])
                return named[0]
        return None

    @cached_property
    def used_stems(self) -> set[PurePosixPath]:
        """Masks of images, without their suffix; asked for once all have theirs."""
        return {path.with_suffix("") for path in self.used}


def images_below(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> list[PurePosixPath]:
    """Image files in ``folder`` and its sub-folders, relative to it, sorted; hidden ones are left out."""
    if not folder.is_dir():
        return []
    paths = [PurePosixPath(path.name) for path in images_in(folder, suffixes)]
    for inner in folders_in(folder):
        paths += [PurePosixPath(inner.name) / path for path in images_below(inner, suffixes)]
    return paths


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
