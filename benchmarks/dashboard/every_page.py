"""Every page of the dashboard at three sizes, light and dark, of studies that are hard to show.

    python -m benchmarks.dashboard.every_page [--study demo one forty running failing] [--folder FOLDER]

Studies: the demo; one variant; forty with long names; one that trains; one whose trials failed. The pictures
are to be looked at: names cut off, words over words, points beyond their axis. None is kept with the code.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from assay.demo.demo import unpack_demo
from assay.storage import Environment, Progress, Store
from assay.storage.plans import write_plan
from assay.study import Plan, parse_study, plan_study
from benchmarks.dashboard.screenshots import CHROMIUM, PATIENCE
from benchmarks.shared import parser_of
from tests.analysis.made_studies import lose
from tests.cli.small_study import run_elsewhere
from tests.cli.test_screen import FORTY
from tests.dashboard.made_records import ADDITIONS, finish_trial, make_scene
from tests.e2e.dashboard.serving import serve

PAGES = {
    "answer": "/?",
    "table": "/table?",
    "effects": "/table?table=Effects&",
    "images": "/images?",
    "misses": "/images?images=Misses+and+false+alarms&",
    "labels": "/labels?",
    "runs": "/runs?",
    "all": "/runs?runs=All+studies&",
}
WINDOWS = {"wide": (1500, 1000), "laptop": (1280, 720), "phone": (400, 900)}
SCENE = make_scene(9, (96, 144))
_ONE = """
study: one
question: How well does SegDecNet do with all masks?
trainable: segdec
data: {reader: synthetic, splits: published}
config: {preset: ksdd, image_size: [128, 64]}
repeats: {seeds: [0, 1, 2]}
metrics: {primary: pixel_iou, report: [image_ap, fp, fn]}
keep: {probes: 6}
"""


def make_one(folder: Path) -> None:
    """A study of one variant."""
    store, plan = _planned(folder, _ONE)
    for trial in plan.trials:
        finish_trial(store, plan, trial, SCENE, 0.6 + 0.05 * trial.seed, probes=6)


def make_forty(folder: Path) -> None:
    """Forty variants with long names."""
    metrics = "{primary: pixel_iou, report: [image_ap, fp, fn]}\nkeep: {probes: 6}\n"
    store, plan = _planned(folder, FORTY.partition("metrics: ")[0] + f"metrics: {metrics}")
    skills = {cell.name: 0.35 + 0.5 * ((7 * number) % 40) / 40 for number, cell in enumerate(plan.cells)}
    for trial in plan.trials:
        finish_trial(store, plan, trial, SCENE, skills[trial.cell] + 0.02 * trial.seed, probes=6)


def make_running(folder: Path) -> None:
    """A study that trains: a third of its trials has ended, two have given a sign of life."""
    store, plan = _planned(folder, _additions("running", epochs=11))
    ended = len(plan.trials) // 3
    for trial in plan.trials[:ended]:
        finish_trial(store, plan, trial, SCENE, 0.5 + 0.04 * trial.seed)
    run_elsewhere(store, "running", since=300.0)
    for trial, epoch in zip(plan.trials[ended:], (2, 7), strict=False):
        attempt = store.begin_attempt(trial.id, Environment())
        store.write_bytes(f"{attempt.prefix}/log.txt", b"12:00:00  epoch 1 of 11: loss 0.5\n" * 30)
        store.write_progress(Progress.now(trial.id, epoch, 11, {"loss": 0.5}, 30.0, attempt.name))


def make_failing(folder: Path) -> None:
    """A study of which half has failed or diverged."""
    store, plan = _planned(folder, _additions("failing", epochs=12))
    for number, trial in enumerate(plan.trials):
        if number % 2:
            finish_trial(store, plan, trial, SCENE, 0.5)
            continue
        reason = "RuntimeError: CUDA out of memory. Tried to allocate 2.50 GiB on a device with 24 GiB in all"
        status, why = ("failed", reason) if number % 4 else ("diverged", "NaN loss at epoch 3")
        store.write_record(lose(trial, status, why).model_copy(update={"study": "failing"}))


def _additions(name: str, epochs: int) -> str:
    return ADDITIONS.format(name=name, seeds="0, 1, 2", probes=6, epochs=epochs)


def _planned(folder: Path, text: str) -> tuple[Store, Plan]:
    plan = plan_study(parse_study(text, "made.yaml"), None, "cpu")
    store = Store(folder)
    write_plan(store, plan)
    return store, plan


STUDIES: dict[str, Callable[[Path], None]] = {
    "demo": unpack_demo,
    "one": make_one,
    "forty": make_forty,
    "running": make_running,
    "failing": make_failing,
}


def take(page: Page, address: str, target: Path) -> None:
    """Keep the picture of a page, which Streamlit has run to its end."""
    page.goto(address, timeout=PATIENCE)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=PATIENCE)
    page.wait_for_timeout(2500)  # charts and tables come in with a fade
    page.screenshot(path=target)


def main() -> None:
    """Make the studies, serve them, and take the pictures."""
    parser = parser_of(__doc__)
    parser.add_argument("--folder", type=Path, default=Path("pages"), help="where they go")
    parser.add_argument("--study", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--page", nargs="+", choices=PAGES, default=list(PAGES))
    parser.add_argument("--window", nargs="+", choices=WINDOWS, default=list(WINDOWS))
    parser.add_argument("--theme", nargs="+", choices=["light", "dark"], default=["light", "dark"])
    parser.add_argument("--storage", type=Path, help="where studies are kept from one call to the next")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="assay-pages-") as folder, sync_playwright() as program:
        storages: Path = options.storage or Path(folder)
        browser = program.chromium.launch(executable_path=CHROMIUM)
        for study in options.study:
            place = storages / study
            if not place.exists():
                STUDIES[study](place)
            with serve(str(place)) as served:
                for window, theme in itertools.product(options.window, options.theme):
                    width, height = WINDOWS[window]
                    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
                    for name in options.page:
                        target = options.folder / f"{study}_{name}_{window}_{theme}.png"
                        take(page, f"{served.url}{PAGES[name]}", target)
                        sys.stdout.write(f"{target}\n")
                    page.close()
        browser.close()


if __name__ == "__main__":
    main()
