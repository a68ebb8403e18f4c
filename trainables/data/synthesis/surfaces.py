"""Textured surfaces in the manner of DAGM 2007: statistical grey textures under uneven light.

A :class:`Surface` is one physical item: its texture, orientation, scale and light. Painting it again
gives another patch of the same material, never the same pixels. Fields are H × W float64 with mean 0
and standard deviation 1. Processors round the last bits differently: of float32, grey levels would too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["TEXTURES", "Field", "Surface", "paint_surface", "standardise"]

Field = NDArray[np.float64]  # H × W


@dataclass(frozen=True)
class Surface:
    """Traits that all pictures of one item share."""

    texture: str  # a key of ``TEXTURES``
    angle: float  # direction of the structure, radians
    scale: float  # size of the structure relative to the texture's usual one
    grey: float  # mean grey level
    contrast: float  # standard deviation of the texture, grey levels
    light: float  # strength of the uneven light, grey levels

    @classmethod
    def draw(cls, texture: str, rng: np.random.Generator) -> Surface:
        """An item of this texture: materials vary from item to item, within bounds."""
        return cls(
            texture=texture,
            angle=float(rng.uniform(0, np.pi)),
            scale=float(rng.uniform(0.85, 1.2)),
            grey=float(rng.uniform(105, 150)),
            contrast=float(rng.uniform(13, 19)),
            light=float(rng.uniform(4, 12)),
        )


def standardise(field: NDArray[np.floating]) -> Field:
    """The field with mean 0 and standard deviation 1."""
    return (field - field.mean()) / (field.std() + 1e-6)


def filtered_noise(
    shape: tuple[int, int], rng: np.random.Generator, spectrum: Callable[[Field, Field], NDArray[np.floating]]
) -> Field:
    """White noise shaped by an amplitude spectrum of the frequencies (fy, fx), cycles per pixel."""
    height, width = shape
    # White noise is shaped in frequencies, since every material here is known by its spectrum.
    fy = np.fft.fftfreq(height)[:, None].astype(np.float64)
    fx = np.fft.rfftfreq(width)[None, :].astype(np.float64)
    noise = np.fft.rfft2(rng.standard_normal(shape))
    return standardise(np.fft.irfft2(noise * spectrum(fy, fx), s=shape))


def _band(shape: tuple[int, int], rng: np.random.Generator, wavelength: float, width: float) -> Field:
    """Isotropic noise around one wavelength (pixels); ``width`` is relative."""
    centre = 1.0 / wavelength
    return filtered_noise(
        shape,
        rng,
        lambda fy, fx: np.exp(-(((np.hypot(fy, fx) - centre) / (width * centre)) ** 2)),
    )


def _rotated(fy: Field, fx: Field, angle: float) -> tuple[Field, Field]:
    return fx * np.cos(angle) + fy * np.sin(angle), fy * np.cos(angle) - fx * np.sin(angle)


def _ground(shape: tuple[int, int], surface: Surface, rng: np.random.Generator) -> Field:
    """Ground metal: long fine grooves in one direction, some deeper than others."""

    def grooves(length: float, thickness: float) -> Field:
        def spectrum(fy: Field, fx: Field) -> Field:
            along, across = _rotated(fy, fx, surface.angle)
            return np.exp(-((along * length) ** 2) - (across * thickness) ** 2)

        return filtered_noise(shape, rng, spectrum)

    fine = grooves(26 * surface.scale, 1.6)
    deep = grooves(48 * surface.scale, 3.2)
    return standardise(
        fine + 0.8 * deep - 0.5 * np.maximum(deep - 0.8, 0) + 0.35 * rng.standard_normal(shape)
    )


def _cast(shape: tuple[int, int], surface: Surface, rng: np.random.Generator) -> Field:
    """Cast or sintered material: cloudy at all sizes, with grains."""
    clouds = filtered_noise(shape, rng, lambda fy, fx: 1 / (0.012 + np.hypot(fy, fx)) ** 1.25)
    grains = _band(shape, rng, 4.5 * surface.scale, 0.5)
    return standardise(0.8 * clouds + 0.55 * grains + 0.3 * np.maximum(grains - 1, 0))


def _woven(shape: tuple[int, int], surface: Surface, rng: np.random.Generator) -> Field:
    """Plain weave: threads over and under, unevenly thick."""
    height, width = shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    # Threads sway, so the weave is no exact lattice that a filter could subtract.
    tilt = 0.12 * np.sin(2 * surface.angle)  # cloth lies nearly square to the camera
    along, across = _rotated(y, x, tilt)
    pitch = 2 * np.pi / (7.5 * surface.scale)
    sway = 0.55 * _band(shape, rng, 60, 0.6), 0.55 * _band(shape, rng, 60, 0.6)
    warp, weft = along * pitch + sway[0], across * pitch + sway[1]
    over = np.sin(warp / 2) * np.sin(weft / 2)
    threads = np.where(over > 0, np.abs(np.cos(warp / 2)) ** 0.7, np.abs(np.cos(weft / 2)) ** 0.7)
    fibre = _band(shape, rng, 3.2, 0.5)
    return standardise(-threads * (1 + 0.12 * _band(shape, rng, 25, 0.6)) * 3 + 0.45 * fibre)


def _pebbled(shape: tuple[int, int], surface: Surface, rng: np.random.Generator) -> Field:
    """Leather-like grain: rounded cells between dark furrows, lit from one side."""
    relief = 1 - np.abs(_band(shape, rng, 17 * surface.scale, 0.35))
    relief = cv2.GaussianBlur(relief, (0, 0), 0.8)
    return standardise(-relief + 0.9 * _lit(relief, surface.angle) + 0.2 * _band(shape, rng, 3.5, 0.5))


def _coated(shape: tuple[int, int], surface: Surface, rng: np.random.Generator) -> Field:
    """Orange peel of a coating: shallow waves that show through their slope."""
    relief = _band(shape, rng, 11 * surface.scale, 0.45) + 0.6 * _band(shape, rng, 24 * surface.scale, 0.45)
    return standardise(_lit(relief, surface.angle) * 2 + 0.3 * relief + 0.35 * rng.standard_normal(shape))


def _lit(relief: NDArray[Any], angle: float) -> Field:
    """Shading of a relief under a light from ``angle``: the slope towards it."""
    slope_y, slope_x = np.gradient(relief)
    return np.cos(angle) * slope_x + np.sin(angle) * slope_y


TEXTURES: Mapping[str, Callable[[tuple[int, int], Surface, np.random.Generator], Field]] = {
    "ground": _ground,
    "cast": _cast,
    "woven": _woven,
    "pebbled": _pebbled,
    "coated": _coated,
}


def paint_surface(shape: tuple[int, int], surface: Surface, rng: np.random.Generator) -> tuple[Field, Field]:
    """One defect-free patch: its grey levels, and the texture alone (standardised), both H × W.

    Dust specks, bright and dark, lie on every patch: they are no defects, and the most extreme pixel says
    nothing about the label.
    """
    texture = TEXTURES[surface.texture](shape, surface, rng)
    height, width = shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    # Light falls off across the patch: absolute brightness says nothing of a defect.
    toward = float(rng.uniform(0, 2 * np.pi))
    light = x * np.cos(toward) + y * np.sin(toward) - 0.5 * (x**2 + y**2)
    grey = surface.grey + surface.light * light + surface.contrast * texture

    # Specks on every patch, so that the most extreme pixel tells nothing either.
    dust = np.zeros(shape)
    for _ in range(int(rng.poisson(3.0 * height * width / 128**2))):
        dust[int(rng.integers(height)), int(rng.integers(width))] = rng.choice([-1.0, 1.0]) * rng.uniform(
            5, 9
        )
    grey = grey + surface.contrast * cv2.GaussianBlur(dust, (0, 0), 0.7)
    return grey + rng.normal(0, 1.5, shape), texture
