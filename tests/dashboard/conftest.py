"""Pages of the dashboard without a browser, on a small storage that was written without training anything."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from assay.storage import Record, Store
from assay.storage.plans import write_plan
from assay.study import Plan, parse_study, plan_study
from tests.cli.small_study import STUDY, finished

PAGES = Path(__file__).parents[2] / "dashboard" / "assay_dashboard"
# Parts of pages: page, and the part's name on it.
PARTS = {
    "effects": ("table", "Effects"),
    "masks": ("images", "Masks"),
    "misses": ("images", "Misses and false alarms"),
    "search": ("runs", "Search"),
    "trial": ("runs", "Run"),
    "studies": ("runs", "All studies"),
    "compare": ("runs", "Two studies"),
}
Show = Callable[..., AppTest]
Open = Callable[..., AppTest]


def put(store: Store, plan: Plan, records: Mapping[str, Record]) -> None:
    """A study beside the others."""
    write_plan(store, plan)
    for record in records.values():
        store.write_record(record)


def texts_of(app: AppTest) -> str:
    """All HTML texts of the page, one after another."""
    return " ".join(str(element.proto.body) for element in app.get("html"))


@pytest.fixture(autouse=True)
def own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit makes a page `__main__` and leaves it there; a process spawned later would run that page."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(autouse=True)
def never_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study is read again at each look: nobody waits for the second of its freshness to pass."""
    monkeypatch.setattr("assay_dashboard.study_view._FRESH", 0.0)
    monkeypatch.setattr("assay_dashboard.study_view._REST", 0.0)


@pytest.fixture
def plan() -> Plan:
    return plan_study(parse_study(STUDY, "small.yaml"), None, "cpu")


@pytest.fixture
def store(tmp_path: Path, plan: Plan) -> Store:
    """A study of four trials: three finished, one not trained yet."""
    store = Store(tmp_path / "storage")
    write_plan(store, plan)
    for trial, image_ap in zip(plan.trials, (0.8, 0.95, 0.82), strict=False):
        finished(trial, store, image_ap=image_ap)
    return store


@pytest.fixture
def show(store: Store, monkeypatch: pytest.MonkeyPatch) -> Show:
    """Run a page or a part of one, with a study chosen and query parameters."""

    def run(page: str, study: str | None = "small", **parameters: str | list[str]) -> AppTest:
        monkeypatch.setattr("sys.argv", ["app.py", "--storage", store.uri])
        page, part = PARTS.get(page, (page, None))
        # The first page leads to the others, which only the whole program knows.
        file = PAGES / "app.py" if page == "answer" else PAGES / "views" / f"{page}.py"
        app = AppTest.from_file(str(file), default_timeout=60)
        if part is not None:
            app.session_state[page] = part
        if study is not None:
            app.session_state["study"] = study
        for name, value in parameters.items():
            app.query_params[name] = value
        return app.run()

    return run


@pytest.fixture
def open_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Go to a page of the whole program or a part of one, in one session."""
    monkeypatch.setattr("sys.argv", ["app.py", "--storage", store.uri])
    app = AppTest.from_file(str(PAGES / "app.py"), default_timeout=30).run()

    def open_page(page: str, study: str | None = "small") -> AppTest:
        page, part = PARTS.get(page, (page, None))
        app.session_state["study"] = study
        app.switch_page(f"views/{page}.py")
        if part is not None:
            app.session_state[page] = part
        app.run()
        assert not app.exception
        return app

    return open_page
