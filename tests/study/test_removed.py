"""Keys that were removed are refused with what to write now, where they stand."""

from __future__ import annotations

import pytest

from assay.study import parse_study
from trainables.errors import InputError

HEAD = "study: s\ntrainable: toy\ndata: {reader: synthetic}\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "supervision: {mixed: 4, by: coverage}",
            "s.yaml:4:25: supervision.by: `by` was removed, found 'coverage': masks are drawn at random. "
            "Write the number alone, as in `supervision: {mixed: 10}`",
        ),
        (
            "factors: {next: {rule: {supervision: {mixed: 4, by: random, first: 2}}}}\ndesign: {full: all}",
            "s.yaml:4:61: factors.next.rule.supervision.first: `first` was removed, found 2",
        ),
        (
            "factors: {a: {on: {}}}\n"
            "design: {rows: [{a: on, override: {supervision: {mixed: 4, first: 2}}}]}",
            "s.yaml:5:60: design.rows[0].override.supervision.first: `first` was removed, found 2",
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


def test_factors_and_levels_may_have_the_names_of_removed_keys() -> None:
    study = parse_study(f"{HEAD}factors: {{supervision: {{by: {{}}, first: {{}}}}}}\ndesign: {{full: all}}")
    assert list(study.factors["supervision"]) == ["by", "first"]
