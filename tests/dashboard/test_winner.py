"""The word that answers a comparison of a winner with its start."""

from __future__ import annotations

import pytest

from assay.analysis.results import StudyResults
from assay.study import Trial
from assay_dashboard.winner import verdict_word
from tests.analysis.made_studies import make_plan, make_record

_STUDY = """
study: switch
trainable: segdec
data: {reader: synthetic, splits: published}
config: {preset: ksdd, image_size: [128, 64]}
factors: {stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}}
design: {full: all}
comparisons: [{factor: stop}]
resolve: 0.05
repeats: {seeds: [0, 1, 2, 3, 4, 5, 6, 7]}
metrics: {primary: image_ap}
"""


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
    plan = make_plan(_STUDY)

    def scores(trial: Trial) -> dict[str, float]:
        on = trial.levels["stop"] == "on"
        return {"image_ap": 0.7 + on * (gain + noise * (-1) ** trial.seed)}

    records = {trial.id: make_record(trial, scores) for trial in plan.trials}
    (comparison,) = StudyResults(plan, records).analysis.comparisons
    assert verdict_word(comparison) == word
