"""Pages without a browser: what they say where there is nothing to show, and that they run at all."""

from __future__ import annotations

import html
import re
from functools import partial

import pytest
import yaml

from assay.report.formats import FORMATS
from assay.report.tables.cells import in_order
from assay.storage import Store
from assay.study import Plan, SearchPlan, Trial, parse_study, plan_study
from assay_dashboard.cells import cell_table, trial_table
from assay_dashboard.comparison_rows import MOST_ROWS
from assay_dashboard.study_view import view
from tests.analysis.data_set_studies import SURFACES, results_on_surfaces
from tests.analysis.made_studies import lose, make_plan, make_record, make_records
from tests.cli.small_front import FRONT, write_front
from tests.cli.small_search import SEARCH, write_search
from tests.cli.small_study import STUDY, finished
from tests.dashboard.conftest import Open, Show, put, texts_of
from trainables.evaluation.metrics import METRICS

LINE_OF_LEVELS = """
study: levels
question: How long?
trainable: segdec
data: {{reader: synthetic, splits: published}}
config: {{preset: ksdd, image_size: [128, 64]}}
factors: {{length: {{{levels}}}}}
design: {{full: all}}
comparisons: [{{factor: length, from: e1}}]
repeats: {{seeds: [0, 1, 2, 3, 4, 5, 6, 7]}}
metrics: {{primary: image_ap}}
"""
PAGES = ("answer", "table", "effects", "images", "labels", "trial")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_runs_on_a_study_that_is_not_finished(show: Show, page: str) -> None:
    assert not show(page).exception


def test_the_first_page_has_the_comparisons_where_a_lost_cell_leaves_no_main_effect(
    show: Show, store: Store
) -> None:
    plan = make_plan()
    lost = {one.id: lose(one, "failed", "lost") for one in plan.trials if one.cell == plan.cells[0].name}
    put(store, plan, {**make_records(plan), **lost})
    app = show("answer", "additions")
    text = texts_of(app)
    assert "No verdict yet" not in text
    assert 'class="comparisons"' in text


def test_a_page_opens_on_the_study_that_changed_last(open_page: Open, store: Store) -> None:
    """The frame around all pages chooses it."""
    text = STUDY.replace("study: small", "study: later").replace("0.125", "0.25")
    put(store, plan_study(parse_study(text, "later.yaml"), None, "cpu"), {})
    assert open_page("table", study=None).session_state["study"] == "later"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("labels", "No two finished variants differ in hours"),
        ("labels", "labelling: {image_label_seconds: 1, mask_seconds: 79}"),
        ("images", "No finished run of this study has kept example images yet."),
        ("answer", "No pictures: no finished run has kept example images."),
    ],
)
def test_a_page_that_has_nothing_to_show_says_why(show: Show, page: str, text: str) -> None:
    assert text in texts_of(show(page))


REPLICATE = "replicate: {best: 2, seeds: [7, 8]}\n"
PARTS = STUDY.partition("factors:")
ONE_CELL = PARTS[0] + PARTS[2][PARTS[2].index("repeats:") :].replace("small", "later")


@pytest.mark.parametrize(
    ("study", "over", "text", "advises"),
    [
        (SEARCH, False, "The search has no winner yet.", False),
        (SEARCH.replace(REPLICATE, ""), False, "The search has no winner yet.", True),
        (SEARCH, True, "The winner is compared with nothing.", False),
        (FRONT, True, "With several objectives no point is best, and none is compared.", False),
        (
            STUDY.replace("comparisons: [{factor: balance}]\n", ""),
            True,
            "The study has no comparisons.",
            True,
        ),
    ],
    ids=["search", "search without replicate", "winner", "front", "factors"],
)
@pytest.mark.parametrize("page", ["answer", "effects"])
def test_where_no_verdict_can_be_the_page_advises_what_the_study_may_have(
    show: Show, store: Store, *, study: str, over: bool, text: str, advises: bool, page: str
) -> None:
    plan = plan_study(parse_study(study, "study.yaml"), None, "cpu")
    write = write_front if study == FRONT else write_search if over and isinstance(plan, SearchPlan) else None
    (write or partial(put, records={}))(store, plan)
    shown = texts_of(show(page, study=plan.study.study))
    assert text in shown
    lines = re.search(r"fills the place:</p><pre class=\"yaml\">(.*?)</pre>", shown.partition(text)[2])
    assert (lines is not None) is advises
    if lines is not None:
        advised = yaml.safe_load(study) | yaml.safe_load(html.unescape(lines[1]))
        plan_study(parse_study(yaml.safe_dump(advised), "study.yaml"), None, "cpu")


def test_a_study_of_one_variant_is_not_told_to_compare(show: Show, store: Store) -> None:
    plan = plan_study(parse_study(ONE_CELL, "later.yaml"), None, "cpu")
    put(store, plan, make_records(plan))
    text = texts_of(show("answer", study="later"))
    assert "<h2>Scores</h2>" in text
    for asked in ('class="comparisons"', "No verdict", "no factors", 'class="mark best"'):
        assert asked not in text


@pytest.mark.parametrize("page", ["answer", "effects"])
def test_a_metric_that_no_trial_defines_is_not_said_to_wait_for_trials(
    show: Show, store: Store, page: str
) -> None:
    plan = make_plan()
    put(store, plan, {trial.id: make_record(trial, lambda _: {"fp": 1.0}) for trial in plan.trials})
    text = texts_of(show(page, study="additions"))
    assert "No verdict yet: it needs a value of AP from the same repeat in both variants." in text


