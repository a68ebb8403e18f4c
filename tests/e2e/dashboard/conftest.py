"""The dashboard as a reader has it: real studies, the server that `assay dashboard` starts, a real browser.

A picture of each page on which a test failed lies below pytest's folder; of every page in
``$ASSAY_SCREENSHOTS``, where that is set.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from assay.storage import Store
from assay.storage.plans import write_plan
from assay.study import Trial
from tests.e2e.small_study import SmallStudy
from tests.engine.search.search_study import ToySearch
from tests.engine.staged_study import STAGED, StagedStudy
from tests.engine.toy_study import TOY
from tests.helpers.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, ViewportSize

CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = (
    "<script>alert(1)</script> ![x](http://example.org/x.png) ../../etc/passwd  日本語 **bold** $x$ :red[no]"
)
LABELS = "labels: {weak: {supervision: weak}, full: {supervision: full}}"
MAIN = "document.querySelector('[data-testid=stMain]')"  # what scrolls
# Streamlit asks for both below the page's own path first, where they are not.
_EXPECTED = ("/_stcore/health", "/_stcore/host-config")
VIEWPORT: ViewportSize = {"width": 1500, "height": 1000}
PATIENCE = 120_000  # milliseconds: a machine that trains meanwhile is slow


class Results(NamedTuple):
    """One storage: `staged` and `staged_longer` have the same cells, `growing` lacks a trial."""

    store: Store
    small: SmallStudy
    search: ToySearch
    growing: StagedStudy
    missing: Trial


@pytest.fixture(scope="session")
def results(small_study: SmallStudy, tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> Results:
    """A study that Ray trained, and beside it small ones of the toys, trained in this process."""
    storage = tmp_path_factory.mktemp("dashboard") / "storage"
    shutil.copytree(small_study.storage, storage)
    store = Store(storage)
    for name, epochs in {"staged": 3, "staged_longer": 4}.items():
        study = StagedStudy.of(storage, cache_root, name=name, epochs=epochs)
        _plan(store, name, study)
        study.train(study.plan.trials)
    growing = StagedStudy.of(storage, cache_root, name="growing", epochs=5)
    _plan(store, "growing", growing)
    *first, missing = growing.plan.trials
    growing.train(first)
    hostile = StagedStudy.of(storage, cache_root, name="hostile", text=f"question: {HOSTILE!r}\n{STAGED}")
    _plan(store, "hostile", hostile)
    labels = StagedStudy.of(storage, cache_root, name="labels", text=TOY, factor=LABELS, pack="auto")
    _plan(store, "labels", labels)
    labels.train(labels.plan.trials)
    search = ToySearch(storage, cache_root)
    write_plan(store, search.plan)
    search.run()
    return Results(store, small_study, search, growing, missing)


def _plan(store: Store, name: str, study: StagedStudy) -> None:
    write_plan(store, study.plan)


@pytest.fixture(scope="session")
def dashboard(results: Results) -> Iterator[str]:
    """Its address, while `assay dashboard` runs."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "assay",
        "dashboard",
        "--storage",
        results.store.uri,
        "--port",
        str(port),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        said: list[str] = []
        for line in server.stdout:
            said.append(line)
            if "is up" in line:
                break
        assert said, server.stderr.read()
        assert said[-1] == f"the dashboard is up: open http://127.0.0.1:{port}\n"
        yield f"http://127.0.0.1:{port}"
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=60)
        assert errors == "", "the server was quiet to its end"


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """One for all tests: its cache keeps the pages' scripts compiled, a third of the work of opening one."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)

    if not CHROMIUM.exists():
        pytest.skip(f"needs {CHROMIUM}: `apt-get install --no-install-recommends chromium`")
    with sync_playwright() as program:
        browser = program.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("chromium"), executable_path=CHROMIUM, viewport=VIEWPORT
        )
        browser.set_default_timeout(PATIENCE)
        yield browser
        browser.close()


@contextmanager
def new_page(browser: BrowserContext) -> Generator[Page]:
    """A window that finds and leaves nothing of another's: neither what a page noted nor a lost network."""
    others = set(browser.pages)  # an empty one is among them: with the last the browser ends
    page = browser.new_page()
    try:
        yield page
        if page.url.startswith("http"):
            page.evaluate("() => { try { localStorage.clear() } catch (error) {} }")
    finally:
        browser.clear_cookies()
        browser.set_offline(False)
        for window in set(browser.pages) - others:
            window.close()


