"""The model card that lies beside an exported model: what it is, how to call it, what was checked."""

from __future__ import annotations

from assay.production.check import Check
from trainables.data.sources import FULL_WHITE
from trainables.deployed import Card

__all__ = ["format_usage", "model_card"]


def format_usage(template: str, card: Card) -> str:
    """Fill what a card knows into a format's usage: sizes, colours and thresholds in braces."""
    (height, width), grey = card.image_size, card.channels == 1
    flag = "IMREAD_GRAYSCALE" if grey else "IMREAD_COLOR"
    return template.format(
        height=height,
        width=width,
        channels=card.channels,
        colours="grey" if grey else "colour in the order blue, green, red",
        read=f'cv2.imread("photo.png", cv2.{flag})' if card.white == 255 else _read_deep(card.white, flag),
        shape="N × H × W" if grey else "N × H × W × 3",
        image=card.thresholds.image,
        pixel=card.thresholds.pixel,
    )


def _read_deep(white: float, flag: str) -> str:
    """Code that scales an image of more than 8 bits as training did."""
    if white == FULL_WHITE:  # OpenCV keeps the upper byte
        return f'cv2.imread("photo.png", cv2.{flag})'
    return (
        f'cv2.imread("photo.png", cv2.{flag} | cv2.IMREAD_ANYDEPTH)\n'
        'if photo.dtype != "uint8":\n'
        f"    photo = cv2.convertScaleAbs(photo, alpha=255 / {white:g})"
    )


def model_card(card: Card, usage: str, check: Check) -> str:
    """Write the README of an export, as Markdown; ``usage``: how its format is called."""
    thresholds = card.thresholds
    metrics = "\n".join(f"| {name} | {value:.4g} |" for name, value in sorted(card.metrics.items()))
    versions = ", ".join(f"{name} {value}" for name, value in sorted(card.versions.items()))
    return f"""\
# {card.study}, {card.cell}

Trial `{card.trial}` of study `{card.study}`: `{card.trainable}` (revision {card.revision}), trained in
{card.precision}, exported in float32. A model that says how likely a surface is defective, and where.

## How to call it

{usage}

## What it decides by

Image threshold {thresholds.image!r} ({thresholds.image_source}), pixel threshold {thresholds.pixel!r}
({thresholds.pixel_source}).

## What it is worth

On the study's test images, at these thresholds:

| metric | value |
|---|---|
{metrics}

## What was checked on export

{check}.

Trained with {versions or "unknown versions"}.
"""
