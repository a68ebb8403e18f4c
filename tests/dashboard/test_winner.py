"""The word that answers a comparison of a winner with its start."""

from __future__ import annotations

import pytest

from assay.analysis.study_analysis import study_analysis
from assay_dashboard.search import verdict_word
from tests.report.test_answer import SWITCH, results_of


@pytest.mark.parametrize(
    ("gain", "noise", "word"),
    [
        (0.1, 0.001, "Yes."),
        (-0.1, 0.001, "No, it is worse."),
        (0.0, 0.001, "No difference that matters."),
        (0.0, 0.0, "Every repeat ties."),
        (0.0, 0.1, "Not shown."),
    ],
)
def test_the_word_is_that_of_the_verdict(gain: float, noise: float, word: str) -> None:
    resolved = SWITCH.replace("resolve: 0.01", "resolve: 0.05")
    (comparison,) = study_analysis(results_of(gain, noise, resolved)).comparisons
    assert verdict_word(comparison) == word
