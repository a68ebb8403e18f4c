from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.layout_trials import Trial, run_trial, some_trials


@pytest.mark.parametrize("trial", some_trials(120), ids=lambda trial: "-".join(map(str, trial)))
def test_layout_is_read_right_or_refused_with_a_setting_that_reads_it(trial: Trial, tmp_path: Path) -> None:
    outcome = run_trial(trial, tmp_path)
    assert outcome.kind in ("read", "refused"), outcome.text
