"""Simulated parts that may go: how often `dispensable` is wrong, and how often it is found.

A part that must stay loses exactly `resolve` when it is dropped: the hardest case, in which `dispensable` is
most often wrong. `resolve` is half of the standard deviation of a difference there, so that `shown`, which
comes before it, seldom hides an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from assay.statistics.contrasts import comparison
from assay.statistics.families import ComparisonResult, Rules, compare_families
from assay.statistics.interim_looks import decide
from benchmarks.calibration.figures import DECIDED, FALSE_POSITIVES, Figure, Simulation, percent, rng_of
from benchmarks.calibration.simulated_families import FAMILY_WORLDS, Cells
from benchmarks.calibration.worlds import DEFECTS, tidy_table

__all__ = ["AT_THE_MARGIN", "ON_PARTS"]

# Worlds in which each cell is drawn alike on average, and one in which rare failures of one cell mislead.
AT_THE_MARGIN = ("normal", "skewed", "heavy", "hetero", "ties", "collapse", "one cell × 4", "one cell × 10")
_ONE_SIDED = "AP near .87, one cell's seeds louder"
_MARGIN = 0.5  # sd of a difference
_LOOKS = (6, 8, 10, 13, 16, 20)
_SIGNS = 16  # seeds of sign vectors


def asked(cells: Cells, m: int, resolve: float, questions: int) -> list[tuple[ComparisonResult, ...]]:
    """Results of m parts against the cell without any, draw by draw; the first ``questions`` ask `can go`."""
    draws = cells.shape[1]
    families = {
        str(i): [
            comparison(f"c{part}", f"c0-{i}", f"c{part}-{i}", ask="can go" if part <= questions else "pays")
            for part in range(1, m + 1)
        ]
        for i in range(draws)
    }
    table = tidy_table({f"c{cell}-{i}": cells[cell, i] for cell, i in np.ndindex(m + 1, draws)})
    rules = Rules(resolution=1 / DEFECTS, resolve=resolve)
    return list(compare_families(table, families, metric="image_ap", rules=rules).values())


def at_the_margin(case: tuple[str, int, int], draws: int) -> Iterator[Figure]:
    """Any part called dispensable of m that each lose exactly `resolve`."""
    name, m, n = case
    cells = FAMILY_WORLDS[name][0](rng_of("can go", *case), m + 1, draws, n)
    resolve = _MARGIN * float(np.std(cells[1] - cells[0]))
    cells[1:] += resolve
    of_draws = asked(cells, m, resolve, m)
    wrong = percent([any(result.verdict == "dispensable" for result in results) for results in of_draws])
    most = FALSE_POSITIVES if name in AT_THE_MARGIN else None
    yield Figure("can_go", f"{m}, {name}", f"n = {n}", wrong, draws, "", most)


def both_errors(case: tuple[str, int], draws: int) -> Iterator[Figure]:
    """Four comparisons: two parts lose `resolve` and are asked about, two differ in nothing."""
    name, n = case
    cells = FAMILY_WORLDS[name][0](rng_of("can go, mixed", *case), 5, draws, n)
    resolve = _MARGIN * float(np.std(cells[1] - cells[0]))
    cells[1:3] += resolve
    wrong = percent(
        [
            any(result.verdict == "dispensable" for result in results[:2])
            or any(result.verdict in DECIDED for result in results[2:])
            for results in asked(cells, 4, resolve, 2)
        ]
    )
    row = f"4, {name}: two lose `resolve`, two nothing: any verdict wrong"
    yield Figure("can_go", row, f"n = {n}", wrong, draws, "", FALSE_POSITIVES)


def power(case: tuple[int, float, int], draws: int) -> Iterator[Figure]:
    """Dropping a part costs nothing, or gains half of `resolve`: `dispensable` beside `negligible`."""
    m, ratio, n = case
    for gain in (0.0, 0.5):
        cells = rng_of("can go, power", *case, gain).normal(0, np.sqrt(0.5), (m + 1, draws, n))
        cells[0] += gain * ratio
        truth = "gains half of it" if gain else "costs nothing"
        for verdict, questions in (("dispensable", m), ("negligible", 0)):
            results = [result for results in asked(cells, m, ratio, questions) for result in results]
            found = percent([result.verdict == verdict for result in results])
            row = f"{m}, `resolve` = {ratio:g} sd, dropping {truth}: `{verdict}`"
            yield Figure("can_go_power", row, f"n = {n}", found, draws)


def planned_looks(name: str, draws: int) -> Iterator[Figure]:
    """A study that decides: six parts at the margin, and six that cost nothing with a `resolve` of 1 sd."""
    cells = FAMILY_WORLDS[name][0](rng_of("can go, decide", name), 7, draws, _LOOKS[-1])
    differences = np.moveaxis(cells[1:] - cells[0], 0, -1)  # draws × n × parts
    sd = float(np.std(differences[..., 0]))

    def taken(d: np.ndarray, resolve: float, ask: int) -> list[list[tuple[str, int]]]:
        every = [
            decide(each, _LOOKS, seed=i % _SIGNS, resolve=resolve, can_go=[ask] * 6)
            for i, each in enumerate(d)
        ]
        return [[(decision.verdict, decision.repeats) for decision in one.decisions] for one in every]

    wrong = [
        any(v == "dispensable" for v, _ in d) for d in taken(differences + _MARGIN * sd, _MARGIN * sd, 1)
    ]
    most = FALSE_POSITIVES if name in AT_THE_MARGIN else None
    yield Figure(
        "can_go_decide", name, "six lose `resolve`: any `dispensable`", percent(wrong), draws, "", most
    )
    for verdict, ask in (("dispensable", 1), ("negligible", 0)):
        studies = taken(differences, sd, ask)
        found = percent([v == verdict for study in studies for v, _ in study])
        repeats = np.array([[n for _, n in study] for study in studies])
        trainings = float(np.mean(repeats.sum(axis=1) + repeats.max(axis=1)))
        yield Figure("can_go_decide", name, f"six cost nothing: `{verdict}`", found, draws)
        yield Figure(
            "can_go_decide", name, f"trainings of 140 until `{verdict}`", trainings, draws, decimals=0
        )


ON_PARTS: tuple[Simulation, ...] = (
    *(
        Simulation(at_the_margin, (name, m, n), 500)
        for m in (1, 2, 4)
        for name in (*AT_THE_MARGIN, _ONE_SIDED)
        for n in (5, 8, 12)
    ),
    *(Simulation(both_errors, (name, n), 500) for name in AT_THE_MARGIN for n in (5, 8, 12)),
    *(Simulation(power, case, 300) for case in product((1, 4), (1.0, 2.0), (3, 5, 6, 10))),
    *(Simulation(planned_looks, name, 400) for name in (*AT_THE_MARGIN, _ONE_SIDED)),
)
