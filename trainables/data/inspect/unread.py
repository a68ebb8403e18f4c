"""Files of a data set that its reader passed over, counted by folder, kind and reason.

A file that a reader does not know is no fault, but an image that nobody looked at is a loss that nobody
sees: what lies beside the images is told, unless it is a document or belongs to the system.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainables.data.annotations import FOREIGN_SUFFIXES, read_looked_at, unread_format
from trainables.data.files.formats import IMAGE_SUFFIXES
from trainables.data.files.names import MASK_FOLDERS, as_text, is_picture, is_system_file, no_format

__all__ = ["Unread", "unread_files"]


_ANNOTATIONS = frozenset((".json", ".geojson", ".xml", ".txt", ".npy", ".npz", ".mat", ".pkl"))
_ARCHIVES = frozenset((".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz"))

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
    # Many groups would be a page that nobody reads, so they are joined by their top folder.
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
        # Beside pictures a file of numbers may be annotations; elsewhere it is anything.
        files = sorted(name for name in names if not is_system_file(name))
        pictured = str(here) in holding or any(is_picture(PurePosixPath(name)) for name in files)
        annotated = pictured or here.name.lower() in MASK_FOLDERS
        for name in files:
            path = here / name
            if str(path) in read:
                continue
            # COCO's one file for all images lies at the top, where no picture need lie beside it.
            beside = annotated or (str(here) == "." and path.suffix.lower() == ".json")
            form = None
            if beside and path.suffix.lower() in FOREIGN_SUFFIXES and (root / path).is_file():
                with suppress(OSError):  # of a file that may not be read its kind is told, as of others
                    form = unread_format(name, read_looked_at(root / path))
            reason = form or _reason(path, why, annotated=beside)
            if reason:
                yield path, reason


def _reason(path: PurePosixPath, why: Callable[[PurePosixPath], str], *, annotated: bool) -> str:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return why(path)
    if is_picture(path):
        return no_format(suffix)
    # What is left is told if it may hold labels or images; a reader is not shown every text file.
    if path.stem.lower().startswith(_DOCUMENTS):
        return ""
    if suffix in _ANNOTATIONS and annotated:
        return "no image or mask. Reader annotated reads files of LabelMe, COCO, Label Studio and CVAT"
    return "an archive within a data set is not unpacked. Unpack it" if suffix in _ARCHIVES else ""
