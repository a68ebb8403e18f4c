"""Levels of the looks at which a comparison may be called negligible, so that their errors add up to one.

Apart from ``negligible.py``, whose scipy.optimize and pandas `assay plan` does without.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, special

__all__ = ["levels_over_looks"]


@lru_cache(maxsize=1024)
def levels_over_looks(looks: tuple[int, ...], error: float) -> tuple[float, ...]:
    """Level of a one-sided test at each look, so that ``error``·(n/N)^1.5 is spent by n of N repeats.

    The sum of n normal scores walks on a grid, and what passes a look's boundary is taken out.

    Args:
        looks: Numbers of repeats, ascending.
        error: Chance of ever passing, 0..1.

    Source: Armitage, McPherson and Rowe 1969, Repeated significance tests, J. R. Stat. Soc. A.
    """
    last = looks[-1]
    sums = np.linspace(-8 * math.sqrt(last), 8 * math.sqrt(last), 4001)
    step = float(sums[1] - sums[0])
    density, before, spent = np.array([1 / step]), 0, 0.0
    levels: list[float] = []
    for n in looks:
        reach = step * np.arange(-2000, 2001)
        moves = np.exp(-(reach**2) / (2 * (n - before))) / math.sqrt(2 * math.pi * (n - before))
        density = step * (_convolved(density, moves) if before else density * moves)
        tail = np.cumsum(density[::-1])[::-1] * step
        boundary = int(np.searchsorted(-tail, spent - error * (n / last) ** 1.5))
        spent += float(tail[boundary])
        density[boundary:] = 0.0
        levels.append(float(special.ndtr(-(sums[boundary] - step / 2) / math.sqrt(n))))
        before = n
    return tuple(levels)


def _convolved(density: NDArray[np.float64], moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """The middle of the convolution: scipy.signal's ``fftconvolve``, bit for bit, without its half second."""
    full = len(density) + len(moves) - 1
    size, start = fft.next_fast_len(full, real=True), (len(moves) - 1) // 2
    spectra = [np.asarray(fft.rfftn(each, [size])) for each in (density, moves)]
    return np.asarray(fft.irfftn(spectra[0] * spectra[1], [size]))[start : start + len(density)]
