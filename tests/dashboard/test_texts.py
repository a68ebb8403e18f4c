"""What links may hold, and how numbers, times and texts from outside are written."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from assay.study import Plan
from assay.study.planning.repeats import repeat_name
from assay_dashboard.layout import ago, duration, escaped, paragraph
from assay_dashboard.state import storage_uri, trial_of


@pytest.mark.parametrize(
    ("arguments", "uri"),
    [(["--storage", "s3://b/a"], "s3://b/a"), ([], "./assay-storage"), (["--storage"], "./assay-storage")],
)
def test_the_storage_is_that_of_the_command_line(
    arguments: list[str], uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["app.py", *arguments])
    assert storage_uri() == uri


def test_a_trial_is_named_by_cell_and_repeat(plan: Plan) -> None:
    trial = plan.trials[2]
    assert trial_of(plan.trials, trial.cell, repeat_name(trial.seed, trial.fold)) is trial
    assert trial_of(plan.trials, trial.cell, "seed 99") is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(40, "40 s"), (359, "5 min"), (7800, "2 h 10 min"), (273_600, "3 d 4 h")],
)
def test_durations_are_said_in_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text
    assert ago(datetime.now(UTC) - timedelta(seconds=seconds)) == f"{text} ago"


@pytest.mark.parametrize("address", ["http://x.org/a", "HTTPS://x.org", "www.x.org", "me@x.org"])
def test_no_address_in_a_text_from_outside_becomes_a_link(address: str) -> None:
    """Markdown as GitHub has it looks for them in the text that is left when escapes are read."""
    shown = re.sub(r"\\(.)", r"\1", escaped(f"see {address}, please"))
    assert shown.replace("\u2060", "") == f"see {address}, please"
    assert not re.search(r"https?://|www\.|\w@\w", shown, re.IGNORECASE)


def test_texts_from_outside_are_neither_html_nor_markdown() -> None:
    assert paragraph("<b>&", "quiet") == '<p class="quiet">&lt;b&gt;&amp;</p>'
    assert escaped("a_b·on [x](y) :red[z] $m$") == r"a\_b·on \[x\]\(y\) \:red\[z\] \$m\$"
