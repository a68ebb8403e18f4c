"""Calibration: how often the verdicts are wrong where the truth is known. Writes ``docs/calibration.md``.

``python -m benchmarks.calibration.calibrate [--draws 1.0] [--processes 2] [--only GROUP …] [--no-write]``:
twenty minutes on two calm cores. With ``--only`` the other tables of the page stay as they are. Exit code 1,
with a sentence for each, if a rate that must hold does not: false positives of at most 5.5 % and coverage of
at least 93 % in every world without an effect but those that the page says do not hold, from five repeats on.
The random numbers are the same each time.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

from benchmarks.calibration.figures import FALSE_POSITIVES, SECTIONS, Figure, Simulation
from benchmarks.calibration.simulated_assumptions import ON_ASSUMPTIONS
from benchmarks.calibration.simulated_can_go import ON_PARTS
from benchmarks.calibration.simulated_data import ON_DATA
from benchmarks.calibration.simulated_data_sets import ON_DATA_SETS
from benchmarks.calibration.simulated_decisions import ON_DECISIONS
from benchmarks.calibration.simulated_families import ON_FAMILIES
from benchmarks.calibration.simulated_repeats import ON_REPEATS
from benchmarks.shared import END, ROOT, parser_of, write_block

PAGE = ROOT / "docs" / "calibration.md"
GROUPS = {
    "decisions": ON_DECISIONS,
    "families": ON_FAMILIES,
    "parts": ON_PARTS,
    "repeats": ON_REPEATS,
    "data": ON_DATA,
    "assumptions": ON_ASSUMPTIONS,
    "data_sets": ON_DATA_SETS,
}
BEGIN = "<!-- written by `make calibrate` -->\n"


def main() -> int:
    """Run everything, write the page, and say what does not hold."""
    parser = parser_of(__doc__)
    parser.add_argument("--draws", type=float, default=1.0, help="times the usual draws (default 1)")
    parser.add_argument("--processes", type=int, default=2, help="processes (default 2)")
    parser.add_argument(
        "--only", nargs="+", choices=GROUPS, default=list(GROUPS), help="groups (default all)"
    )
    parser.add_argument("--no-write", action="store_true", help=f"print only, leave {PAGE.name} alone")
    arguments = parser.parse_args()
    start = time.monotonic()
    simulations = [simulation for group in arguments.only for simulation in GROUPS[group]]
    figures = simulate(simulations, arguments.draws, arguments.processes)
    seconds = time.monotonic() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    drawn = {figure.section for figure in figures}
    tables = {
        name: section(name, [f for f in figures if f.section == name]) for name in SECTIONS if name in drawn
    }
    how = _how(seconds, used.ru_utime + used.ru_stime, figures, arguments.only)
    sys.stdout.write("\n\n".join([*tables.values(), how]) + "\n")
    if not arguments.no_write:
        write_block(PAGE, BEGIN, "\n\n".join([*{**tables_of(PAGE), **tables}.values(), how]) + "\n")
    broken = [figure for figure in figures if figure.broken]
    for figure in broken:
        sys.stderr.write(f"error: {broken_text(figure)}\n")
    return 1 if broken else 0


def simulate(simulations: Sequence[Simulation], draws: float, processes: int) -> list[Figure]:
    """All figures, in the order of the simulations."""
    os.environ["OMP_NUM_THREADS"] = "1"  # the processes share the cores
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        runs = [pool.submit(simulation.figures, draws) for simulation in simulations]
        return list(chain.from_iterable(run.result() for run in runs))


def section(name: str, figures: Sequence[Figure]) -> str:
    """A section as Markdown: each cell holds assay's figure, and that of the design beside it."""
    rows = list(dict.fromkeys(figure.row for figure in figures))
    columns = list(dict.fromkeys(figure.column for figure in figures))
    at = {(figure.row, figure.column): _cell(figure) for figure in figures}
    lines = [
        f"| | {' | '.join(columns)} | draws |",
        f"|---|{'---:|' * (len(columns) + 1)}",
    ]
    for row in rows:
        draws = sorted({figure.draws for figure in figures if figure.row == row})
        shown = f"{draws[0]:,}" if len(draws) == 1 else f"{draws[0]:,}–{draws[-1]:,}"
        lines.append(f"| {row} | {' | '.join(at.get((row, c), '') for c in columns)} | {shown} |")
    return "\n".join([f"### {SECTIONS[name]}", "", *lines])


def _cell(figure: Figure) -> str:
    text = f"{figure.value:.{figure.decimals}f}".replace("-", "−")
    text = f"**{text}**" if figure.broken else text
    return f"{text} / {figure.design}" if figure.design else text


def broken_text(figure: Figure) -> str:
    """Name in a sentence what does not hold."""
    return (
        f"{SECTIONS[figure.section]}: {figure.row}, {figure.column}: {figure.value:.1f} % of "
        f"{figure.draws:,} draws, "
        f"at most {figure.most:g} % (+ 2 standard errors of {figure.error:.2f}) may be."
    )


def tables_of(page: Path) -> dict[str, str]:
    """The tables that a page has, by section, in the order of :data:`SECTIONS`; a table that is new is empty.

    What no section is called any more is left out.
    """
    block = page.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    parts = (part.rpartition("|")[0] + "|" for part in block.split("### ")[1:])
    by_title = {part.partition("\n")[0]: f"### {part}" for part in parts}
    return {name: by_title.get(title, f"### {title}\n\nNot drawn yet.") for name, title in SECTIONS.items()}


def _how(seconds: float, cpu_seconds: float, figures: Sequence[Figure], groups: Sequence[str]) -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "pandas"))
    bounded = [figure for figure in figures if figure.most is not None]
    held = sum(not figure.broken for figure in bounded)
    highest = max((figure.value for figure in bounded), default=0.0)
    draws = sorted({figure.draws for figure in figures})
    ends = sorted({draws[0], draws[-1]})
    errors = ", ".join(f"{_error(each):.1f} points at {each:,} draws" for each in ends)
    return (
        f"`make calibrate` ({', '.join(groups)}): {seconds:.0f} s on {os.cpu_count()} cores, "
        f"{cpu_seconds:.0f} s of CPU, with {libraries}. A rate of 5 % has a standard error of {errors}. "
        f"{held} of the {len(bounded)} rates that have a limit ({FALSE_POSITIVES:g} %, and two "
        f"standard errors of the draws) keep it. The highest is {highest:.1f} %."
    )


def _error(draws: int) -> float:
    return 100 * (0.05 * 0.95 / draws) ** 0.5


if __name__ == "__main__":
    raise SystemExit(main())
