"""Next steps: lines that can be pasted, from numbers of the analysis."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from assay.analysis.labels import label_analysis
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.report.next_steps import enough_sentence, next_repeats
from tests.analysis.label_studies import LINE, trained
from tests.analysis.made_studies import make_plan, make_records
from tests.report.test_answer import results_of


def test_seeds_that_an_open_comparison_needs_are_a_line_of_the_study_file() -> None:
    results = results_of(0.005, 0.01)
    compared = study_analysis(results).comparisons
    more = next_repeats(results, compared)
    (estimate,) = {result.more.estimate for result in compared if result.more is not None}
    assert more is not None
    assert more.purpose == "To decide the open question"
    seeds = yaml.safe_load(more.yaml)["repeats"]["seeds"]
    before = results.plan.study.repeats.seeds
    assert tuple(seeds[: len(before)]) == before
    assert len(set(seeds)) == len(seeds) == len(before) + (estimate or 0)
    assert more.seeds == f"{estimate} more seeds"


def test_before_the_exact_test_can_speak_as_many_seeds_are_asked_for_as_it_takes() -> None:
    plan = make_plan()
    results = StudyResults(plan, make_records(plan))
    first = study_analysis(results).comparisons[0]
    more = next_repeats(results, [replace(first, more=None, verdict="too few")])
    assert more is not None
    assert more.yaml == "repeats: {seeds: [0, 1, 2, 3, 4, 5]}"


def test_a_study_that_is_decided_asks_for_nothing() -> None:
    results = results_of(0.2, 0.001)
    assert {result.verdict for result in study_analysis(results).comparisons} == {"shown"}
    assert next_repeats(results, study_analysis(results).comparisons) is None


@pytest.mark.parametrize("costs", [True, False], ids=["own costs", "common costs"])
def test_masks_that_are_enough_are_those_of_the_analysis(costs: bool) -> None:
    text = LINE if costs else LINE.replace("labelling: {image_label_seconds: 3, mask_seconds: 90}\n", "")
    plan, records = trained(text, lambda images, masks: 0.7 + 0.1 * min(masks, 15) / 15)
    results = StudyResults(plan, records)
    sentence = enough_sentence(results)
    assert sentence is not None
    labels = label_analysis(trained_with_costs())
    assert labels is not None
    enough = labels.enough[0][1][0]
    assert sentence[0] == f"about {enough.masks} masks are enough"
    assert f"of that with all {enough.all_masks}" in sentence[1]


def trained_with_costs() -> StudyResults:
    plan, records = trained(LINE, lambda images, masks: 0.7 + 0.1 * min(masks, 15) / 15)
    return StudyResults(plan, records)
