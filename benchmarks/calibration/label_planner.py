"""Calibration of the label planner: how often it speaks, how often it is right, how well its intervals hold.

    python -m benchmarks.calibration.label_planner [--draws 100]

Grids of 3 × 3 and 3 × 4 cells (50, 100, 200 image labels; 5 to 45 masks), five repeats with noise of 0.02 and
a shift of 0.02 that all cells of a repeat share. Each draw has a surface of its own: how much of the
score is due to image labels, and how much to masks, is random. The truth is the surface without noise.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy.special import expit

from assay.statistics.labels import EvenPrice, Gain, Labels, advise_labels, most_hours
from benchmarks.calibration.worlds import tidy_table
from benchmarks.shared import parser_of

__all__ = ["DESIGNS", "SURFACES", "Outcome", "simulate", "table"]

IMAGE_LABELS = (50, 100, 200)
DESIGNS = {"3 × 3": (5, 15, 45), "3 × 4": (5, 10, 20, 45)}  # numbers of masks
SECONDS = Labels(1.0, 12.0)  # a ratio of 12: arXiv:2303.11678
NOW = Labels(200.0, 45.0)
REPEATS, NOISE, SHARED = 5, 0.02, 0.02
_FULL = Labels(400.0, 90.0)

Surface = Callable[
    [float, float, float], float
]  # share that is due to image labels, image labels, masks → score


def _mixture(u: float, labels: float, masks: float) -> float:
    """From 0 to 1, straight in both log counts."""
    return u * np.log1p(labels) / np.log1p(_FULL.image_labels) + (1 - u) * np.log1p(masks) / np.log1p(
        _FULL.masks
    )


def _logarithmic(u: float, labels: float, masks: float) -> float:
    return 0.55 + 0.4 * _mixture(u, labels, masks)


def _logistic(u: float, labels: float, masks: float) -> float:
    return float(expit(-1 + 4 * _mixture(u, labels, masks)))


def _power_law(u: float, labels: float, masks: float) -> float:
    return 1 - 0.6 * (u * (1 + labels / 20) ** -0.5 + (1 - u) * (1 + masks / 2) ** -0.5)


def _substitutes(u: float, labels: float, masks: float) -> float:
    """A mask is worth 1 to 100 image labels."""
    return 0.3 + 0.08 * np.log1p(labels + 10 ** (2 * (1 - u)) * masks)


SURFACES: Mapping[str, Surface] = {
    "log": _logarithmic,
    "logistic": _logistic,
    "power law": _power_law,
    "masks substitute labels": _substitutes,
}


@dataclass(frozen=True)
class Outcome:
    """One draw. Covered: whether the interval holds the truth."""

    advised: bool
    right: bool  # the kind with the larger mean gain, advised or not
    difference_covered: bool
    masks_covered: bool
    labels_covered: bool
    even_covered: bool | None  # None: no even price in reach


def simulate(surface: str, design: str, draw: int) -> Outcome:
    """Draw a surface and a study on it, and ask the planner; the same draw gives the same outcome."""
    rng = np.random.default_rng([list(SURFACES).index(surface), list(DESIGNS).index(design), draw])
    share, score = float(rng.uniform()), SURFACES[surface]
    counts = {f"{i}·{m}": Labels(i, m) for i, m in product(IMAGE_LABELS, DESIGNS[design])}
    hours = most_hours(NOW, SECONDS)
    drawn = _study({cell: score(share, *labels) for cell, labels in counts.items()}, rng)
    advice = advise_labels(drawn, counts, now=NOW, hours=hours, seconds=SECONDS, metric="image_ap")
    assert advice.image_labels is not None, f"a full grid was refused: {advice.reason}"
    assert advice.masks is not None
    assert advice.difference is not None
    now = score(share, *NOW)
    labels = score(share, NOW.image_labels + advice.bought.image_labels, NOW.masks) - now

    def masks(seconds: float) -> float:
        return score(share, NOW.image_labels, NOW.masks + hours * 3600 / seconds) - now

    gained = masks(SECONDS.masks)
    return Outcome(
        advised=advice.choice is not None,
        right=(advice.difference.mean > 0) == (gained > labels),
        difference_covered=_holds(advice.difference, gained - labels),
        masks_covered=_holds(advice.masks, gained),
        labels_covered=_holds(advice.image_labels, labels),
        even_covered=_even_covered(advice.even, labels, masks),
    )


def _study(truth: Mapping[str, float], rng: np.random.Generator) -> pd.DataFrame:
    means = np.array(list(truth.values()))
    scores = [means + rng.normal(0, SHARED) + rng.normal(0, NOISE, len(means)) for _ in range(REPEATS)]
    return tidy_table(dict(zip(truth, np.transpose(scores).clip(0, 1), strict=True)))


def _holds(gain: Gain, truth: float) -> bool:
    return gain.low <= truth <= gain.high


def _even_covered(price: EvenPrice | None, labels: float, masks: Callable[[float], float]) -> bool | None:
    if price is None:
        return None
    # `masks(seconds)` falls: the even price lies between two prices at which the better buy differs.
    return masks(price.low) >= labels >= masks(price.high)


def table(draws: int) -> Iterator[str]:
    """The figures as lines of a Markdown table, in percent."""
    columns = "advised | right when advised | right if forced | difference | masks | labels | even price"
    yield f"| surface | cells | {columns} |"
    yield "|---|---|---|---|---|---|---|---|---|"
    with ProcessPoolExecutor() as pool:
        for surface, design in product(SURFACES, DESIGNS):
            cases = [surface] * draws, [design] * draws, range(draws)
            yield _line(surface, design, list(pool.map(simulate, *cases, chunksize=10)))


def _line(surface: str, design: str, outcomes: list[Outcome]) -> str:
    advised = [outcome for outcome in outcomes if outcome.advised]
    priced = [outcome.even_covered for outcome in outcomes if outcome.even_covered is not None]
    figures = [len(advised) / len(outcomes), sum(outcome.right for outcome in advised) / max(1, len(advised))]
    for name in ("right", "difference_covered", "masks_covered", "labels_covered"):
        figures.append(sum(getattr(outcome, name) for outcome in outcomes) / len(outcomes))
    said = " | ".join(f"{100 * figure:.0f}" for figure in figures)
    return f"| {surface} | {design} | {said} | {sum(priced)} of {len(priced)} |"


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--draws", type=int, default=100, help="surfaces and studies of each kind")
    for line in table(parser.parse_args().draws):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
