"""The declaration of an export format: how a model is written, read back, and used by others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from assay.production.check import Decide
from trainables.data.files.sources import FULL_WHITE
from trainables.runtime.deployed import Card, DeployedModel

__all__ = ["ExportFormat", "format_usage"]


@dataclass(frozen=True)
class ExportFormat:
    """One format of `assay export`. A file of ``assay.exports``, or of another package, has it as ``EXPORT``.

    ``write(source, model, folder)`` writes ``model`` into an empty folder. It raises an ``InputError`` if
    this model has no such format. ``source`` is a folder with the model's own files (``model.safetensors``,
    ``config.json``, the card), which may be copied.

    ``load(folder)`` reads that folder back as its users will. What it says on photos is compared with the
    model before anything is left.
    """

    name: str  # what --to names
    write: Callable[[Path, DeployedModel, Path], None]
    load: Callable[[Path], Decide]
    usage: Callable[[Card], str]  # Markdown for the README: inputs, outputs, and code that calls it


def format_usage(template: str, card: Card) -> str:
    """Fill what a card knows into a format's usage: sizes, colours and thresholds in braces."""
    (height, width), grey = card.image_size, card.channels == 1
    return template.format(
        height=height,
        width=width,
        channels=card.channels,
        colours="grey" if grey else "colour in the order blue, green, red",
        read=_read(card.white, grey),
        shape="N × H × W" if grey else "N × H × W × 3",
        image=card.thresholds.image,
        pixel=card.thresholds.pixel,
    )


def _read(white: float, grey: bool) -> str:
    """Code that reads a photo of 8 bits, 16 bits or floating point, and scales it, as training did."""
    # As stored: training turns no photo as its EXIF orientation says, and OpenCV would.
    flags = f"cv2.{'IMREAD_GRAYSCALE' if grey else 'IMREAD_COLOR'} | cv2.IMREAD_IGNORE_ORIENTATION"
    if white != FULL_WHITE:  # without it OpenCV keeps the upper byte of 16 bits
        flags += " | cv2.IMREAD_ANYDEPTH"
    if grey:
        convert = "cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY) if photo.ndim == 3 else photo"
    else:
        convert = "photo[..., :3] if photo.ndim == 3 else cv2.cvtColor(photo, cv2.COLOR_GRAY2BGR)"
    return (
        f'cv2.imread("photo.png", {flags})\n'
        'if photo is None or photo.dtype.kind == "f":  # floating point\n'
        '    photo = cv2.imread("photo.png", cv2.IMREAD_UNCHANGED).astype("float32")\n'
        f"    photo = {convert}\n"
        'if photo.dtype != "uint8":\n'
        f"    photo = cv2.convertScaleAbs(photo, alpha=255 / {white!r})"
    )
