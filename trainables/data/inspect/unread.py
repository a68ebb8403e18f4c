"""Files of a data set that its reader passed over, counted by folder, kind and reason.

A file that a reader does not know is no fault, but an image that nobody looked at is a loss that nobody
sees: what lies beside the images is told, unless it is a document or belongs to the system.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from trainables.data.annotations import FOREIGN_SUFFIXES, read_looked_at, unread_format
from trainables.data.formats import IMAGE_SUFFIXES

__all__ = [
    "DEFECT_FOLDERS",
    "GOOD_FOLDERS",
    "IMAGE_FOLDERS",
    "MASK_FOLDERS",
    "Unread",
    "as_text",
    "is_picture",
    "is_system_file",
    "leads_back",
    "no_format",
    "unread_files",
]

GOOD_FOLDERS = (
    "good",
    "ok",
    "normal",
    "pass",
    "free",
    "defect_free",
    "passed",
    "no_defect",
    "non_defective",
    "io",
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
# Formats of pictures beside those that are read.
_OTHER_PICTURES = re.compile(
    r"\.(webp|gif|hei[cf]|avif|jp2|j2k|jxl|jfif|jpe|p[gpn]m|exr|tga|svg|psd|dcm|dng|raw|cr2|nef|arw)"
)
_ANNOTATIONS = frozenset((".json", ".geojson", ".xml", ".txt", ".npy", ".npz", ".mat", ".pkl"))
_ARCHIVES = frozenset((".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz"))
_SYSTEM = frozenset(("thumbs.db", "desktop.ini", "__macosx", "contact_sheet.png"))
_DOCUMENTS = ("readme", "license", "licence", "copying", "changelog", "requirements")
_GROUPS = 10  # more are joined by their upper folder


@dataclass(frozen=True)
class Unread:
    """Files that were passed over."""

    what: str  # folder and kind, such as `good/line1/*.webp`
    count: int
    example: str  # the first of them, relative to the data set's folder
    why: str  # and the way out

    def __str__(self) -> str:
        if self.count == 1:
            return f"1 file is not read: {self.example}: {self.why}."
        return f"{self.count} files are not read: {self.what} ({self.example} …): {self.why}."


def unread_files(
    root: Path, read: Collection[str], why: Callable[[PurePosixPath], str], *, annotations: bool = True
) -> tuple[Unread, ...]:
    """Count what lies below ``root`` and is not in ``read``, paths relative to it.

    Args:
        root: Folder of the data set.
        read: Images and masks that the reader takes.
        why: Reason why an image of a known format was passed over.
        annotations: Count files such as JSON too, where pictures are or masks are expected.
    """
    known = frozenset(PurePosixPath(path).as_posix() for path in read)
    passed = [
        (path, reason)
        for path, reason in _passed_over(root, known, why)
        if annotations or path.suffix.lower() not in _ANNOTATIONS
    ]
    if len({(path.parent, path.suffix.lower(), reason) for path, reason in passed}) <= _GROUPS:
        return _group(passed, lambda path: str(path.parent))
    return _group(passed, lambda path: path.parts[0] if len(path.parts) > 1 else ".")


def _group(
    passed: list[tuple[PurePosixPath, str]], folder_of: Callable[[PurePosixPath], str]
) -> tuple[Unread, ...]:
    groups: defaultdict[tuple[str, str, str], list[PurePosixPath]] = defaultdict(list)
    for path, reason in passed:
        groups[folder_of(path), path.suffix.lower(), reason].append(path)
    unread = [
        Unread(as_text(f"{prefix}*{suffix}"), len(paths), as_text(paths[0]), reason)
        for (folder, suffix, reason), paths in groups.items()
        for prefix in ["" if folder == "." else f"{folder}/"]
    ]
    return tuple(sorted(unread, key=lambda each: -each.count))


def _passed_over(
    root: Path, read: frozenset[str], why: Callable[[PurePosixPath], str]
) -> Iterator[tuple[PurePosixPath, str]]:
    holding = {str(PurePosixPath(path).parent) for path in read}
    for folder, folders, names in os.walk(root):
        here = PurePosixPath(Path(folder).relative_to(root).as_posix())
        folders[:] = sorted(name for name in folders if not is_system_file(name))
        for name in folders:
            is_link = (root / here / name).is_symlink()
            if is_link and not any(path.startswith(f"{here / name}/") for path in read):
                yield here / name, "a link to a folder is not followed. Copy the folder, or remove the link"
        files = sorted(name for name in names if not is_system_file(name))
        pictured = str(here) in holding or any(is_picture(PurePosixPath(name)) for name in files)
        annotated = pictured or here.name.lower() in MASK_FOLDERS
        for name in files:
            path = here / name
            if str(path) in read:
                continue
            beside = annotated or (str(here) == "." and path.suffix.lower() == ".json")
            form = None
            if beside and path.suffix.lower() in FOREIGN_SUFFIXES and (root / path).is_file():
                with suppress(OSError):  # of a file that may not be read its kind is told, as of others
                    form = unread_format(name, read_looked_at(root / path))
            reason = form or _reason(path, why, annotated=beside)
            if reason:
                yield path, reason


def leads_back(path: Path) -> bool:
    """True for a link to a folder above: followed, it would show the same images again and again."""
    if not path.is_symlink():
        return False
    target = path.resolve()
    return any(parent.resolve().is_relative_to(target) for parent in path.absolute().parents)


def _reason(path: PurePosixPath, why: Callable[[PurePosixPath], str], *, annotated: bool) -> str:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return why(path)
    if is_picture(path):
        return no_format(suffix)
    if path.stem.lower().startswith(_DOCUMENTS):
        return ""
    if suffix in _ANNOTATIONS and annotated:
        return "no image or mask. Reader annotated reads files of LabelMe, COCO, Label Studio and CVAT"
    return "an archive within a data set is not unpacked. Unpack it" if suffix in _ARCHIVES else ""


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
