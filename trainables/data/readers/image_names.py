"""The images of a folder, found by what annotations call them.

Labelling tools name an image by its file alone, by a path from somewhere above or below, or by one of another
machine. What a path states has to fit: ``line2/0.png`` is not ``line1/0.png``.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from trainables.data.readers.mask_names import compared, composed
from trainables.errors import InputError

__all__ = ["ImageNames"]


class ImageNames:
    """Images of a folder; their paths are below it."""

    def __init__(self, images: Iterable[str]) -> None:
        paths = [PurePosixPath(image) for image in images]
        self._folders = {path.parent for path in paths}
        self._known = {composed(str(path)): path for path in paths}
        self._named: defaultdict[str, list[PurePosixPath]] = defaultdict(list)
        for path in paths:
            for name in {compared(path.name), compared(path.stem)}:
                self._named[name].append(path)

    def find(self, name: str, file: PurePosixPath, *, alone: bool) -> PurePosixPath | None:
        """The image that is called ``name``; None if it is not there.

        Args:
            name: File name or path, with forward slashes.
            file: The annotations: relative to the folder of images if they lie in it.
            alone: They are of this image alone.

        Raises:
            InputError: If several are equally good.
        """
        path = PurePosixPath(name)
        places = [posixpath.normpath(file.parent / path)]
        if alone:  # a.json beside a.jpg, whatever path it states
            places.append(str(file.with_suffix(path.suffix)))
        for place in map(composed, places):
            if place in self._known:
                return self._known[place]
        parts = [part for part in path.parts if part not in ("/", "..")]
        images = self._alike(parts)
        if not images and alone and len(parts) == 1:
            images = self._alike([file.stem])
        if file.parent in self._folders:  # annotations among images are of those
            images = [image for image in images if image.is_relative_to(file.parent)]
        if len(images) > 1:
            raise InputError(
                f"{name} may be {images[0]} or {images[1]}. Name its folder too, or rename one, here and "
                "there"
            )
        return images[0] if images else None

    def _alike(self, parts: Sequence[str]) -> list[PurePosixPath]:
        """Images whose path ends with these parts, or is their end; those with most of them in common."""
        alike: defaultdict[tuple[int, bool], list[PurePosixPath]] = defaultdict(list)
        for image in self._named.get(compared(parts[-1]), []) if parts else []:
            common = min(len(parts), len(image.parts))
            stated, there = parts[-common:], image.parts[-common:]
            if [*map(compared, stated[:-1])] == [*map(compared, there[:-1])]:
                alike[common, [*map(composed, stated)] == [*map(composed, there)]].append(image)
        return alike[max(alike)] if alike else []
