"""`assay check` holds the settings of a record against its id."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.storage import Record, Store
from assay.storage.integrity.trials import Planned, check_trial
from assay.study import Trial, parse_study, plan_study
from tests.analysis.made_studies import make_record
from trainables.data import open_manifest


def trial_with(threshold: str, cache: Path) -> Trial:
    text = (
        "study: s\ntrainable: supervised\nconfig: {preset: classifier_small, image_size: [32, 32]}\n"
        f"data: {{reader: synthetic, splits: per_seed, threshold: {threshold}}}\nrepeats: {{seeds: [0]}}\n"
    )
    return plan_study(parse_study(text), lambda spec: open_manifest(spec, None, cache), "cpu").trials[0]


def damages(record: Record, root: Path) -> list[str]:
    found = check_trial(Store(root), record.id, record, Planned([]), witness=None, running=True)
    return [damage.text for damage in found]


@pytest.mark.parametrize("threshold", ["best_f1", "smoothed_f1"])
def test_the_record_of_a_trial_is_sound_whatever_the_rule_of_its_threshold(
    threshold: str, cache_root: Path, tmp_path: Path
) -> None:
    assert not damages(make_record(trial_with(threshold, cache_root)), tmp_path)


def test_the_id_of_another_rule_is_not_that_of_a_record(cache_root: Path, tmp_path: Path) -> None:
    trial, other = trial_with("best_f1", cache_root), trial_with("smoothed_f1", cache_root)
    (text,) = damages(make_record(trial.model_copy(update={"id": other.id})), tmp_path)
    assert text == f"is damaged: its settings are those of trial {trial.id}"
