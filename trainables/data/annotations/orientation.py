"""Masks of photos that a labelling tool turned before somebody drew on them.

A camera that was held upright writes its pixels lying, and says so in EXIF. LabelMe, CVAT (since 2022) and
the browser that Label Studio runs in turn such a photo, other tools and older releases do not, and images
are read here as they are stored. Which of the two was drawn on is known only where the photo is not square
and the file states its size::

    size, orientation = size_as_drawn(annotation, photo)
    mask = as_stored(rasterise(annotation.shapes, *size), orientation)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainables.data.annotations.shapes import AnnotationError, ImageAnnotation, Polygon
from trainables.data.files.formats import measure, orientation_of

__all__ = ["as_shown", "as_stored", "size_as_drawn"]

_FIRST_QUARTER_TURN = 5  # orientations from here on exchange height and width


def size_as_drawn(annotation: ImageAnnotation, photo: bytes) -> tuple[tuple[int, int], int]:
    """Height and width of the picture that was drawn on, and the orientation that the tool turned it by.

    Args:
        annotation: With shapes.
        photo: The image file.

    Returns:
        The size, and 1 where the tool did not turn it. A size that is neither the photo's nor that of the
        turned photo comes back as the annotation states it.

    Raises:
        AnnotationError: If a photo is turned by EXIF, and nothing says if the tool did so too.
        BrokenImageError: If the photo is damaged.
    """
    width, height = measure(photo)
    orientation = orientation_of(photo)
    stored, size = (height, width), annotation.size
    if orientation == 1:
        return size or stored, 1

    # From the fifth orientation on sides are exchanged, so the stated size tells which picture was drawn
    # on. Orientations 2 to 4 keep the size and cannot be told apart by it.
    turned = (width, height) if orientation >= _FIRST_QUARTER_TURN else stored
    if size is not None and size not in (stored, turned):
        return size, 1
    if size == turned != stored:
        return turned, orientation
    if size == stored != turned and not annotation.size_may_be_stored:
        return stored, 1

    # Guessing wrongly would put every mask beside its defect, and nothing later would notice.
    stated = "no size" if size is None else f"{size[1]} × {size[0]} pixels, which may be either"
    raise AnnotationError(
        f"EXIF orientation {orientation} of the photo turns it in some tools, and the annotations state "
        f"{stated}. Turn the photos themselves, as `mogrify -auto-orient` does, and see that what is drawn "
        "fits them"
    )


def as_stored(mask: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A mask of a turned photo, for its pixels as they are stored.

    Args:
        mask: Height × width of the photo as viewers show it.
        orientation: By EXIF, 1 to 8.
    """
    if orientation >= _FIRST_QUARTER_TURN:
        mask = mask.T
    if orientation in (3, 4, 6, 7):
        mask = mask[::-1]
    if orientation in (2, 3, 7, 8):
        mask = mask[:, ::-1]
    return np.ascontiguousarray(mask)


def as_shown(
    polygons: Sequence[Polygon], size: tuple[int, int], orientation: int
) -> tuple[list[Polygon], tuple[int, int]]:
    """Outlines on a photo as it is stored, as outlines on what viewers show, and its height and width there.

    Args:
        polygons: In pixels of the photo as stored.
        size: Height and width as stored.
        orientation: By EXIF, 1 to 8.
    """
    height, width = size
    shown: list[Polygon] = []
    for polygon in polygons:
        points = np.array(polygon.points)
        if orientation in (2, 3, 7, 8):
            points[:, 0] = width - points[:, 0]
        if orientation in (3, 4, 6, 7):
            points[:, 1] = height - points[:, 1]
        if orientation >= _FIRST_QUARTER_TURN:
            points = points[:, ::-1]
        shown.append(Polygon(tuple((float(x), float(y)) for x, y in points)))
    return shown, (width, height) if orientation >= _FIRST_QUARTER_TURN else size
