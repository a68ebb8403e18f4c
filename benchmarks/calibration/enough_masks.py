"""Coverage of the interval of "masks that are enough".

    python -m benchmarks.calibration.enough_masks [--draws 1000]

A line of 0, 5, 15 and 40 (all) masks; 3, 5 and 10 repeats on one split; noise of 0.02 in each cell and a
shift of 0.02 that the cells of a repeat share; ``resolve`` is 0.02. The truth is where the line without
noise, straight in log(1 + masks) between the cells, loses no more than that.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np

from assay.statistics.labels import Enough, enough_masks
from benchmarks.calibration.worlds import tidy_table
from benchmarks.shared import parser_of

__all__ = ["MASKS", "TRUTHS", "simulate", "true_masks"]

MASKS: Mapping[str, float] = {"n0": 0, "n5": 5, "n15": 15, "all": 40}
TRUTHS: Mapping[str, tuple[float, ...]] = {
    "early": (0.80, 0.91, 0.92, 0.92),
    "late": (0.70, 0.80, 0.88, 0.95),
    "never before all": (0.60, 0.62, 0.64, 0.90),
}
RESOLVE, NOISE, SHARED = 0.02, 0.02, 0.02


def true_masks(curve: str) -> int:
    """The number of masks that is enough without noise."""
    numbers = np.arange(max(MASKS.values()) + 1)
    scores = np.interp(np.log1p(numbers), np.log1p(list(MASKS.values())), TRUTHS[curve])
    return int(numbers[np.flatnonzero(scores[-1] - scores > RESOLVE)[-1] + 1])


def simulate(curve: str, repeats: int, draw: int) -> Enough:
    """One study on a curve, analysed; the same draw gives the same result."""
    rng = np.random.default_rng([list(TRUTHS).index(curve), repeats, draw])
    truth = np.array(TRUTHS[curve])
    scores = [truth + rng.normal(0, SHARED) + rng.normal(0, NOISE, len(truth)) for _ in range(repeats)]
    table = tidy_table(dict(zip(MASKS, np.transpose(scores), strict=True)))
    (result,) = enough_masks(table, MASKS, metric="image_ap", resolve=RESOLVE)
    return result


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--draws", type=int, default=1000, help="studies of each kind")
    draws = parser.parse_args().draws
    sys.stdout.write("| curve | truth | n | covered, % | median estimate | median interval |\n")
    sys.stdout.write("|---|---|---|---|---|---|\n")
    for curve in TRUTHS:
        for repeats in (3, 5, 10):
            results = [simulate(curve, repeats, draw) for draw in range(draws)]
            ends = np.array([(result.low, result.masks, result.high) for result in results], np.float64)
            covered = 100 * np.mean((ends[:, 0] <= true_masks(curve)) & (true_masks(curve) <= ends[:, 2]))
            low, middle, high = np.median(ends, axis=0)
            case, interval = f"{curve} | {true_masks(curve)} | {repeats}", f"{low:.0f}–{high:.0f}"
            sys.stdout.write(f"| {case} | {covered:.1f} | {middle:.0f} | {interval} |\n")


if __name__ == "__main__":
    main()
