"""From what a user names (files, folders, patterns) to photos, each with a place for its pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainables.data.files.formats import IMAGE_SUFFIXES, BrokenImageError
from trainables.data.files.names import as_text, is_of_masks, is_picture, no_format
from trainables.data.inspect.unread import Unread, unread_files
from trainables.errors import InputError

__all__ = ["Photo", "find_photos", "in_mask_folders", "read_photo", "refuse_output_below", "unread_photos"]

_MAGIC = frozenset("*?[")
_NO_FILE = "it is no plain file"


@dataclass(frozen=True)
class Photo:
    """One image file that is to be scored."""

    path: Path
    name: str  # the path as the user named it
    place: PurePosixPath  # where its pictures go, below a root; ends with .png, unique among the photos


def find_photos(paths: Sequence[str]) -> list[Photo]:
    """All images that ``paths`` name, once each, in the order of the paths and sorted within a folder.

    A folder stands for the images below it, a pattern (``*``, ``**``, ``?``, ``[…]``) for what it matches; a
    file is taken whatever its name. Links to folders are not followed. Hidden files and folders (``.x``) are
    passed over, unless a path or a pattern names one.

    Raises:
        InputError: If a path does not exist, or leads to no image.
    """
    files_by_place: dict[Path, Path] = {}  # by where the file really is called so: a photo is scored once
    for text in paths:
        files = list(_files(text))
        if not files:
            passed = "".join(f" {files}" for files in unread_photos([text]))
            raise InputError(
                f"{text!r} leads to no image ({', '.join(IMAGE_SUFFIXES)}). Name files, folders or patterns."
                f"{passed}"
            )
        for file in files:
            files_by_place.setdefault(file.parent.resolve() / file.name, file)
    places = _places(files_by_place)
    return [
        Photo(file, as_text(file), place) for file, place in zip(files_by_place.values(), places, strict=True)
    ]


def read_photo(path: Path) -> bytes:
    """The content of a photo's file.

    Raises:
        BrokenImageError: If it cannot be read, or is no plain file.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise BrokenImageError("expected a plain file, found a pipe or device")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BrokenImageError(f"the file cannot be read: {error.strerror}") from error


def in_mask_folders(photos: Iterable[Photo]) -> list[Photo]:
    """Photos that lie beside others in a folder whose name is one for masks, such as ``ground_truth``."""
    return [photo for photo in photos if any(map(is_of_masks, photo.place.parts[:-1]))]


def unread_photos(paths: Sequence[str]) -> tuple[Unread, ...]:
    """Pictures that ``paths`` name and :func:`find_photos` passes over, and folders that cannot be listed.

    Such pictures are of another format, or behind a link.
    """
    unread: dict[tuple[str, str], Unread] = {}  # a folder may be named twice

    def add_folder(error: OSError) -> None:
        name, why = str(error.filename), f"the folder cannot be listed ({error.strerror})"
        unread.setdefault((str(Path(name).resolve()), why), Unread(name, 1, name, why))

    for text in paths:
        path = Path(os.path.expanduser(text))
        if "**" in path.parts and not path.exists():
            _images_below(_divided(path)[0], add_folder)
        for match in [path] if path.exists() else _matches(path):
            if match.is_dir():
                images = {image.relative_to(match).as_posix() for image in _images_below(match, add_folder)}
                for files in unread_files(match, images, lambda _: _NO_FILE, annotations=False):
                    unread.setdefault((str(match.resolve() / files.what), files.why), files)
            elif match != path and is_picture(match) and not _is_image(match):
                suffix = match.suffix.lower()
                why = _NO_FILE if suffix in IMAGE_SUFFIXES else no_format(suffix)
                files = Unread(str(match), 1, str(match), why)
                place = match.parent.resolve() / match.name  # the link itself, which may lead back to itself
                unread.setdefault((str(place), ""), files)
    return tuple(unread.values())


def refuse_output_below(paths: Sequence[str], output: Path) -> None:
    """Refuse an output whose pictures the next prediction of ``paths`` would take for photos.

    Raises:
        InputError: If it lies in a folder that is looked through.
    """
    for text in paths:
        path = Path(os.path.expanduser(text))
        folders = [path] if path.exists() else _matches(path)
        if "**" in path.parts and not path.exists():
            folders.append(_divided(path)[0])
        for folder in folders:
            if folder.is_dir() and output.resolve().is_relative_to(folder.resolve()):
                raise InputError(
                    f"--output lies outside the folders of photos, found {output} in {folder}: the next "
                    "prediction would take its pictures for photos. Choose another --output."
                )


def _files(text: str) -> Iterator[Path]:
    path = Path(os.path.expanduser(text))
    if path.is_dir():
        yield from _images_below(path)
    elif path.exists():
        yield path
    elif _MAGIC & set(text):
        for match in _matches(path):
            if match.is_dir():
                yield from _images_below(match)
            elif _is_image(match):
                yield match
    else:
        raise InputError(f"there is no file or folder {text!r}. Check the path.")


def _matches(pattern: Path) -> list[Path]:
    folder, wild = _divided(pattern)
    matches = sorted(folder.glob(str(wild)))
    if any(map(_is_hidden, wild.parts)):
        return matches
    return [match for match in matches if not any(map(_is_hidden, match.relative_to(folder).parts))]


def _divided(pattern: Path) -> tuple[Path, Path]:
    """The folder in which a pattern is looked for, and the pattern below it."""
    fixed = next(i for i, part in enumerate(pattern.parts) if _MAGIC & set(part))
    return Path(*pattern.parts[:fixed]), Path(*pattern.parts[fixed:])


def _images_below(folder: Path, on_error: Callable[[OSError], None] | None = None) -> list[Path]:
    """Images in a folder and its sub-folders; ``on_error`` is told of those that cannot be listed."""
    images: list[Path] = []
    for inner, folders, names in os.walk(folder, onerror=on_error):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        images += [path for name in names if not _is_hidden(name) and _is_image(path := Path(inner, name))]
    return sorted(images)


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _places(files: Iterable[Path]) -> list[PurePosixPath]:
    """The files' paths below the folder that they share, as PNGs; no two alike on any file system.

    ``x.png`` keeps its name and ``x.jpg`` becomes ``x.jpg.png``, so that neither takes the other's place.
    """
    paths = list(files)
    shared = os.path.commonpath([path.parent for path in paths])
    taken: set[str] = set()
    places: list[PurePosixPath] = []
    for path in paths:
        relative = PurePosixPath(path.relative_to(shared).as_posix())
        stem = relative.with_suffix("") if relative.suffix.lower() == ".png" else relative

        # Some file systems take `A.png` and `a.png` for one file, and a picture would replace another.
        place, number = stem.with_name(f"{stem.name}.png"), 2
        while str(place).casefold() in taken:
            place, number = stem.with_name(f"{stem.name}-{number}.png"), number + 1
        taken.add(str(place).casefold())
        places.append(place)
    return places