@dataclass
class Window:
    """A window that notes errors of the console, exceptions and requests to elsewhere."""

    page: Page
    trouble: list[str] = field(default_factory=list[str])
    shown: str = ""  # the address that was opened last

    def watch(self) -> None:
        """Begin to listen."""

        def heard(message: ConsoleMessage) -> None:
            if message.type == "error" and not message.location.get("url", "").endswith(_EXPECTED):
                self.trouble.append(f"{message.text} {message.location}")

        def asked(sent: Request) -> None:
            if not sent.url.startswith(("http://127.0.0.1:", "data:", "blob:", "file:")):
                self.trouble.append(f"asked {sent.url}")

        self.page.on("console", heard)
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("request", asked)

    def finish(self, request: pytest.FixtureRequest, folder: Path, failed: int) -> None:
        """Note what Streamlit shows of exceptions, and keep a picture where something went wrong."""
        self.trouble += self.page.locator("[data-testid=stException]").all_inner_texts()
        chosen = os.environ.get("ASSAY_SCREENSHOTS")
        if chosen or self.trouble or request.session.testsfailed > failed:
            folder = Path(chosen or folder / "screenshots")
            folder.mkdir(parents=True, exist_ok=True)
            name = re.sub("[^a-z0-9_]+", "-", request.node.name)[:100]
            self.page.screenshot(path=folder / f"{name}.png")


@pytest.fixture
def page(
    browser: BrowserContext, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """A window in which an error of the console, an exception or a request to elsewhere fails the test."""
    failed = request.session.testsfailed
    with new_page(browser) as page:
        window = Window(page)
        window.watch()
        yield page
        window.finish(request, tmp_path_factory.getbasetemp(), failed)
    assert not window.trouble


@pytest.fixture(scope="module")
def module_window(browser: BrowserContext) -> Iterator[Window]:
    with new_page(browser) as page:
        window = Window(page)
        window.watch()
        yield window


@pytest.fixture
def kept_window(
    module_window: Window, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Window]:
    """One window for all tests of a file that only look: the next finds the page as it was opened."""
    failed = request.session.testsfailed
    window, page = module_window, module_window.page
    yield window
    window.finish(request, tmp_path_factory.getbasetemp(), failed)
    trouble, window.trouble = window.trouble, []
    page.context.set_offline(False)
    page.emulate_media(media="null", color_scheme="light")
    page.set_viewport_size(VIEWPORT)
    if trouble or request.session.testsfailed > failed:
        window.shown = ""  # the next test opens its page anew
    assert not trouble


@dataclass
class Reader:
    """A browser window on the dashboard."""

    page: Page
    address: str

    def open(self, path: str) -> Page:
        """Go to a page of the dashboard, and wait until Streamlit has run it."""
        self.page.goto(f"{self.address}{path}")
        self.page.locator("[data-testid=stHeading]").first.wait_for()
        self.settled()
        return self.page

    def settled(self) -> None:
        """Wait until nothing runs any more."""
        self.page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()

    def sees(self, holds: Callable[[], bool]) -> None:
        """Look again until it holds: what a canvas or a layout shows comes after its page has run."""
        until = time.monotonic() + PATIENCE / 1000
        while not holds():
            assert time.monotonic() < until, self.page.locator("[data-testid=stMain]").inner_text()
            self.page.wait_for_timeout(100)


class Viewer(Reader):
    """A reader who only looks: a page that is open already is not loaded again."""

    def __init__(self, window: Window, address: str) -> None:
        super().__init__(window.page, address)
        self.window = window

    def open(self, path: str) -> Page:
        address = f"{self.address}{path}"
        if self.window.shown != address:
            super().open(path)
            self.window.shown = address
        return self.page


@pytest.fixture
def reader(page: Page, dashboard: str) -> Reader:
    return Reader(page, dashboard)
