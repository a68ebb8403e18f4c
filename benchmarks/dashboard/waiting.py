"""Seconds that a reader waits with 10,000 trials, in one browser: assay, optuna-dashboard and the MLflow UI.

``python -m benchmarks.dashboard.waiting [--rounds 3] [--optuna-dashboard PROGRAM] [--storage FOLDER]
[--small]``

The same trials (1,000 cells × 10 seeds, with probe images at their full 320 pixels) are written for each of
the three, and a search of 10,000 points for assay. In every round each program is started anew and visited by
two readers with empty browser caches, one after the other: **cold** is what the first one waits, when the
server knows nothing yet (that files may be in the machine's memory is the same for all), **warm** what the
second one does. Printed are median, best and worst of the rounds, the CPU of server and browser together (on
a machine with other work the clock says more about that work) and the most memory that the server held.

Exit code 1 if a median, cold or warm, or the memory of any round is above its limit.

optuna-dashboard is none of assay's requirements: ``python -m venv /tmp/other && /tmp/other/bin/pip install
optuna-dashboard``, then ``--optuna-dashboard /tmp/other/bin/optuna-dashboard``; without it its rows are
left out.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
from playwright.sync_api import Browser, expect, sync_playwright

from assay.analysis.names import plan_names
from assay.storage import Store
from assay.study import Plan
from assay.study.planning.plan_table import plan_of_table
from benchmarks.dashboard.other_trackers import TrackedTrial, write_mlflow, write_optuna
from benchmarks.dashboard.screenshots import CHROMIUM
from benchmarks.dashboard.steps import (
    MLFLOW,
    OPTUNA,
    PATIENCE,
    SEARCH,
    STUDY,
    Step,
    search_steps,
    study_steps,
)
from benchmarks.shared import Seconds, parser_of, spread_text
from tests.dashboard.made_records import large_study_text, make_large_study, make_scene
from tests.dashboard.made_searches import make_large_search
from tests.e2e.dashboard.serving import Served, serve
from tests.helpers.ports import free_port

MEMORY_LIMIT = 1.0  # GB of the server
READERS = ("cold", "warm")
_PICTURES = (214, 320)  # pixels: as large as pictures are kept


class Site(NamedTuple):
    """A program, and what is done on its pages."""

    name: str
    start: Callable[[], AbstractContextManager[Served]]
    steps: tuple[Step, ...]
    memory: float | None = None  # GB that its server may hold


class Taken(NamedTuple):
    """Measurements, a value for each round."""

    seconds: dict[tuple[str, str, str], list[Seconds]]  # by site, step and reader; CPU of server and browser
    memory: dict[str, list[float]]  # by site: GB at most


# The same trials three times ------------------------------------------------------------------------------


def tracked(plan: Plan, store: Store) -> list[TrackedTrial]:
    """Trials as the other programs keep them; one without a result has 0."""
    records = store.records(trial.id for trial in plan.trials)
    results = {name: record.result for name, record in records.items()}
    return [
        TrackedTrial(
            name=f"{trial.cell} seed {trial.seed}",
            parameters={name: float(trial.config[name]) for name in ("lr", "w_pos", "delta")},
            value=result.metrics["image_ap"] if (result := results.get(trial.id)) is not None else 0.0,
        )
        for trial in plan.trials
    ]


def write_sites(folder: Path, optuna_dashboard: str | None, *, small: bool) -> list[Site]:
    """Write what is not there yet; ``small``: 200 trials and points."""
    store, search = Store(folder / "assay"), Store(folder / "search")
    plan = large_study(store, small=small)
    if not search.exists(f"{search.study(SEARCH)}/plan.parquet"):
        make_large_search(search, SEARCH, 200 if small else 10_000)
    steps = study_steps(plan_names(plan).variant(plan.cells[0].name))
    sites = [
        Site("assay", partial(serve, store.uri), steps, MEMORY_LIMIT),
        Site("assay, a search", partial(serve, search.uri), search_steps(), MEMORY_LIMIT),
    ]
    trials = tracked(plan, store)
    if optuna_dashboard is not None:
        uri = _once(folder / "optuna.db", lambda path: write_optuna(path, STUDY, trials))
        command = [optuna_dashboard, uri, "--host", "127.0.0.1", "--port"]
        start = partial(_program, command, folder / "optuna-dashboard.log")
        sites.append(Site("optuna-dashboard", start, OPTUNA))
    uri = _once(folder / "mlflow.db", lambda path: write_mlflow(path, STUDY, trials))
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--workers", "1"]
    start = partial(_program, [*command, "--host", "127.0.0.1", "--port"], folder / "mlflow.log")
    return [*sites, Site("MLflow UI", start, MLFLOW)]


def large_study(store: Store, *, small: bool) -> Plan:
    """The study in its storage; written where it is not there yet."""
    path = f"{store.study(STUDY)}/plan.parquet"
    if store.exists(path):
        return plan_of_table(store.read_table(path))
    text = large_study_text(STUDY, factors=2, seeds=2) if small else large_study_text(STUDY)
    return make_large_study(store, text, scene=make_scene(16, _PICTURES))


def _once(path: Path, write: Callable[[Path], str]) -> str:
    """URI of a database that is written where it is not there yet."""
    return f"sqlite:///{path}" if path.exists() else write(path)


@contextmanager
def _program(command: Sequence[str], log: Path) -> Generator[Served]:
    """A server on a free port, which its command ends with, from its first answer on."""
    port = free_port()
    with log.open("wb") as output:
        child = subprocess.Popen(
            [*command, str(port)],
            stdout=output,
            stderr=output,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert child.poll() is None, f"{command[0]} ended, see {log}"
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        yield Served(url, psutil.Process(child.pid))
    finally:
        for process in psutil.Process(child.pid).children(recursive=True):
            process.terminate()
        child.terminate()
        child.wait(30)


# Measuring ------------------------------------------------------------------------------------------------


def measure(sites: Sequence[Site], rounds: int) -> Taken:
    """Every step of every site, for a cold and a warm reader in each round."""
    taken = Taken({}, {})
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        for number in range(rounds):
            for site in sites:
                _tell(f"round {number + 1} of {rounds}: {site.name}")
                _visit_twice(browser, site, taken)
        browser.close()
    return taken


def _visit_twice(browser: Browser, site: Site, taken: Taken) -> None:
    """A server from its start on: a cold reader, a warm one, and what it held at most."""
    with site.start() as served:
        for reader in READERS:
            for step, seconds in _walk(browser, site, served):
                taken.seconds.setdefault((site.name, step.name, reader), []).append(seconds)
                _tell(f"{reader}: {step.name}, {seconds.wall:.2f} s")
        taken.memory.setdefault(site.name, []).append(most_memory(served.process))


def _walk(browser: Browser, site: Site, served: Served) -> Iterator[tuple[Step, Seconds]]:
    """One reader with an empty cache."""
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    page.set_default_timeout(PATIENCE)
    for step in site.steps:
        before = _cpu(served.process)
        wall = step.act(page, served.url)
        yield step, Seconds(wall, (_cpu(served.process) - before) / step.times)
    page.close()


def _cpu(server: psutil.Process) -> float:
    """Seconds of CPU so far, of a server and of the browser."""
    servers = {server.pid, *(child.pid for child in server.children(recursive=True))}
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            if process.pid in servers or "chrom" in process.name():
                spent = process.cpu_times()
                total += spent.user + spent.system
        except psutil.NoSuchProcess:
            continue
    return total


def most_memory(server: psutil.Process) -> float:
    """GB that a server's processes held at most, each by the mark that Linux keeps of it."""
    marks = [
        re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        for process in (server, *server.children(recursive=True))
    ]
    return sum(int(mark[1]) for mark in marks if mark is not None) * 1024 / 1e9


