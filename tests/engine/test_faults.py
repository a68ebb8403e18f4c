"""Errors of a method in a line, as logs and records tell them."""

from __future__ import annotations

import pytest

from assay.engine.fitting.faults import fault_of, said


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("too few"), "ValueError: too few"),
        (ValueError(), "ValueError"),
        (StopIteration(), "StopIteration"),
    ],
)
def test_an_error_without_a_text_is_told_by_its_type(error: Exception, line: str) -> None:
    assert said(error) == line


def test_an_error_that_cannot_say_its_text_is_told_by_its_type() -> None:
    mute = type("Mute", (MemoryError,), {"__str__": None})
    assert fault_of(mute(), "segdec").reason == "Mute: its text cannot be read (TypeError in its `__str__`)"
