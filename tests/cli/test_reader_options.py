"""`--option` of a reader: JSON, a map as a study file has it, or a text."""

from __future__ import annotations

from typing import Any

import pytest

from assay.cli.data import read_options


@pytest.mark.parametrize(
    "text", ["[old]", "[a-z]_*", "[2024-13-45]", "{train,test}", "{old}_*", "{1: 2024-13-45}", "2024_01"]
)
def test_what_is_no_json_and_no_map_is_a_text(text: str) -> None:
    assert read_options([f"good={text}"]) == {"good": text}


@pytest.mark.parametrize(
    ("text", "value"), [("[1, 2]", [1, 2]), ('"[1, 2]"', "[1, 2]"), ("{1: hole}", {1: "hole"})]
)
def test_json_and_maps_are_read(text: str, value: Any) -> None:
    assert read_options([f"good={text}"]) == {"good": value}
