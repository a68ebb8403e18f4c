"""The images of a folder, found by what annotations call them.

Labelling tools name an image by its file alone, by a path from somewhere above or below, or by one of another
machine. What a path states has to fit: ``line2/0.png`` is not ``line1/0.png``.
"""

from __future__ import annotations

import posixpath
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import PurePosixPath

from trainables.data.files.names import compared, composed
from trainables.errors import InputError

__all__ = ["ImageNames"]

_NOT_UPLOADED = re.compile(r"[^-\w.]")  # signs that Label Studio's server takes out of names


class ImageNames:
    """Images of a folder; their paths are below it."""

    def __init__(self, images: Iterable[str]) -> None:
        paths = sorted(map(PurePosixPath, images), key=lambda path: path.parts)
        self._folders = {path.parent for path in paths}
        self._folder_names = {compared(part) for folder in self._folders for part in folder.parts}
        self._known = {composed(str(path)): path for path in paths}
        self._exact: defaultdict[str, list[PurePosixPath]] = defaultdict(list)  # by each end of their paths
        self._alike: defaultdict[str, list[PurePosixPath]] = defaultdict(list)
        for path in paths:
            for end in _ends(composed(str(path))):
                self._exact[end].append(path)
            for form in {compared(str(path)), compared(str(path.with_suffix("")))}:
                for end in _ends(form):
                    self._alike[end].append(path)

    @cached_property
    def _uploaded(self) -> dict[str, list[PurePosixPath]]:
        """Images by the name that an upload to Label Studio gives them, without the signs before it."""
        by_name: defaultdict[str, list[PurePosixPath]] = defaultdict(list)
        for path in self._known.values():
            by_name[_NOT_UPLOADED.sub("", composed(path.name).strip().replace(" ", "_"))].append(path)
        return by_name

    def find_any(
        self,
        names: Sequence[str],
        file: PurePosixPath,
        *,
        alone: bool,
        by_name: bool = False,
        is_uploaded: bool = False,
    ) -> PurePosixPath | None:
        """The image that has one of several possible names, of which the first is the one stated.

        Args:
            names: File names or paths. Where the first one fits it is meant, whatever the others fit, but not
                of an upload: its copy and the image itself may both be there.
            file: As of :meth:`find`, and so are ``alone`` and ``by_name``.
            alone: They are of this image alone.
            by_name: Its file name is enough where none of the folders is there.
            is_uploaded: Label Studio may have taken blanks and brackets out of the name.

        Raises:
            InputError: If several images are equally good.
        """
        # The stated name wins over the others, but for an upload: the server's copy and the image itself
        # may both lie in the folder.
        fits: dict[PurePosixPath, str] = {}
        for name in names:
            image = self.find(name, file, alone=alone, by_name=by_name, stated=names[0])
            if image is not None:
                fits[image] = name
            if image is not None and name == names[0] and not is_uploaded:
                return image
        if not fits and is_uploaded:
            fits = dict.fromkeys(self._uploaded.get(composed(names[-1]), []), names[-1])
        if len(fits) > 1:
            listed = " or ".join(map(str, list(fits)[:2]))
            raise InputError(f"{names[0]} may be {listed}. Rename one, here and there")
        return next(iter(fits), None)

    def find(
        self,
        name: str,
        file: PurePosixPath,
        *,
        alone: bool,
        by_name: bool = False,
        stated: str | None = None,
    ) -> PurePosixPath | None:
        """The image that is called ``name``; None if it is not there.

        Args:
            name: File name or path, with forward slashes.
            file: The annotations: relative to the folder of images if they lie in it.
            alone: They are of this image alone.
            by_name: Its file name is enough where none of the folders that it states is there.
            stated: The name as the annotations have it, if ``name`` is another that it may stand for.

        Raises:
            InputError: If several are equally good.
        """
        # First the exact places: beside the file of annotations, below the folder, and for a file of one
        # image beside it under its name.
        path = PurePosixPath(name)
        places = [posixpath.normpath(file.parent / path)]
        if len(path.parts) > 1:  # of a name alone, annotations among images mean those beside them
            places.append(posixpath.normpath(path))
        if alone:  # a.json beside a.jpg, whatever path it states
            places.append(str(file.with_suffix(path.suffix)))
        for place in map(composed, places):
            if place in self._known:
                return self._known[place]

        # Then by the end of the path, most parts first: what a path states must fit, so fewer parts are
        # tried only where more find nothing.
        for end, folder in self._searches(path, file, alone=alone, by_name=by_name):
            images = _below(self._exact.get(composed(end), []), folder)
            images = images or _below(self._alike.get(compared(end), []), folder)
            if len(images) > 1:
                called = name if stated in (None, name) else f"{stated}, which is {name},"
                raise InputError(
                    f"{called} may be {images[0]} or {images[1]}. Name its folder too, or rename one, here "
                    "and there"
                )
            if images:
                return images[0]
        return None

    def _searches(
        self, path: PurePosixPath, file: PurePosixPath, *, alone: bool, by_name: bool
    ) -> Iterator[tuple[str, PurePosixPath]]:
        """Ends of paths, of most parts first, and the folder below which each is looked for."""
        # A bare name means an image beside its annotations; with folders before it, wherever these are.
        parts = [part for part in path.parts if part not in ("/", "..")]
        root = PurePosixPath()
        beside = file.parent if file.parent in self._folders else root
        if len(parts) > 1:
            yield f"/{'/'.join(parts)}", root
        yield "/".join(parts), beside
        for start in range(1, len(parts)):
            yield f"/{'/'.join(parts[start:])}", root if start < len(parts) - 1 else beside
        if alone and len(parts) == 1:
            yield file.stem, beside
        if by_name and len(parts) > 1 and self._folder_names.isdisjoint(map(compared, parts[:-1])):
            yield parts[-1], beside


def _ends(path: str) -> Iterator[str]:
    """``/a/b``, ``a/b`` and ``b`` of a path ``a/b``: the first is of the whole path alone."""
    parts = path.split("/")
    yield f"/{path}"
    yield from ("/".join(parts[start:]) for start in range(len(parts)))


def _below(images: Sequence[PurePosixPath], folder: PurePosixPath) -> list[PurePosixPath]:
    """The first two of sorted images that lie below a folder."""
    first = bisect_left(images, folder.parts, key=lambda image: image.parts)
    return [image for image in images[first : first + 2] if image.is_relative_to(folder)]
