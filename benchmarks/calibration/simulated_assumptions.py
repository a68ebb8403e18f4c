"""Simulated studies that break what the tests take for granted: how often their verdicts are wrong then.

A row that ends in "before" has the figure without the rule that was made for it, from the same draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from scipy import special

from assay.statistics.interim_looks import decide
from benchmarks.calibration.figures import (
    DECIDED,
    FALSE_POSITIVES,
    Figure,
    Simulation,
    percent,
    rng_of,
    significant,
)
from benchmarks.calibration.simulated_families import FAMILY_WORLDS, Cells, DrawCells, against_base
from benchmarks.calibration.worlds import NO_EFFECT, WORLDS, results_of_pairs

__all__ = ["ON_ASSUMPTIONS"]

# A seed that means the same in all folds -------------------------------------------------------------

_SEEDS = (2, 3, 5, 10)


def seeds_in_all_folds(case: tuple[int, float], draws: int) -> Iterator[Figure]:
    """Prescribed folds, and what a seed does to a cell in all of them, in sd of what is left over.

    Of two seeds nothing is promised, of three in up to five folds, of five in any number.
    """
    folds, effect = case
    rng = rng_of("seeds in all folds", *case)
    shape = (2, draws, max(_SEEDS), folds)
    scores = 0.8 + 0.02 * rng.normal(0, 1, shape)
    scores += 0.02 * effect * rng.normal(0, 1, (*shape[:3], 1))
    scores += 0.01 * rng.normal(0, 1, (*shape[:2], 1, folds))
    row = f"{folds} folds, " + (f"cell × seed {effect:g} sd" if effect else "no effect of a seed")
    for seeds in _SEEDS:
        results = [new for _, new in results_of_pairs(*scores[:, :, :seeds])]
        of_folds = (scores[0] - scores[1])[:, :seeds].mean(axis=1)
        error = np.sqrt((1 / folds + 1 / (folds - 1)) * of_folds.var(axis=1, ddof=1))
        before = 2 * special.stdtr(folds - 1, -np.abs(of_folds.mean(axis=1)) / error) <= 0.05
        held = seeds >= 5 or (seeds >= 3 and folds <= 5)
        column, most = f"S = {seeds}", FALSE_POSITIVES if held else None
        yield Figure("seed_effect", f"{row}, before", column, percent(before), draws)
        yield Figure("seed_effect", row, column, percent(list(map(significant, results))), draws, "", most)


# Looks below six repeats -----------------------------------------------------------------------------

_LOOKS = ((3, 4, 5), (3, 5), (4, 5), tuple(range(3, 11)))
_LOOKED = 5.6  # %: p times the square of the looks is no strict bound


def small_looks(numbers: Sequence[int], draws: int) -> Iterator[Figure]:
    """Stopping at the first of several numbers of repeats at which the verdict is `suggested` or `shown`."""
    a, b = NO_EFFECT[0].draw(rng_of("small looks", numbers), draws, max(numbers))
    for row in ("looks not counted", "looks counted"):
        ever = np.zeros(draws, bool)
        for place, n in enumerate(numbers):
            earlier = numbers[:place] if row == "looks counted" else ()
            results = results_of_pairs(a[:, :n], b[:, :n], earlier_looks=earlier)
            ever |= np.array([result.verdict in DECIDED for (result,) in results])
        column = ", ".join(map(str, numbers)) if len(numbers) < 4 else f"{numbers[0]}, 4, … {numbers[-1]}"
        most = _LOOKED if row == "looks counted" and max(numbers) < 6 else None
        yield Figure("small_looks", row, column, percent(ever), draws, "", most)


# Repeats that are missing ----------------------------------------------------------------------------

_MISSING = ((8, 1), (10, 1), (10, 2), (20, 2), (20, 4))


def missing(case: tuple[str, int, int], draws: int) -> Iterator[Figure]:
    """The lowest scores of one cell are left out; or, of a cell that is 2 sd better, some at random."""
    world, planned, lost = case
    a, b = WORLDS[world].draw(rng_of("missing", *case), draws, planned)
    column = f"{lost} of {planned}"
    for truth in ("worst of one cell left out: false", "left out at random, 2 sd better: found"):
        found = truth.endswith("found")
        if found and world != "normal":
            continue
        a = a + 2 * np.std(a - b) * found
        order = np.argsort(a, axis=1)
        if found:
            order = np.broadcast_to(np.arange(planned), a.shape)
        left_out = np.zeros(a.shape, bool)
        np.put_along_axis(left_out, order[:, :lost], True, axis=1)
        kept = np.argsort(left_out, axis=1, kind="stable")[:, : planned - lost]
        before = results_of_pairs(*(np.take_along_axis(cell, kept, axis=1) for cell in (a, b)))
        status = {"a": np.where(left_out, "missing", "finished"), "b": np.full(a.shape, "finished", object)}
        after = results_of_pairs(a, b, status=status)
        for name, results in ((", before", before), ("", after)):
            rate = percent([result.verdict in DECIDED for (result,) in results])
            most = None if found or name else FALSE_POSITIVES
            yield Figure("missing", f"{world}, {truth}{name}", column, rate, draws, "", most)


# Repeats that depend on each other -------------------------------------------------------------------

_CORRELATION = 0.3


def dependent(n: int, draws: int) -> Iterator[Figure]:
    """Scores of each cell that go with those of the repeat before (autocorrelation .3)."""
    moves = rng_of("dependent", n).normal(0, 1, (2, draws, n))
    scores = moves.copy()
    for repeat in range(1, n):
        scores[..., repeat] = (
            _CORRELATION * scores[..., repeat - 1] + np.sqrt(1 - _CORRELATION**2) * moves[..., repeat]
        )
    results = results_of_pairs(*(0.8 + 0.02 * scores))
    decided = percent([result.verdict in DECIDED for (result,) in results])
    yield Figure("dependent", "autocorrelation .3 in each cell", f"n = {n}", decided, draws)


# Negligible where shapes differ ----------------------------------------------------------------------


def _base_fails(share: float, loss: float) -> DrawCells:
    def draw(rng: np.random.Generator, cells: int, draws: int, n: int) -> Cells:
        scores = rng.normal(0.8, 0.02, (cells, draws, n))
        scores[0] -= loss * ((rng.random((draws, n)) < share) - share)
        return scores

    return draw


def _base_skewed(rng: np.random.Generator, cells: int, draws: int, n: int) -> Cells:
    scores = rng.normal(0.8, 0.02, (cells, draws, n))
    scores[0] = 0.86 - rng.gamma(1.0, 0.06, (draws, n))
    return scores


_MARGIN_WORLDS = {
    **{name: FAMILY_WORLDS[name] for name in ("normal", "skewed", "ties", "one cell × 4")},
    "AP near .87, one cell's seeds louder": FAMILY_WORLDS["AP near .87, one cell's seeds louder"],
    "base fails rarely (loses 0.1 in 10 %)": (_base_fails(0.1, 0.1), False),
    "base fails rarely (loses 0.3 in 5 %)": (_base_fails(0.05, 0.3), False),
    "base skewed towards failure": (_base_skewed, False),
}
_DECIDE = (6, 8, 10, 13, 16, 20)


def at_resolve(case: tuple[str, int, int], draws: int) -> Iterator[Figure]:
    """Any `negligible` of m comparisons whose true difference is `resolve`, 1 sd, above the base."""
    name, m, n = case
    draw, held = _MARGIN_WORLDS[name]
    cells = draw(rng_of("at resolve", *case), m + 1, draws, n)
    resolve = float(np.std(cells[-1] - cells[0]))
    cells[1:] += resolve
    wrong = percent(
        [any(r.verdict == "negligible" for r in results) for results in against_base(cells, m, resolve)]
    )
    most = FALSE_POSITIVES if held else None
    yield Figure("at_resolve", f"{m}, {name}", f"n = {n}", wrong, draws, "", most)


def decided_at_resolve(name: str, draws: int) -> Iterator[Figure]:
    """The same of six comparisons with `decide`."""
    draw, held = _MARGIN_WORLDS[name]
    cells = draw(rng_of("decided at resolve", name), 7, draws, _DECIDE[-1])
    differences = np.moveaxis(cells[1:] - cells[0], 0, -1)
    resolve = float(np.std(differences[..., -1]))
    taken = [
        decide(d, _DECIDE, seed=i % 16, resolve=resolve).decisions
        for i, d in enumerate(differences + resolve)
    ]
    wrong = percent([any(each.verdict == "negligible" for each in decisions) for decisions in taken])
    most = FALSE_POSITIVES if held else None
    yield Figure("at_resolve", f"6, {name}", "`decide`", wrong, draws, "", most)


ON_ASSUMPTIONS: tuple[Simulation, ...] = (
    *(Simulation(seeds_in_all_folds, case, 2_000) for case in product((3, 5, 10), (0.0, 1.0, 2.0))),
    *(Simulation(small_looks, numbers, 2_000) for numbers in _LOOKS),
    *(
        Simulation(missing, (world, *numbers), 1_000)
        for world in ("normal", "skewed", "collapse")
        for numbers in _MISSING
    ),
    *(Simulation(dependent, n, 3_000) for n in (3, 5, 6, 10, 20)),
    *(Simulation(at_resolve, case, 1_000) for case in product(_MARGIN_WORLDS, (1, 4), (3, 5, 10))),
    *(Simulation(decided_at_resolve, name, 600) for name in _MARGIN_WORLDS),
)
