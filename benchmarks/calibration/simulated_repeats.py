"""Simulated repeats: how often comparisons, families, contrasts and bold cells are wrong; what is found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from assay.statistics.contrasts import Contrast, interactions, main_effects
from assay.statistics.families import ComparisonResult, best_cells, compare_families
from benchmarks.calibration.figures import (
    DECIDED,
    FALSE_POSITIVES,
    Figure,
    Simulation,
    misses,
    percent,
    rng_of,
    significant,
)
from benchmarks.calibration.simulated_families import FAMILY_WORLDS, against_base
from benchmarks.calibration.worlds import NO_EFFECT, WORLDS, World, results_of_pairs, tidy_table

__all__ = ["ON_REPEATS"]

REPEATS = (3, 5, 6, 7, 10)

# One comparison --------------------------------------------------------------------------------------

_T_DESIGN = {
    "normal": (5.1, 4.9, 5.1, 4.8, 5.0),
    "skewed": (3.5, 3.4, 3.6, 3.8, 4.0),
    "heavy": (4.0, 3.5, 3.7, 4.0, 4.1),
    "hetero": (2.9, 2.3, 2.9, 2.7, 3.2),
    "ties": (1.7, 1.7, 3.0, 3.8, 3.8),
    "collapse": (4.0, 3.1, 2.7, 2.5, 2.0),
    "skewed-a": (6.5, 7.4, 7.0, 7.1, 7.4),
    "beta-a": (8.5, 10.7, 11.3, 10.6, 10.1),
    "ceiling": (13.4, 11.5, 11.2, 11.5, 10.3),
    "one-a": (0, 0.5, 0.3, 1.3, 4.4),
    "collapse-a": (27, 54, 61, 63, 59),
}
_EXACT_DESIGN = {
    "normal": (0, 0, 3.1, 4.5, 4.8),
    "skewed": (0, 0, 3.2, 4.7, 4.6),
    "heavy": (0, 0, 3.0, 4.5, 4.9),
    "hetero": (0, 0, 3.4, 4.5, 4.7),
    "ties": (0, 0, 0.1, 0.2, 0.9),
    "collapse": (0, 0, 3.0, 4.9, 4.8),
    "skewed-a": (0, 0, 4.5, 6.6, 7.2),
    "beta-a": (0, 0, 7.8, 9.9, 9.9),
    "ceiling": (0, 0, 4.5, 8.5, 9.6),
    "collapse-a": (0, 0, 48, 61, 59),
}


def one_comparison(case: tuple[str, int], draws: int) -> Iterator[Figure]:
    """A world at one number of repeats: interval, exact test and verdict of the same draws."""
    name, n = case
    world = WORLDS[name]
    a, b = world.draw(rng_of("pair", name, n), draws, n)
    results = [claims[0] for claims in results_of_pairs(a, b)]
    place, column = REPEATS.index(n), f"n = {n}"
    held = world.no_effect and n >= 5
    t_design = f"{_T_DESIGN[name][place]}"
    bound = FALSE_POSITIVES if held else None
    missed = percent([misses(result, world.difference) for result in results])
    yield Figure("interval", name, column, missed, draws, t_design, bound)
    if name not in _EXACT_DESIGN:  # the cells do differ: there is nothing false to find
        return
    exact_design = f"{_EXACT_DESIGN[name][place]}"
    yield Figure("exact", name, column, percent(list(map(significant, results))), draws, exact_design, bound)
    decided = percent([result.verdict in DECIDED for result in results])
    yield Figure("verdict", name, column, decided, draws, "≤ 5.1" if world.no_effect else "", bound)


_POWER_DESIGN = {
    ("t interval", 1): (18, 40, 51, 61, 81),
    ("exact test", 1): (0, 0, 36, 57, 80),
    ("t interval", 2): (48, 91, 97, 99, 100),
    ("exact test", 2): (0, 0, 87, 98, 100),
}


def power(case: tuple[int, int], draws: int) -> Iterator[Figure]:
    """True difference of 1 or 2 sd of normal differences."""
    effect, n = case
    rng = rng_of("power", effect, n)
    base = rng.normal(0.5, 0.02, (draws, n))
    results = [
        result for (result,) in results_of_pairs(base + rng.normal(effect * 0.02, 0.02, (draws, n)), base)
    ]
    by_test = {
        "t interval": percent([misses(result) for result in results]),
        "exact test": percent(list(map(significant, results))),
    }
    for test, value in by_test.items():
        design = f"{_POWER_DESIGN[test, effect][REPEATS.index(n)]}"
        yield Figure("power", f"{test}, {effect} sd", f"n = {n}", value, draws, design)
    decided = percent([result.verdict in DECIDED for result in results])
    yield Figure("power", f"`shown` or `suggested`, {effect} sd", f"n = {n}", decided, draws)


# Families --------------------------------------------------------------------------------------------

_FAMILY_REPEATS = (5, 7, 8, 10)
_FOUND_DESIGN = (79, 98, 98, 100)


def family_of_four(case: tuple[str, int], draws: int) -> Iterator[Figure]:
    """Four cells against one base, all from the same distribution; or the base 2 sd better (``better``)."""
    name, n = case
    better = name == "better"
    draw, _ = FAMILY_WORLDS["normal" if better else name]
    cells = draw(rng_of("family", name, n), 5, draws, n)
    if better:
        cells[0] += 2 * 0.02 * np.sqrt(2)  # in sd of a difference
    of_draws = against_base(cells, 4)
    column = f"n = {n}"
    if better:
        each = percent([result.verdict in DECIDED for results in of_draws for result in results])
        design = str(_FOUND_DESIGN[_FAMILY_REPEATS.index(n)])
        yield Figure("family", "base 2 sd better: found of the four", column, each, draws, design)
        return
    for verdicts, design in ((("shown",), ""), (DECIDED, "≤ 5.1")):
        any_wrong = percent([any(result.verdict in verdicts for result in results) for results in of_draws])
        row = f"{name}: {' or '.join(f'`{verdict}`' for verdict in verdicts)}"
        yield Figure("family", row, column, any_wrong, draws, design, FALSE_POSITIVES)


def looking_again(world: World, draws: int) -> Iterator[Figure]:
    """Stopping at the first of several numbers of repeats at which the verdict is ``shown``."""
    a, b = world.draw(rng_of("looks", world.name), draws, 10)
    for numbers, column in ((range(5, 11), "5, 6, … 10"), ((5, 10), "5, then 10")):
        ever = {"p as it is": np.zeros(draws, bool), "one error for all": np.zeros(draws, bool)}
        for place, n in enumerate(numbers):
            for row, earlier in (("p as it is", ()), ("one error for all", numbers[:place])):
                results = results_of_pairs(a[:, :n], b[:, :n], earlier_looks=earlier)
                ever[row] |= np.array([result.verdict == "shown" for (result,) in results])
        for row, design in (("p as it is", "9.9" if len(numbers) > 2 else "4.7"), ("one error for all", "")):
            most = FALSE_POSITIVES if row == "one error for all" else None
            yield Figure("looks", row, column, percent(ever[row]), draws, design, most)


def bold(case: tuple[str, int], draws: int) -> Iterator[Figure]:
    """Share of draws with the truly best cell (all equal: the first) among the bold, for 4 and 8 cells."""
    name, n = case
    for cells in (4, 8):
        rng = rng_of("bold", name, n, cells)
        kept: list[bool] = []
        for _ in range(draws):
            scores = rng.normal(0.8, 0.02, (cells, n))
            scores[0] += 0.02 if name == "one better by 1 sd" else 0.0
            best = best_cells(tidy_table({f"c{i}": row for i, row in enumerate(scores)}), metric="image_ap")
            assert best is not None
            kept.append(not best.cells or "c0" in best.cells)
        yield Figure("bold", f"{cells} cells, {name}", f"n = {n}", percent(kept), draws, "≥ 97.4")


# Contrasts and failures ------------------------------------------------------------------------------


def contrasts(case: tuple[str, int], draws: int) -> Iterator[Figure]:
    """Main effect and interaction of a 2 × 2 × 2 without any effect."""
    name, n = case
    rng = rng_of("contrast", name, n)
    design = _two_by_two_by_two()
    cells = {cell: rng.normal(0.8, 0.02, (draws, n)) for cell in design["cell"]}
    if name == "one noisy cell":
        cells["111"] = rng.normal(0.8, 0.08, (draws, n))
    if name == "effect varies between repeats":
        of_repeat = rng.normal(0, 0.04, (draws, n))
        cells = {cell: scores + of_repeat * (cell[:2] == "11") for cell, scores in cells.items()}
    table = tidy_table({f"{cell}-{i}": row for cell, scores in cells.items() for i, row in enumerate(scores)})
    for kind, contrast in (
        ("main effect", main_effects(design)[0]),
        ("interaction", interactions(design)[0]),
    ):
        families = {str(i): [_of_draw(contrast, i)] for i in range(draws)}
        results = compare_families(table, families, metric="image_ap").values()
        wrong = percent([misses(result) for (result,) in results])
        most = FALSE_POSITIVES if n >= 5 else None
        yield Figure("contrast", f"{kind}, {name}", f"n = {n}", wrong, draws, "4.7–5.2", most)


def _two_by_two_by_two() -> pd.DataFrame:
    levels = [f"{cell:03b}" for cell in range(8)]
    factors = {f"factor:{name}": [cell[place] for cell in levels] for place, name in enumerate("pqr")}
    return pd.DataFrame({"cell": levels, **factors})


def _of_draw(contrast: Contrast, draw: int) -> Contrast:
    return replace(contrast, weights={f"{cell}-{draw}": weight for cell, weight in contrast.weights.items()})


_FAILED_DESIGN = {"at random": (4.4, 4.9, 1.8), "low scores, both cells": (4.3, 4.6, 1.6)}


def failures(name: str, draws: int) -> Iterator[Figure]:
    """Tests with diverged trials left out, set to the worst value, and as assay has it: both must agree."""
    rng = rng_of("failed", name)
    scores = rng.normal(0.8, 0.02, (2, draws, 10))
    low = scores < 0.8 + 0.02 * -1.2816
    lost = {
        "at random": rng.random(scores.shape) < 0.1,
        "low scores, both cells": low,
        "low scores, b alone": low & (np.arange(2) == 1)[:, None, None],
    }[name]
    a, b = scores

    def compared(status: str) -> list[ComparisonResult]:
        marked = np.where(lost, status, "finished")
        return [result for (result,) in results_of_pairs(a, b, status={"a": marked[0], "b": marked[1]})]

    complete, both = compared("missing"), compared("diverged")
    worst = [result for (result,) in results_of_pairs(*np.where(lost, 0.0, scores))]
    for place, (column, results) in enumerate(
        {"left out": complete, "worst value": worst, "both (assay)": both}.items()
    ):
        design = f"{_FAILED_DESIGN[name][place]}" if name in _FAILED_DESIGN else ""
        most = FALSE_POSITIVES if name in _FAILED_DESIGN else None
        yield Figure("failed", name, column, percent(list(map(significant, results))), draws, design, most)
    if name not in _FAILED_DESIGN:
        bias = float(np.mean([np.mean(result.differences) for result in complete])) / 0.02
        row = f"{name}: mean of a − b left out, in sd of a score"
        yield Figure("failed", row, "left out", bias, draws, "−0.20", decimals=2)


ON_REPEATS: tuple[Simulation, ...] = (
    *(Simulation(bold, (name, n), 300) for name in ("all equal", "one better by 1 sd") for n in (5, 7, 10)),
    Simulation(looking_again, NO_EFFECT[0], 2_000),
    *(
        Simulation(family_of_four, (name, n), 1_500)
        for name in ("normal", "hetero", "skewed", "ties", "better")
        for n in _FAMILY_REPEATS
    ),
    *(
        Simulation(contrasts, (name, n), 3_000)
        for name in ("equal noise", "one noisy cell", "effect varies between repeats")
        for n in (3, 5, 10)
    ),
    *(Simulation(failures, name, 3_000) for name in (*_FAILED_DESIGN, "low scores, b alone")),
    *(Simulation(power, (effect, n), 3_000) for effect in (1, 2) for n in REPEATS),
    *(Simulation(one_comparison, (name, n), 6_000) for name in WORLDS for n in REPEATS),
)
