"""Seconds that a reader waits with 10,000 trials, in one browser: assay, optuna-dashboard and the MLflow UI.

``python -m benchmarks.dashboard [--rounds 5] [--optuna-dashboard PROGRAM] [--storage FOLDER]``

The same trials (1,000 cells × 10 seeds, with probe images) are written for each of the three. All servers run
on this machine; every round visits all of them, each with an empty browser cache. Printed are the best and
the median of the rounds on the clock, and the seconds of CPU that server and browser took together: on a
machine with other work the clock says more about that work. Exit code 1 if a limit does not hold in the best
round.

optuna-dashboard is none of assay's requirements: ``python -m venv /tmp/other && /tmp/other/bin/pip install
optuna-dashboard``, then ``--optuna-dashboard /tmp/other/bin/optuna-dashboard``; without it its rows are
left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from playwright.sync_api import Browser, Page, expect, sync_playwright

from assay.results import Store
from assay.study import Plan
from benchmarks.other_trackers import TrackedTrial, write_mlflow, write_optuna
from tests.dashboard.made_records import large_study_text, make_large_study, make_scene
from tests.e2e.dashboard.serving import serve

STUDY = "large"
CHROMIUM = "/usr/bin/chromium"
MEMORY_LIMIT = 1.0  # GB of the server
PATIENCE = 300_000  # ms: what is slow is measured, not cut off
SLIDER_MOVES = 15

# From the slider's event to the frame that shows the new masks: the grid draws in the next animation frame,
# and the one after that begins when it was painted.
_SLIDER_TO_PAINT = """
(slider, level) => new Promise((done) => {
  const began = performance.now();
  slider.value = level;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  requestAnimationFrame(() => requestAnimationFrame(() => done((performance.now() - began) / 1000)));
})
"""


class Step(NamedTuple):
    """What a reader does, and what is waited for."""

    name: str
    limit: float | None  # seconds
    act: Callable[[Page, str], float | None]  # seconds it measured itself; None: all of it counts


class Site(NamedTuple):
    """A server with its pages."""

    name: str
    url: str
    server: psutil.Process
    steps: tuple[Step, ...]


class Seconds(NamedTuple):
    """Of one step: on the clock, and of CPU of server and browser."""

    wall: float
    cpu: float


# Steps ----------------------------------------------------------------------------------------------------


def _visit(path: str, shown: str) -> Callable[[Page, str], None]:
    """Open a page, until ``shown`` (a selector) is visible."""

    def act(page: Page, url: str) -> None:
        page.goto(f"{url}{path}", timeout=PATIENCE)
        page.locator(shown).first.wait_for(timeout=PATIENCE)

    return act


def _choose(label: str, option: str) -> Callable[[Page, str], float]:
    """Choose an option of a select; what opening its list takes is not counted."""

    def act(page: Page, url: str) -> float:
        before = page.locator(".grid").get_attribute("data-ready")
        page.get_by_label(label).first.click(timeout=PATIENCE)
        chosen = page.get_by_role("option", name=option)
        chosen.wait_for(timeout=PATIENCE)
        began = time.perf_counter()
        chosen.click(timeout=PATIENCE)
        expect(page.locator(".grid")).not_to_have_attribute("data-ready", before or "", timeout=PATIENCE)
        return time.perf_counter() - began

    return act


def _move_slider(page: Page, url: str) -> float:
    """Median over moves of the threshold with all six cells of the visible rows."""
    slider = page.locator("input.threshold")
    taken = [float(slider.evaluate(_SLIDER_TO_PAINT, 90 + 5 * k)) for k in range(SLIDER_MOVES)]
    return statistics.median(taken)


ASSAY = (
    Step("first page", 2.0, _visit("/", f"text={STUDY}")),
    Step("table of 1,000 cells", None, _visit(f"/table?study={STUDY}", "[data-testid=stDataFrame] canvas")),
    Step("masks of six cells", 2.0, _visit(f"/masks?study={STUDY}", ".grid[data-ready]")),
    Step("filter of the masks", 0.5, _choose("Show", "defective")),
    Step("slider to paint", 0.1, _move_slider),
)
OPTUNA = (
    Step("first page", None, _visit("/dashboard/", f"text={STUDY}")),
    Step("table of 10,000 trials", None, _visit("/dashboard/studies/1/trialTable", "table tbody tr")),
)
MLFLOW = (
    Step("first page", None, _visit("/#/experiments", f"text={STUDY}")),
    Step(
        "table of the first 100 runs",
        None,
        _visit("/#/experiments/1/runs", ".ag-center-cols-container .ag-row"),
    ),
)


# The same trials three times ------------------------------------------------------------------------------


def tracked(plan: Plan, store: Store) -> list[TrackedTrial]:
    """What the other programs keep of the trials; one without a result has 0."""
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


@contextmanager
def _program(command: Sequence[str], port: int, log: Path) -> Iterator[psutil.Process]:
    """A server as a child, from its first answer on."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
        )
    try:
        while True:
            assert child.poll() is None, f"{command[0]} ended, see {log}"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        yield psutil.Process(child.pid)
    finally:
        for process in psutil.Process(child.pid).children(recursive=True):
            process.terminate()
        child.terminate()
        child.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def open_sites(stack: ExitStack, folder: Path, optuna_dashboard: str | None) -> list[Site]:
    """Write what is not there yet, and start the servers."""
    store = Store(folder / "assay")
    plan = _plan(store)
    trials = tracked(plan, store)
    served = stack.enter_context(serve(store.uri))
    sites = [Site("assay", served.url, served.process, ASSAY)]
    if optuna_dashboard is not None:
        path, port = folder / "optuna.db", _free_port()
        uri = f"sqlite:///{path}" if path.exists() else write_optuna(path, STUDY, trials)
        command = [optuna_dashboard, uri, "--host", "127.0.0.1", "--port", str(port)]
        process = stack.enter_context(_program(command, port, folder / "optuna-dashboard.log"))
        sites.append(Site("optuna-dashboard", f"http://127.0.0.1:{port}", process, OPTUNA))
    path, port = folder / "mlflow.db", _free_port()
    uri = f"sqlite:///{path}" if path.exists() else write_mlflow(path, STUDY, trials)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    process = stack.enter_context(_program(command, port, folder / "mlflow.log"))
    return [*sites, Site("MLflow UI", f"http://127.0.0.1:{port}", process, MLFLOW)]