def report(sites: Sequence[Site], taken: Taken) -> tuple[str, list[str]]:
    """A table, and the limits that do not hold."""
    lines = [
        "| | step | cold s | warm s | CPU s, cold | CPU s, warm | at most |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    broken: list[str] = []
    for site in sites:
        for step in site.steps:
            of_readers = [taken.seconds[site.name, step.name, reader] for reader in READERS]
            walls = [[seconds.wall for seconds in rounds] for rounds in of_readers]
            cpus = [f"{statistics.median(seconds.cpu for seconds in rounds):.2f}" for rounds in of_readers]
            cells = [site.name, step.name, *map(spread_text, walls), *cpus, _limit(step.limit)]
            lines.append(f"| {' | '.join(cells)} |")
            broken += [
                f"{site.name}: {step.name} took {statistics.median(seconds):.2f} s {reader}, "
                f"at most {step.limit:g} s may be."
                for reader, seconds in zip(READERS, walls, strict=True)
                if step.limit is not None and statistics.median(seconds) > step.limit
            ]
        held = max(taken.memory[site.name])
        cells = [site.name, "server's memory at most, GB", f"{held:.2f}", "", "", "", _limit(site.memory)]
        lines.append(f"| {' | '.join(cells)} |")
        if site.memory is not None and held > site.memory:
            broken.append(f"{site.name}: the server held {held:.2f} GB, at most {site.memory:g} may be.")
    return "\n".join([*lines, ""]), broken


def _limit(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _tell(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def main() -> int:
    """Write, serve, visit, print."""
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--optuna-dashboard", default=shutil.which("optuna-dashboard"), help="the program")
    parser.add_argument(
        "--storage", type=Path, help="folder that keeps the trials (default: a temporary one)"
    )
    parser.add_argument("--small", action="store_true", help="200 trials: a smoke test, its times say little")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-dashboard-") as temporary:
        folder: Path = arguments.storage or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        _tell("writing the trials")
        sites = write_sites(folder, arguments.optuna_dashboard, small=arguments.small)
        table, broken = report(sites, measure(sites, arguments.rounds))
    sys.stdout.write(table)
    sys.stderr.write("".join(f"error: {line}\n" for line in broken))
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
