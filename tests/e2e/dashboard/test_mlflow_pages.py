"""`assay mlflow` as someone sees it who has never seen assay: a real server, a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import pytest
from playwright.sync_api import expect

from assay.analysis.names import variant_name
from assay.analysis.results.reading import results_of_plan
from assay.analysis.summary import metric_summary
from assay.storage import Store
from assay.storage.mlflow_sync_state import run_address, study_address
from assay.storage.plans import write_plan
from assay.tracking import MlflowSync, SyncReport, default_uri
from tests.e2e.dashboard.conftest import PATIENCE, new_page
from tests.e2e.dashboard.serving import serve
from tests.tracking.test_mlflow_sync import PLAN, fill

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page


class Pages(NamedTuple):
    """MLflow on one study."""

    url: str
    store: Store

    def address(self, trial: str | None = None) -> str:
        """Of the study's runs, or of a trial's run."""
        name = PLAN.study.study
        below = study_address(self.store, name) if trial is None else run_address(self.store, name, trial)
        assert below is not None
        return f"{self.url}/{below}"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    store = Store(tmp_path_factory.mktemp("mlflow") / "storage ?#%41")  # signs that mean something in URIs
    fill(store)
    write_plan(store, PLAN)
    uri = default_uri(store)
    assert uri is not None
    assert MlflowSync(uri, store).sync(results_of_plan(PLAN, store)) == SyncReport(new=len(PLAN.trials))
    with serve(store.uri, "mlflow") as served:
        yield Pages(served.url, store)


@pytest.fixture
def window(browser: BrowserContext) -> Iterator[Page]:
    """Without the dashboard's rules: MLflow's pages ask for what is not there, and say so on the console."""
    with new_page(browser) as page:
        yield page


def name_of(page: Page, run: str) -> Locator:
    """The cell of the table that names a run."""
    return page.locator("[col-id='attributes.`Run Name`']").filter(has=page.get_by_text(run, exact=True))


def test_runs_are_cells_that_open_to_their_repeats(pages: Pages, window: Page) -> None:
    window.goto(pages.address())
    results = results_of_plan(PLAN, pages.store)
    for cell in PLAN.cells:
        name_of(window, variant_name(results, cell.name)).wait_for()
    first = PLAN.trials[0]
    variant = variant_name(results, first.cell)
    repeat = f"{variant} · seed {first.seed}"
    assert name_of(window, repeat).count() == 0
    name_of(window, variant).get_by_role("button").first.click()
    name_of(window, repeat).wait_for()


def test_the_table_shows_the_mean_the_number_and_the_spread_of_each_cell(pages: Pages, window: Page) -> None:
    window.goto(pages.address())
    results = results_of_plan(PLAN, pages.store)
    primary = results.primary.name
    for summary in metric_summary(results, primary):
        variant = variant_name(results, summary.cell.name)
        row = window.locator("[role='row']").filter(has=name_of(window, variant))
        number = row.get_attribute("row-id", timeout=PATIENCE)
        values = {f"test/{primary}": summary.mean, "n": summary.n, f"spread/{primary}": summary.spread}
        for name, value in values.items():
            cell = window.locator(f"[row-id='{number}'] [col-id='metrics.`{name}`']")
            expect(cell).to_have_text("-" if value is None else str(value).removesuffix(".0"))


def test_the_description_holds_question_and_table(pages: Pages, window: Page) -> None:
    window.goto(pages.address())
    question = window.get_by_text(PLAN.study.question, exact=True)
    question.wait_for()
    question.click()
    results = results_of_plan(PLAN, pages.store)
    primary = results.primary
    window.locator("th", has_text=primary.title).wait_for()
    summary = metric_summary(results, primary.name)[0]
    assert summary.mean is not None
    window.get_by_role("cell", name=f"{summary.mean:.3f}").first.wait_for()


def test_a_run_shows_its_metrics_and_who_it_is(pages: Pages, window: Page) -> None:
    trial = PLAN.trials[0]
    record = pages.store.records([trial.id])[trial.id]
    window.goto(pages.address(trial.id))
    window.get_by_text("test/image_ap", exact=True).wait_for()
    assert record.result is not None
    window.get_by_text(str(record.result.metrics["image_ap"]), exact=True).wait_for()
    window.get_by_text(trial.id).first.wait_for()


def test_overlays_are_pictures(pages: Pages, window: Page) -> None:
    address, _, query = pages.address(PLAN.trials[0].id).partition("?")
    window.goto(f"{address}/artifacts?{query}")
    window.get_by_text("overlays", exact=True).first.click()
    window.get_by_text("00-part_a.png", exact=True).first.click()
    picture = window.locator("img[src^='blob:']").first
    picture.wait_for()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 24
