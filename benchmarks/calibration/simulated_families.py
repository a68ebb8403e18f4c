"""Simulated families: how often max-T, the shared spread and `negligible` are wrong, and what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from assay.statistics.contrasts import comparison
from assay.statistics.families import ComparisonResult, Rules, compare_families
from benchmarks.calibration.figures import (
    DECIDED,
    FALSE_POSITIVES,
    Figure,
    Simulation,
    misses,
    percent,
    rng_of,
)
from benchmarks.calibration.worlds import DEFECTS, NO_EFFECT, learner_scores, results_of_pairs, tidy_table

__all__ = ["FAMILY_WORLDS", "ON_FAMILIES", "Cells", "DrawCells", "against_base"]

Cells = NDArray[np.float64]  # (m + 1) × draws × n, the base first
DrawCells = Callable[[np.random.Generator, int, int, int], Cells]  # (rng, cells, draws, n)

_SD = 0.02
_CLEAR = 2.5  # sd of a difference


def _alike(name: str) -> DrawCells:
    world = next(world for world in NO_EFFECT if world.name == name)

    def draw(rng: np.random.Generator, cells: int, draws: int, n: int) -> Cells:
        return np.concatenate([world.draw(rng, draws, n) for _ in range(cells // 2 + 1)])[:cells]

    return draw


def _one_noisy(times: float) -> DrawCells:
    def draw(rng: np.random.Generator, cells: int, draws: int, n: int) -> Cells:
        scores = rng.normal(0, _SD, (cells, draws, n))
        scores[1] *= times
        return 0.8 + scores

    return draw


def _near_one(rng: np.random.Generator, cells: int, draws: int, n: int) -> Cells:
    """AP with mean .87; the seeds of the second cell are louder, towards failure."""
    scores = rng.beta(0.87 * 60, 0.13 * 60, (cells, draws, n))
    scores[1] = rng.beta(0.87 * 8, 0.13 * 8, (draws, n))
    return scores


FAMILY_WORLDS: dict[str, tuple[DrawCells, bool]] = {  # how cells are drawn; must the limit be kept
    **{world.name: (_alike(world.name), True) for world in NO_EFFECT},
    "one cell × 4": (_one_noisy(4), True),
    "one cell × 10": (_one_noisy(10), False),
    "AP near .87, one cell's seeds louder": (_near_one, False),
}


def against_base(cells: Cells, m: int, resolve: float | None = None) -> list[tuple[ComparisonResult, ...]]:
    """Results of m cells against the base, draw by draw: each a study of its own."""
    draws = cells.shape[1]
    names = {f"c{cell}-{i}": cells[cell, i] for cell, i in np.ndindex(m + 1, draws)}
    families = {
        str(i): [comparison(f"c{cell}", f"c0-{i}", f"c{cell}-{i}") for cell in range(1, m + 1)]
        for i in range(draws)
    }
    table = tidy_table(names)
    rules = Rules(resolution=1 / DEFECTS, resolve=resolve)
    answers = compare_families(table, families, metric="image_ap", rules=rules)
    return list(answers.values())


def family(case: tuple[str, int, int], draws: int) -> Iterator[Figure]:
    """A family without any effect: any verdict that finds something."""
    name, m, n = case
    draw, held = FAMILY_WORLDS[name]
    of_draws = against_base(draw(rng_of("max-T", *case), m + 1, draws, n), m)
    wrong = percent([any(result.verdict in DECIDED for result in results) for results in of_draws])
    yield Figure("max_t", f"{m}, {name}", f"n = {n}", wrong, draws, "", FALSE_POSITIVES if held else None)


def partly(case: tuple[str, int, int], draws: int) -> Iterator[Figure]:
    """A quarter of the cells is 2.5 sd better: errors among the others, and what is found."""
    name, m, n = case
    draw, _ = FAMILY_WORLDS[name]
    cells = draw(rng_of("partly", *case), m + 1, draws, n)
    true = m // 4
    cells[-true:] += _CLEAR * np.std(cells[2] - cells[0])
    of_draws = against_base(cells, m)
    wrong = percent([any(r.verdict in DECIDED for r in results[:-true]) for results in of_draws])
    shown = percent([r.verdict in DECIDED for results in of_draws for r in results[-true:]])
    yield Figure("partly", f"{m}, {name}: false", f"n = {n}", wrong, draws, "", FALSE_POSITIVES)
    yield Figure("partly", f"{m}, {name}: found", f"n = {n}", shown, draws)


def negligible(case: tuple[int, float, int], draws: int) -> Iterator[Figure]:
    """Verdict `negligible` where nothing differs, and where the true difference is `resolve`."""
    m, ratio, n = case
    resolve = ratio * _SD * np.sqrt(2)
    for truth, row in ((0.0, "no difference: found"), (resolve, "a difference of `resolve`: false")):
        cells = rng_of("negligible", *case, truth).normal(0.8, _SD, (m + 1, draws, n))
        cells[1:] += truth
        of_draws = against_base(cells, m, resolve)
        dropped = [[result.verdict == "negligible" for result in results] for results in of_draws]
        share = percent([any(family) for family in dropped]) if truth else percent(np.concatenate(dropped))
        most = FALSE_POSITIVES if truth else None
        yield Figure(
            "negligible", f"{m}, `resolve` = {ratio:g} sd, {row}", f"n = {n}", share, draws, "", most
        )


def this_data(noise: float, draws: int) -> Iterator[Figure]:
    """Interval of the claim `this data` against the mean over a hundred further splits of the same data."""
    scores = learner_scores(rng_of("this data", noise), draws, 110, seed_noise=noise, own_splits=True)[..., 0]
    truth = (scores[0] - scores[1])[:, 10:].mean(axis=1)
    row = f"own split per seed, {'loud' if noise > 0.3 else 'quiet'}: `this data`"
    for seeds in (3, 5, 10):
        of_draws = results_of_pairs(*scores[:, :, :seeds], splits="per_seed", n_train=60, n_test=30)
        wrong = percent([misses(claims[0], true) for claims, true in zip(of_draws, truth, strict=True)])
        yield Figure("folds", row, f"S = {seeds}", wrong, draws)


def one_sided(case: tuple[str, int], draws: int) -> Iterator[Figure]:
    """Share of comparisons that carry the note `skewed differences`."""
    name, n = case
    cells = FAMILY_WORLDS[name][0](rng_of("note", *case), 2, draws, n)
    noted = percent(["one-sided" in result.note for (result,) in results_of_pairs(cells[1], cells[0])])
    yield Figure("note", name, f"n = {n}", noted, draws)


_DRAWS = {4: 2000, 12: 1000, 28: 1000}
_SIZES = {4: (3, 4, 5, 6, 8, 10), 12: (3, 5, 6, 10), 28: (3, 6, 10)}

ON_FAMILIES: tuple[Simulation, ...] = (
    *(
        Simulation(family, (name, m, n), _DRAWS[m])
        for m, ns in _SIZES.items()
        for n in ns
        for name in FAMILY_WORLDS
    ),
    *(
        Simulation(partly, (name, m, n), _DRAWS[m])
        for m, ns in _SIZES.items()
        for n in ns
        for name in ("normal", "skewed", "collapse")
    ),
    *(Simulation(negligible, case, 1000) for case in product((1, 4, 12), (1.0, 2.0), (3, 5, 6, 10))),
    *(Simulation(this_data, noise, 400) for noise in (0.4, 0.2)),
    *(
        Simulation(one_sided, (name, n), 600)
        for name in ("normal", "skewed", "collapse", "AP near .87, one cell's seeds louder")
        for n in (3, 5, 6, 10, 20)
    ),
)