def put_later(store: Store, probes: int) -> None:
    """A study without a trial yet, which keeps so many probe images."""
    study = STUDY.replace("study: small", "study: later").replace("0.125", "0.25")
    study += f"keep: {{probes: {probes}}}\n"
    put(store, plan_study(parse_study(study, "later.yaml"), None, "cpu"), {})


@pytest.mark.parametrize(
    ("page", "probes", "text"),
    [
        ("images", 0, "This in the study file fills the place"),
        ("images", 6, "No finished run of this study has kept example images yet."),
    ],
)
def test_a_page_advises_to_keep_probe_images_only_where_the_study_keeps_none(
    show: Show, store: Store, page: str, probes: int, text: str
) -> None:
    put_later(store, probes)
    shown = texts_of(show(page, study="later"))
    assert text in shown
    assert ("keep: {probes: 12}" in shown) is (probes == 0)


def test_lines_that_would_fill_an_empty_page_are_those_of_a_study_file(show: Show, store: Store) -> None:
    """Put into the study as they stand, a key that it has already replaced."""
    put_later(store, probes=0)
    for page, name in {"labels": "small", "images": "later"}.items():
        lines = re.search(r'<pre class="yaml">(.*?)</pre>', texts_of(show(page, study=name)), re.DOTALL)
        assert lines is not None
        study = yaml.safe_load(STUDY) | yaml.safe_load(html.unescape(lines[1]))
        study["comparisons"] = [{"factor": factor} for factor in study["factors"]]
        parse_study(yaml.safe_dump(study), "small.yaml")


LEVELS = ", ".join(f"e{n}: {{config: {{epochs: {n}}}}}" for n in range(1, 11))


@pytest.fixture
def nine(store: Store) -> Plan:
    """Nine comparisons with one level, of which the last makes the largest difference."""
    plan = plan_study(parse_study(LINE_OF_LEVELS.format(levels=LEVELS), "levels.yaml"), None, "cpu")

    def scores(trial: Trial) -> dict[str, float]:
        last = trial.levels["length"] == "e10"
        return {"image_ap": 0.8 + 0.1 * last + 0.01 * trial.seed + 0.001 * (trial.seed % 2) * last}

    put(store, plan, {trial.id: make_record(trial, scores) for trial in plan.trials})
    return plan


def test_of_many_comparisons_the_first_page_has_the_strongest_and_leads_to_the_others(
    show: Show, nine: Plan
) -> None:
    app = show("answer", study="levels")
    rows = re.findall(r"<b>Length (e\d+) instead of e1</b><p>", texts_of(app))
    assert rows[0] == "e10"
    assert len(rows) == MOST_ROWS == 8
    assert "The strongest 8 of 9 comparisons." in texts_of(app)
    assert "All comparisons" in [link.label for link in app.page_link]


def test_the_variants_of_the_first_page_are_the_best_with_their_counts(show: Show, nine: Plan) -> None:
    text = texts_of(show("answer", study="levels"))
    names = re.findall(r'<th scope="row" title="(e\d+)">', text)
    assert names[0] == "e10"
    assert "2 more on the page Table." in text
    assert '10 <span class="mark best">best</span>' in text


def test_on_several_data_sets_each_has_a_best_of_its_own(show: Show, store: Store) -> None:
    ladder = results_on_surfaces()
    put(store, ladder.plan, ladder.records)
    text = texts_of(show("answer", study="surfaces"))
    named = re.findall(r'<th scope="row" title="([^"]+)">', text)
    assert [name.partition(" ")[0] for name in named] == [f"surface={name}" for name in SURFACES]
    assert "The best on each data set" in text
    assert "best variant" not in text.lower()


def test_the_list_of_studies_names_no_best_of_several_data_sets(open_page: Open, store: Store) -> None:
    ladder = results_on_surfaces()
    put(store, ladder.plan, ladder.records)
    assert "6 data sets, each with a best of its own" in texts_of(open_page("studies"))


def test_an_empty_storage_says_how_to_fill_it(show: Show, store: Store) -> None:
    store.delete_tree("studies")
    assert "<code>assay run STUDY</code> starts one" in texts_of(show("studies", study=None))


def test_a_trial_that_is_not_trained_says_so(show: Show, plan: Plan) -> None:
    trial = plan.trials[3]
    app = show("trial", cell=trial.cell, repeat=f"seed {trial.seed}")
    assert "This trial has no record yet" in texts_of(app)


def test_the_table_holds_the_numbers_of_the_csv(store: Store, plan: Plan) -> None:
    now = view(store, "small")
    results = now.results.without_predictions()
    frame = cell_table(results).frame
    lines = [line.split(",") for line in FORMATS["csv"].study_files(results, "")[""].decode().splitlines()]
    mean = lines[0].index("mean")
    rows = {line[1]: float(line[mean]) for line in lines[1:] if "image_ap" in line}
    assert frame["mean image_ap"].to_dict() == rows


def test_cells_are_ordered_by_their_mean_if_so_wished(store: Store) -> None:
    now = view(store, "small")
    assert in_order(now.results, None) == ["all off", "balance"]
    assert in_order(now.results, METRICS["image_ap"]) == ["balance", "all off"]


def test_trials_of_chosen_cells_are_listed_with_what_is_missing(store: Store) -> None:
    table = trial_table(view(store, "small"), ["balance"])
    assert list(table["status"]) == ["finished", "planned"]
    assert list(table["repeat"]) == ["seed 0", "seed 1"]


def test_a_score_midway_between_two_numbers_is_rounded_as_in_the_report(store: Store, plan: Plan) -> None:
    """A grid writes 0.78125 as 0.7813, the report as 0.7812."""
    finished(plan.trials[0], store, image_ap=0.78125)
    table = trial_table(view(store, "small"), [plan.trials[0].cell])
    assert table["image_ap"][0] == 0.7812
