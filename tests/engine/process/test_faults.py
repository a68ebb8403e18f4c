"""Errors of a method in a line, as logs and records tell them."""

from __future__ import annotations

import pytest
import torch.distributed as dist

from assay.engine.errors import PeerLostError, error_line, fault_of
from assay.engine.worker.ranks import collective


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("too few"), "ValueError: too few"),
        (ValueError(), "ValueError"),
        (StopIteration(), "StopIteration"),
    ],
)
def test_an_error_without_a_text_is_told_by_its_type(error: Exception, line: str) -> None:
    assert error_line(error) == line


def test_an_error_that_cannot_say_its_text_is_told_by_its_type() -> None:
    mute = type("Mute", (MemoryError,), {"__str__": None})
    assert fault_of(mute(), "segdec").reason == "Mute: its text cannot be read (TypeError in its `__str__`)"


def test_an_exchange_after_the_group_of_workers_has_ended_is_a_lost_peer_and_no_error_of_the_method() -> None:
    with pytest.raises(PeerLostError, match="process group has not been initialized"), collective():
        dist.barrier()
