"""How long a store that is silent is asked again."""

from __future__ import annotations

import time

import pytest

from assay.storage.files.object_client import Patience


@pytest.mark.parametrize("answered", [False, True], ids=["silent", "others are answered"])
def test_a_request_ends_when_its_own_tries_have_lasted_that_long(answered: bool) -> None:
    patience = Patience(60)
    if answered:
        patience.renew()
    assert patience.is_over(time.monotonic() - 61)


def test_a_request_inherits_the_silence_that_others_have_met() -> None:
    patience = Patience(60)
    assert not patience.is_over(time.monotonic() - 59.5)
    time.sleep(0.6)
    assert patience.is_over(time.monotonic())


def test_an_answer_ends_the_silence_for_all() -> None:
    patience = Patience(60)
    assert not patience.is_over(time.monotonic() - 59)
    patience.renew()
    assert not patience.is_over(time.monotonic())
