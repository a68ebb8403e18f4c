"""Keys that were removed are refused with what to write now, where they stand."""

from __future__ import annotations

import pytest

from assay.study import parse_study, plan_study
from trainables.errors import InputError

SEARCH = "search: {points: 4, objective: {max: validation.image_ap}"
HEAD = "study: s\ntrainable: toy\ndata: {reader: synthetic}\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "supervision: {mixed: 4, by: coverage}",
            "s.yaml:4:25: supervision.by: `by` was removed: masks are drawn at random. "
            "Write the number alone, as in `supervision: {mixed: 10}`",
        ),
        (
            "factors: {next: {rule: {supervision: {mixed: 4, by: random, first: 2}}}}\ndesign: {full: all}",
            "s.yaml:4:61: factors.next.rule.supervision.first: `first` was removed: masks are",
        ),
        (
            "factors: {a: {on: {}}}\n"
            "design: {rows: [{a: on, override: {supervision: {mixed: 4, first: 2}}}]}",
            "s.yaml:5:60: design.rows[0].override.supervision.first: `first` was removed: masks are drawn",
        ),
        (
            f"{SEARCH}, seeds: [0, 1]}}\nspace: {{config.lr: {{float: [0, 1]}}}}",
            "s.yaml:4:60: search.seeds: `seeds` was removed: a study has one search of a cell.",
        ),
        (
            "resources: {workers: 2, min_workers: 1}",
            "s.yaml:4:25: resources.min_workers: `min_workers` was removed: a trial trains with all its",
        ),
        (
            f"{SEARCH}, sampler: cmaes}}",
            "s.yaml:4:60: search.sampler: `sampler: cmaes` was removed: a point is drawn",
        ),
        (
            f"{SEARCH}}}\nreplicate: {{seeds: [5], ablate_winner: true}}",
            "s.yaml:5:25: replicate.ablate_winner: `ablate_winner` was removed: `assay best NAME --as NEW",
        ),
        (
            f"{SEARCH}}}\nstart: [preset, {{study: earlier, best: 2}}]",
            "s.yaml:5:34: start[1].best: `best` was removed: a search starts from points",
        ),
        (
            f"{SEARCH}}}\nstart: [{{supervision: weak}}]",
            "s.yaml:5:10: start[0].supervision: `supervision` was removed: a search",
        ),
        (
            f"{SEARCH}}}\nspace: {{supervision: {{choice: [weak, {{mixed: 8}}]}}}}",
            "s.yaml:5:38: space.supervision.choice[1]: `supervision` was removed: a search",
        ),
        (
            "search: {points: 4, objective: [{max: validation.image_ap}, {min: label_hours}]}",
            "s.yaml:4:62: search.objective[1].min: `min: label_hours` was removed: a search draws settings",
        ),
        (
            "search: {points: 4, objective: {min: export_size_mb}}",
            "s.yaml:4:33: search.objective.min: `min: export_size_mb` was removed: costs are those",
        ),
    ],
)
def test_a_removed_key_says_what_to_write_now(line: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_study(HEAD + line, "s.yaml")
    assert expected in str(caught.value).splitlines()[-1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("by: 1", "s.yaml:4:1: by: unknown key `by`"),
        ("repeats: {first: 1}", "s.yaml:4:11: repeats.first: unknown key `first`"),
    ],
)
def test_a_key_of_that_name_elsewhere_is_unknown(line: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_study(HEAD + line, "s.yaml")
    assert expected in str(caught.value)


def test_labels_that_a_search_would_draw_are_refused_where_the_study_is_planned() -> None:
    text = f"{HEAD}{SEARCH}}}\nspace: {{supervision: {{choice: [weak, full]}}}}"
    with pytest.raises(
        InputError, match=r"s\.yaml:5:9: space\.supervision: `supervision` was removed: a search"
    ):
        plan_study(parse_study(text, "s.yaml"), None, "cpu")


def test_factors_and_levels_may_have_the_names_of_removed_keys() -> None:
    study = parse_study(f"{HEAD}factors: {{supervision: {{by: {{}}, first: {{}}}}}}\ndesign: {{full: all}}")
    assert list(study.factors["supervision"]) == ["by", "first"]