def _plan(store: Store) -> Plan:
    path = f"{store.study(STUDY)}/plan.parquet"
    if store.exists(path):
        return Plan.from_table(store.read_table(path))
    return make_large_study(store, large_study_text(STUDY), scene=make_scene(16))


# Measuring ------------------------------------------------------------------------------------------------


def measure(sites: Sequence[Site], rounds: int) -> dict[tuple[str, str], list[Seconds]]:
    """Seconds of every step of every site, a value for each round."""
    taken: dict[tuple[str, str], list[Seconds]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        for number in range(rounds):
            for site in sites:
                for step, seconds in _walk(browser, site):
                    taken.setdefault((site.name, step.name), []).append(seconds)
                sys.stderr.write(f"round {number + 1} of {rounds}: {site.name}\n")
        browser.close()
    return taken


def _walk(browser: Browser, site: Site) -> Iterator[tuple[Step, Seconds]]:
    """One reader with an empty cache."""
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    for step in site.steps:
        cpu, began = _cpu(site), time.perf_counter()
        own = step.act(page, site.url)
        wall = time.perf_counter() - began if own is None else own
        cpu = _cpu(site) - cpu
        # Several moves are one step: CPU is then that of one of them.
        yield step, Seconds(wall, cpu / SLIDER_MOVES if step.act is _move_slider else cpu)
    page.close()


def _cpu(site: Site) -> float:
    """Seconds of CPU so far, of the site's server and of the browser."""
    servers = {site.server.pid, *(child.pid for child in site.server.children(recursive=True))}
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            if process.pid in servers or "chrom" in process.name():
                spent = process.cpu_times()
                total += spent.user + spent.system
        except psutil.NoSuchProcess:
            continue
    return total


def memory(site: Site) -> float:
    """GB that the server's processes hold."""
    processes = [site.server, *site.server.children(recursive=True)]
    return sum(process.memory_info().rss for process in processes) / 1e9


def report(sites: Sequence[Site], taken: dict[tuple[str, str], list[Seconds]]) -> tuple[str, list[str]]:
    """A table, and the limits that do not hold."""
    lines = ["| | step | best s | median s | CPU s | at most |", "|---|---|---:|---:|---:|---:|"]
    broken: list[str] = []
    for site in sites:
        for step in site.steps:
            walls = [one.wall for one in taken[site.name, step.name]]
            cpu = statistics.median(one.cpu for one in taken[site.name, step.name])
            limit = "" if step.limit is None else f"{step.limit:g}"
            lines.append(
                f"| {site.name} | {step.name} | {min(walls):.2f} | {statistics.median(walls):.2f} "
                f"| {cpu:.2f} | {limit} |"
            )
            if step.limit is not None and min(walls) > step.limit:
                broken.append(f"{step.name} took {min(walls):.2f} s, at most {step.limit:g} s may be.")
        held = memory(site)
        limit = f"{MEMORY_LIMIT:g}" if site.steps is ASSAY else ""
        lines.append(f"| {site.name} | server's memory, GB | {held:.2f} | | | {limit} |")
        if site.steps is ASSAY and held > MEMORY_LIMIT:
            broken.append(f"the server holds {held:.2f} GB, at most {MEMORY_LIMIT:g} may be.")
    return "\n".join([*lines, ""]), broken


def main() -> int:
    """Write, serve, visit, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--optuna-dashboard", default=shutil.which("optuna-dashboard"), help="the program")
    parser.add_argument(
        "--storage", type=Path, help="folder that keeps the trials (default: a temporary one)"
    )
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = arguments.storage
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="assay-dashboard-")))
        folder.mkdir(parents=True, exist_ok=True)
        sites = open_sites(stack, folder, arguments.optuna_dashboard)
        table, broken = report(sites, measure(sites, arguments.rounds))
    sys.stdout.write(table)
    sys.stderr.write("".join(f"error: {line}\n" for line in broken))
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
