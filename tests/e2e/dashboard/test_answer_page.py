"""The first page of a study in a real browser: the answer on one screen, in the report's numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from assay.analysis.results.reading import read_results
from assay.report.headline import study_answer
from assay.report.tables.answer import strongest_first
from assay.statistics.wording import signed
from assay.storage import Store
from assay_dashboard.comparison_rows import MOST_ROWS
from tests.analysis.label_studies import LINE, trained
from tests.analysis.made_studies import STUDY, lose, make_plan, make_records
from tests.dashboard.conftest import put
from tests.dashboard.made_records import make_scene, make_study
from tests.e2e.dashboard.conftest import MAIN, Viewer, Window
from tests.e2e.dashboard.serving import serve
from tests.report.test_answer import results_of

ADDRESSES = "Is http://x.org/a_b or www.x.org right, me@x.org?"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """`additions`, six cells with masks; past ones `labels`, with costs, and `switch`, with a small gain.

    The first of all, `linked`, asks a question with addresses and has no results. Of `failing` the runs of
    two variants failed, of `failed` all.
    """
    store = Store(tmp_path_factory.mktemp("answer"))
    linked = STUDY.replace("study: additions", "study: linked")
    put(store, make_plan(linked.replace("question: Which addition pays?", f"question: {ADDRESSES}")), {})
    for name, variants in {"failing": 2, "failed": 4}.items():
        text = STUDY.replace("study: additions", f"study: {name}")
        plan = make_plan(text.replace("preset: ksdd", f"preset: ksdd, epochs: {variants}"))  # its own trials
        lost = {cell.name for cell in plan.cells[:variants]}
        failed = {t.id: lose(t, "failed", "RuntimeError: it broke") for t in plan.trials if t.cell in lost}
        put(store, plan, make_records(plan) | failed)
    small = results_of(0.005, 0.0005)
    put(store, small.plan, small.records)
    put(store, *trained(LINE, lambda images, masks: 0.7 + 0.002 * masks))
    make_study(store, make_scene(9, (96, 144)), seeds=3, probes=4)
    return store


@pytest.fixture(scope="module")
def address(storage: Store) -> Iterator[str]:
    with serve(storage.uri) as served:
        yield served.url


@pytest.fixture
def viewer(kept_window: Window, address: str) -> Viewer:
    return Viewer(kept_window, address)


def test_addresses_in_a_question_are_text_and_no_links(viewer: Viewer) -> None:
    heading = viewer.open("/?study=linked").get_by_test_id("stHeading")
    viewer.sees(lambda: heading.inner_text().replace("\u2060", "").strip() == ADDRESSES)
    expect(heading.get_by_role("link")).to_have_count(0)


def test_the_answer_has_the_numbers_of_the_report(viewer: Viewer, storage: Store) -> None:
    page = viewer.open("/")
    expect(page.get_by_role("heading", name="Which of SegDecNet's three additions pays")).to_be_visible()
    answer = study_answer(read_results(storage, "additions"))
    assert answer is not None
    rows = page.locator(".comparisons li")
    expect(rows).to_have_count(min(MOST_ROWS, len(answer.results)))
    for result in strongest_first(answer.results)[:MOST_ROWS]:
        assert result.difference is not None
        expect(page.locator(".comparisons")).to_contain_text(signed(result.difference, result.decimals))
    expect(page.locator(".failures img")).to_have_count(3)
    for title in ("Best variant:", "Where the best variant fails", "What next"):
        expect(page.get_by_role("heading", name=title)).to_be_visible()


@pytest.mark.parametrize("study", ["failing", "failed"])
def test_a_study_that_failed_says_how_it_goes_on(viewer: Viewer, study: str) -> None:
    page = viewer.open(f"/?study={study}")
    expect(page.get_by_role("heading", name="What next")).to_be_visible()
    following = page.locator(".st-key-answer-next")
    expect(following).to_contain_text(re.compile(r"\d+ runs failed. Once the cause is mended:"))
    expect(following).to_contain_text(f"assay run {study}.yaml --retry failed")
    expect(page.get_by_role("link", name=re.compile("Why .* failed"))).to_be_visible()


def test_every_mark_of_a_row_is_within_its_axis(viewer: Viewer) -> None:
    page = viewer.open("/")
    for width in (1500, 400):
        page.set_viewport_size({"width": width, "height": 1000})
        beyond = page.locator(".comparisons .drawn").evaluate_all(
            """all => all.flatMap(drawn => [...drawn.children].filter(mark => {
                const [inner, outer] = [mark.getBoundingClientRect(), drawn.getBoundingClientRect()];
                return inner.left < outer.left - 8 || inner.right > outer.right + 8;
            })).length"""
        )
        assert beyond == 0


def test_only_the_tabs_of_which_the_study_has_something_are_offered(viewer: Viewer) -> None:
    page = viewer.open("/")
    tabs = page.locator("[data-testid=stTopNavLink]")
    expect(tabs).to_have_text([re.compile(rf"{name}\s*$") for name in ("Answer", "Table", "Images", "Runs")])
    expect(page).to_have_title("additions · Answer · assay")


def test_a_tab_that_has_the_keyboards_focus_has_a_ring(viewer: Viewer) -> None:
    page = viewer.open("/")
    tab = page.locator("[data-testid=stTopNavLink]").first
    tab.focus()
    page.keyboard.press("Tab")
    expect(page.locator("[data-testid=stTopNavLink]").nth(1)).to_have_css("outline", re.compile("solid 2px"))
    expect(tab).to_have_css("outline-style", "none")


@pytest.mark.parametrize(
    ("path", "shown"), [("/", ".comparisons"), ("/labels?study=labels", "[data-testid=stVegaLiteChart]")]
)
def test_nothing_hangs_over_the_side_of_a_telephone(viewer: Viewer, path: str, shown: str) -> None:
    viewer.page.set_viewport_size({"width": 400, "height": 900})
    page = viewer.open(path)
    drawn = page.locator(shown).first
    drawn.wait_for()
    viewer.sees(lambda: drawn.evaluate("part => part.getBoundingClientRect().right") <= 400)
    viewer.sees(lambda: page.evaluate(f"{MAIN}.scrollWidth") <= 400)


def test_a_small_gain_has_the_green_of_what_is_settled(viewer: Viewer) -> None:
    badge = viewer.open("/?study=switch").locator(".comparisons .verdict b").first
    expect(badge).to_have_text("Too small")
    expect(badge).to_have_css("background-color", "rgb(0, 113, 79)")
