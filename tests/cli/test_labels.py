"""`assay labels`, and what costs add to `assay report`."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import pytest

from assay.cli.app import app
from assay.storage import Store
from assay.storage.plans import write_plan
from assay.study import plan_study, read_study
from assay.study.file.shipped import shipped_studies
from tests.analysis.label_studies import GRID, trained
from tests.cli.small_study import Assay


def both(images: int, masks: int) -> float:
    return 0.4 + 0.06 * math.log1p(masks) + 0.05 * math.log1p(images - 60)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """A storage with the study `labels`, all trained, and `costless`, which does not say what labels take."""
    store = Store(tmp_path / "storage")
    for name, text in (("labels", GRID), ("costless", GRID.replace("labelling:", "#"))):
        plan, records = trained(text.replace("study: labels", f"study: {name}"), both, 0.003)
        write_plan(store, plan)
        for record in records.values():
            store.write_record(record)
    return store.uri


def test_the_advice_is_for_the_hours_and_the_start_that_are_asked(assay: Assay, storage: str) -> None:
    answer = assay(
        "labels", "labels", "--hours", "0.02", "--from", "masks=n5 images=p40", "--storage", storage
    )
    assert answer.code == 0
    assert "from 5 masks, images p40 (40 labels of defective images and 5 masks)" in answer.out
    assert "1.2 further minutes" in answer.out
    assert "| 5 masks, images p40 | labels of defective images " in answer.out


def test_the_example_of_the_help_begins_at_a_cell_of_its_study() -> None:
    example = next(str(c.epilog) for c in app.registered_commands if "assay labels" in str(c.epilog))
    words = shlex.split(example)
    study = read_study(shipped_studies()[words[words.index("labels") + 1]])
    plan = plan_study(study, None, "cpu")
    assert words[words.index("--from") + 1] in [cell.name for cell in plan.cells]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("costless",), "does not say what labels take"),
        (("labels", "--from", "p40"), "no finished cell is called p40"),
        (("labels", "--hours", "-1"), "above 0"),
        (("labels", "--hours", "one"), "should be a number, found 'one'"),
        (("nobody",), "holds no study nobody"),
    ],
    ids=["no costs", "no such cell", "negative hours", "no number", "no such study"],
)
def test_what_cannot_be_asked_is_refused_in_plain_words(
    assay: Assay, storage: str, arguments: tuple[str, ...], message: str
) -> None:
    answer = assay("labels", *arguments, "--storage", storage)
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.out + answer.err


def test_a_report_with_costs_has_their_picture_beside_it(assay: Assay, storage: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    answer = assay("report", "labels", "--no-test-uncertainty", "--storage", storage, "--output", page)
    assert answer.code == 0, answer.err
    text = page.read_text(encoding="utf-8")
    assert "## What labels buy" in text
    assert "](page_files/label_costs.svg)" in text
    assert (tmp_path / "page_files" / "label_costs.png").exists()
