"""Share of harmless changes that `assay gate` blocks, simulated.

``python -m benchmarks.gate_rate [--gates 1000]``. Both sides draw from one distribution, in worlds by shape,
cells and looks. A gate is red where :func:`~assay.statistics.looks.decide` shows a difference
against the head.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

from assay.statistics.looks import decide
from benchmarks.shared import parser_of

__all__ = ["SHAPES", "blocked"]

Scores = NDArray[np.float64]  # seeds × cells
_LOOKS = ((6, 8), (6, 8, 10), (6, 8, 10, 13, 16, 20))
_CELLS = (1, 4)
_FAILS = 0.08  # share of trainings that end .5 lower


def _rarely_failing(rng: np.random.Generator, size: tuple[int, int]) -> Scores:
    return rng.normal(0, 0.03, size) - 0.5 * (rng.random(size) < _FAILS)


# How a side's scores are drawn, and `resolve`: the sd of a difference.
SHAPES: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], Scores], float]] = {
    "normal": (lambda rng, size: rng.normal(0, 1, size), 1.4),
    "heavy-tailed": (lambda rng, size: rng.standard_t(3, size), 1.4),
    "skewed": (lambda rng, size: rng.gamma(1, 1, size), 1.4),
    "rarely failing": (_rarely_failing, 0.2),
}


def blocked(shape: str, looks: tuple[int, ...], cells: int, gates: int) -> float:
    """Share of gates (0 to 1) that are red though nothing differs."""
    draw, resolve = SHAPES[shape]
    rng = np.random.default_rng([*shape.encode(), *looks, cells])
    size = (looks[-1], cells)
    red = 0
    for gate in range(gates):
        differences = draw(rng, size) - draw(rng, size)
        decisions = decide(differences, looks, seed=gate, resolve=resolve).decisions
        red += any(
            each.verdict == "shown" and differences[: each.repeats, cell].mean() < 0
            for cell, each in enumerate(decisions)
        )
    return red / gates


def main() -> None:
    """Print a Markdown table: worlds against red gates."""
    parser = parser_of(__doc__)
    parser.add_argument("--gates", type=int, default=1000, help="in each world")
    gates = parser.parse_args().gates
    sys.stdout.write("| scores | cells | looks | blocked |\n|---|---:|---|---:|\n")
    for shape, cells, looks in product(SHAPES, _CELLS, _LOOKS):
        share = blocked(shape, looks, cells, gates)
        sys.stdout.write(f"| {shape} | {cells} | {', '.join(map(str, looks))} | {100 * share:.1f} % |\n")


if __name__ == "__main__":
    main()
