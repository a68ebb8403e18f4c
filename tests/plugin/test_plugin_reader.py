"""A reader of another package: one file and one entry point, and every part of assay knows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.study import parse_study, plan_study
from assay.study.file.editors import study_schema
from tests.data.made_images import dot, noise, write
from trainables.data import READERS, DataSpec, Supervision, check_data, make_split, open_manifest
from trainables.data.inspect.survey import survey_images
from trainables.errors import InputError

SPEC = DataSpec(reader="pairs", splits="per_seed")
STUDY = "study: s\ntrainable: toy\ndata: {reader: %s, splits: per_seed%s}\nconfig: {}\n"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for index in range(12):
        write(root / f"part{index:02d}.png", noise(index))
        if index < 6:
            write(root / f"part{index:02d}_defect.png", dot())
    return root


def test_data_check_counts_what_a_plugin_lists(pairs: Path, tmp_path: Path) -> None:
    report = check_data(SPEC, pairs, tmp_path / "cache")
    assert report.usable
    assert "Pairs of images and masks in one folder" in str(report)
    assert "6 defective" in str(report)


def test_data_of_a_plugin_are_split_as_those_of_other_readers(pairs: Path, tmp_path: Path) -> None:
    manifest = open_manifest(SPEC, pairs, tmp_path / "cache")
    split = make_split(manifest, SPEC, Supervision.model_validate("full"), seed=0, fold=None)
    assert len(split.train) + len(split.validation or ()) + len(split.test) == 12


def test_init_recognises_the_data_of_a_plugin(pairs: Path, tmp_path: Path) -> None:
    assert survey_images(pairs, tmp_path / "cache").spec.reader == "pairs"


def test_editors_complete_the_name_of_a_plugin() -> None:
    schema = study_schema([])
    assert schema["$defs"]["DataSpec"]["properties"]["reader"]["enum"] == sorted(READERS)
    assert "pairs" in READERS


def test_a_study_may_name_a_plugin() -> None:
    plan = plan_study(parse_study(STUDY % ("pairs", ""), "s.yaml"), None, "cpu")
    assert plan.cells[0].data.reader == "pairs"


@pytest.mark.parametrize(
    ("reader", "options", "message"),
    [
        ("pair", "", "data.reader: there is no reader `pair`; did you mean `pairs`"),
        ("pairs", ", options: {mask: x}", r"data.options.mask: unknown key"),
    ],
)
def test_a_study_is_checked_against_a_plugin(reader: str, options: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_study(parse_study(STUDY % (reader, options), "s.yaml"), None, "cpu")
