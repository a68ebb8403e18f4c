"""Defects on a textured surface: six kinds, whose contrast, size and edges follow one difficulty dial.

A defect changes the surface by a multiple of the texture's own standard deviation, so that difficulty
means the same on a smooth and on a rough material. At 0 defects are several times stronger than the
texture, at 1 weaker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.data.synthesis.surfaces import Field, Surface, filtered_noise

__all__ = ["DEFECTS", "add_defect"]

_FINE = 4  # lines are drawn this much finer and averaged: widths below a pixel stay visible


class Mark(NamedTuple):
    """A defect before it meets the surface: change in standard deviations, and where it is (0 to 1)."""

    change: Field
    cover: Field


@dataclass(frozen=True)
class _Canvas:
    shape: tuple[int, int]
    unit: float  # a length of 1 at 128 pixels, scaled to this image and difficulty
    difficulty: float
    surface: Surface

    def centre(self, rng: np.random.Generator, margin: float = 0.15) -> tuple[float, float]:
        """A point (y, x) away from the border."""
        height, width = self.shape
        return (
            float(rng.uniform(margin, 1 - margin) * height),
            float(rng.uniform(margin, 1 - margin) * width),
        )

    def line(self, points: NDArray[np.floating], widths: NDArray[np.floating]) -> Field:
        """Coverage of a curve through ``points`` (n × 2: x, y) with a width at each point, pixels."""
        height, width = self.shape
        # OpenCV draws whole pixels; drawn finer and averaged, a line keeps its width in fractions of one.
        fine = np.zeros((height * _FINE, width * _FINE), np.uint8)
        at = np.round(points * _FINE).astype(np.int32)
        for start, end, thickness in zip(at[:-1], at[1:], widths[1:], strict=True):
            a, b = (int(start[0]), int(start[1])), (int(end[0]), int(end[1]))
            cv2.line(fine, a, b, 255, max(1, round(float(thickness) * _FINE)), cv2.LINE_8)
        mean = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
        return mean / 255

    def distance(self, y: float, x: float, stretch: float, angle: float) -> Field:
        """Elliptic distance of every pixel from (y, x); ``stretch`` is long over short axis."""
        rows, columns = np.mgrid[0 : self.shape[0], 0 : self.shape[1]].astype(np.float64)
        along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
        across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
        return np.hypot(along / stretch, across * stretch)


def _scratch(canvas: _Canvas, field: Field, rng: np.random.Generator) -> Mark:
    """A slightly bent line: a bright burr beside a dark groove."""
    length = rng.uniform(34, 80) * canvas.unit
    angle, bend = rng.uniform(0, np.pi), rng.uniform(-0.5, 0.5)
    y, x = canvas.centre(rng, 0.25)
    # The line thins out towards both ends. A scratch throws up a burr beside its groove, which a plain dark
    # line would lack.
    t = np.linspace(-0.5, 0.5, 24)
    course = angle + bend * t
    points = np.stack([x + length * t * np.cos(course), y + length * t * np.sin(course)], axis=1)
    widths = rng.uniform(1.3, 2.3) * canvas.unit * (1 - (2 * np.abs(t)) ** 3 * 0.7)
    groove = canvas.line(points, widths)
    side = 0.9 * np.array([-np.sin(angle), np.cos(angle)]) * rng.choice([-1.0, 1.0])
    burr = canvas.line(points + side * canvas.unit, widths)
    polarity = rng.choice([-1.0, 1.0])
    return Mark(polarity * (1.25 * groove - 0.5 * burr), np.maximum(groove, 0.6 * burr))


def _crack(canvas: _Canvas, field: Field, rng: np.random.Generator) -> Mark:
    """A dark, jagged, thinning path, often with a branch."""

    def path(start: NDArray[np.floating], course: float, steps: int) -> NDArray[np.floating]:
        turns = course + np.cumsum(rng.normal(0, 0.2, steps)) * 0.5 + rng.normal(0, 0.45, steps)
        step = 2.6 * canvas.unit * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        return start + np.concatenate([np.zeros((1, 2)), np.cumsum(step, axis=0)])

    # The path starts half its length before the centre, so the crack lies around it and not beside the
    # image.
    y, x = canvas.centre(rng, 0.25)
    course = float(rng.uniform(0, 2 * np.pi))
    steps = int(rng.integers(14, 28))
    start = np.array([x, y]) - 1.3 * canvas.unit * steps * np.array([np.cos(course), np.sin(course)])
    trunk = path(start, course, steps)
    width = rng.uniform(1.2, 2.1) * canvas.unit
    cover = canvas.line(trunk, width * np.linspace(1.0, 0.45, len(trunk)))

    # A branch leaves the middle half, thinner than the trunk.
    if rng.random() < 0.6:
        fork = int(rng.integers(steps // 4, 3 * steps // 4))
        branch = path(trunk[fork], course + rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.0), steps // 3)
        cover = np.maximum(cover, canvas.line(branch, 0.7 * width * np.linspace(1.0, 0.4, len(branch))))
    return Mark(-1.35 * cover, cover)


def _dent(canvas: _Canvas, field: Field, rng: np.random.Generator) -> Mark:
    """A shallow hollow: one flank light, the other dark."""
    y, x = canvas.centre(rng)
    radius = rng.uniform(6, 11) * canvas.unit
    far = canvas.distance(y, x, rng.uniform(1, 1.4), rng.uniform(0, np.pi)) / radius
    hollow = np.exp(-((far / 0.62) ** 2))
    # What is seen of a dent is its slope towards the light.
    slope_y, slope_x = np.gradient(hollow)
    light = rng.uniform(0, 2 * np.pi)
    flank = (np.cos(light) * slope_x + np.sin(light) * slope_y) * radius
    return Mark(1.15 * flank - 0.35 * hollow, np.clip(1.6 - 1.25 * far, 0, 1))


def _pits(canvas: _Canvas, field: Field, rng: np.random.Generator) -> Mark:
    """A few small dark holes close together."""
    y, x = canvas.centre(rng)
    cover = np.zeros(canvas.shape)
    for _ in range(int(rng.integers(2, 6))):
        away = rng.normal(0, 5.5 * canvas.unit, 2)
        radius = rng.uniform(1.3, 2.9) * canvas.unit
        far = canvas.distance(y + away[0], x + away[1], rng.uniform(1, 1.3), rng.uniform(0, np.pi))
        cover = np.maximum(cover, np.clip((radius - far) / 1.2 + 0.5, 0, 1))
    return Mark(-1.2 * cover, cover)


def _patch(canvas: _Canvas, rng: np.random.Generator, low: float, high: float, edge: float) -> Field:
    """An irregular patch with a soft border, 0 to 1; radius between ``low`` and ``high`` units."""
    y, x = canvas.centre(rng, 0.2)
    radius = rng.uniform(low, high) * canvas.unit
    far = canvas.distance(y, x, rng.uniform(1, 1.5), rng.uniform(0, np.pi)) / radius
    wavelength = 1.3 * radius
    rough = filtered_noise(canvas.shape, rng, lambda fy, fx: np.exp(-((np.hypot(fy, fx) * wavelength) ** 2)))
    return np.clip((1 - far + 0.22 * rough) / edge + 0.5, 0, 1)


def _stain(canvas: _Canvas, field: Field, rng: np.random.Generator) -> Mark:
    """A large patch that is a little darker or lighter, with a rim where it dried."""
    cover = _patch(canvas, rng, 10, 19, edge=0.3)
    rim = 4 * cover * (1 - cover)
    polarity = rng.choice([-1.0, 1.0], p=[0.7, 0.3])
    return Mark(polarity * (0.7 * cover + 0.3 * rim), cover)


def _smear(canvas: _Canvas, field: Field, rng: np.random.Generator) -> Mark:
    """A patch whose texture is wiped out: no darker, no lighter, only smoother."""
    cover = _patch(canvas, rng, 11, 18, edge=0.35)
    smooth = cv2.GaussianBlur(field, (0, 0), 5 * canvas.unit)
    # Its strength is the texture that is missing; harder smears leave more of it.
    left = 0.05 + 0.45 * canvas.difficulty
    sheen = 0.5 * (1 - canvas.difficulty) * rng.choice([-1.0, 1.0])
    return Mark(cover * ((1 - left) * (smooth - field) + sheen), cover)


DEFECTS: Mapping[str, Callable[[_Canvas, Field, np.random.Generator], Mark]] = {
    "scratch": _scratch,
    "crack": _crack,
    "dent": _dent,
    "pits": _pits,
    "stain": _stain,
    "smear": _smear,
}


def add_defect(
    grey: Field, texture: Field, surface: Surface, *, kind: str, difficulty: float, rng: np.random.Generator
) -> tuple[Field, NDArray[np.uint8]]:
    """The patch with one defect on it, and the defect's mask (H × W, 0 or 255).

    Args:
        grey: Grey levels of a defect-free patch, H × W.
        texture: Its texture alone, standardised.
        surface: The item.
        kind: A key of ``DEFECTS``.
        difficulty: 0 (obvious) to 1 (contrast below the texture's own, small, soft).
        rng: Random numbers of this image.
    """
    # Harder defects are smaller, fainter and softer; all of it is in units of the texture's own contrast.
    unit = min(grey.shape) / 128 * float(rng.uniform(0.85, 1.15)) * (1.25 - 0.5 * difficulty)
    canvas = _Canvas((grey.shape[0], grey.shape[1]), unit, difficulty, surface)
    mark = DEFECTS[kind](canvas, texture, rng)
    strength = 1.0 if kind == "smear" else (4.2 - 2.6 * difficulty) * float(rng.uniform(0.9, 1.15))
    change = mark.change
    if kind not in ("smear", "dent", "stain"):
        change = cv2.GaussianBlur(change, (0, 0), 0.35 + 0.5 * difficulty)
    marked = grey + surface.contrast * strength * change
    return marked, np.where(mark.cover > 0.35, 255, 0).astype(np.uint8)
