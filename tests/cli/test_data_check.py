"""`assay data check`: what it says to who has no study yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.small_study import Assay


@pytest.mark.parametrize(
    ("options", "way_out"),
    [
        ((), "Here data.path is --path PATH and data.options is --option NAME=VALUE."),
        (("--path", "x"), "Here data.options is --option NAME=VALUE."),
    ],
    ids=["nothing named", "path named"],
)
def test_a_check_names_the_options_that_stand_for_keys_of_a_study(
    assay: Assay, tmp_path: Path, options: tuple[str, ...], way_out: str
) -> None:
    (tmp_path / "x" / "others").mkdir(parents=True)
    refused = assay("data", "check", "folder", "--data", tmp_path, *options)
    assert refused.code == 2
    assert way_out in refused.err
