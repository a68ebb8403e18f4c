"""The page of a screen: main effects first, what is mixed up with them, and how to go on."""

from __future__ import annotations

import pytest

from assay.analysis.results.results import StudyResults
from assay.report.tables.comparisons import comparison_sections
from tests.analysis.made_studies import STUDY, make_plan, make_record

SCREENED = (
    STUDY[: STUDY.index("factors:")].replace("splits: per_seed", "splits: published")
    + """resolve: 0.02
factors:
  supervision: {full: {supervision: full}, few: {supervision: {mixed: 5}}}
  stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}
  balance: {off: {config: {balance: none}}, on: {config: {balance: linear}}}
  pace: {slow: {config: {lr: 0.1}}, fast: {config: {lr: 0.5}}}
  length: {short: {config: {epochs: 5}}, long: {config: {epochs: 9}}}
repeats: {seeds: [0, 1, 2, 3, 4, 5]}
"""
)


@pytest.mark.parametrize(
    ("design", "mixed_up"),
    [
        ("screen: {cells: 8}", "stop is mixed up with supervision × pace"),
        ("screen: {cells: 8}", "fold_over: [supervision, stop, balance, pace, length]"),
        ("screen: all", "No main effect is mixed up with an interaction of two factors."),
    ],
)
def test_a_screen_leads_with_main_effects_and_says_what_is_mixed_up(design: str, mixed_up: str) -> None:
    plan = make_plan(f"{SCREENED}design: {{{design}}}\n")
    sections = list(
        comparison_sections(StudyResults(plan, {trial.id: make_record(trial) for trial in plan.trials}))
    )
    assert [section.title.partition(" ")[0] for section in sections] == ["Main", "Details", "Further"]
    assert [row[0] for row in sections[0].table.rows][1] == "stop, on average"
    assert any(mixed_up in note for note in sections[0].notes)
