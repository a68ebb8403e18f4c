"""Workers that fail, or end because more of them have room, as Train sees it."""

from __future__ import annotations

import pytest
from ray.train import FailureConfig
from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError, WorkerGroupStartupTimeoutError
from ray.train.v2._internal.execution.failure_handling import FailureDecision
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from assay.engine.errors import MoreRoomError, NotBegunError, PeerLostError
from assay.engine.retries import MAX_ATTEMPTS
from assay.engine.train import _FailurePolicy
from trainables.errors import StorageError


@pytest.mark.parametrize(
    ("failures", "decision"),
    [
        ([MoreRoomError("more")], FailureDecision.RETRY),
        ([MoreRoomError("more"), PeerLostError("the first rank is gone")], FailureDecision.RETRY),
        ([PeerLostError("a rank is gone")], FailureDecision.RAISE),
    ],
)
def test_workers_that_end_for_more_room_use_up_no_failure(
    failures: list[Exception], decision: FailureDecision
) -> None:
    policy = _FailurePolicy(FailureConfig(max_failures=0))
    error = WorkerGroupError("they ended", dict(enumerate(failures)))
    assert [policy.make_decision(error) for _ in range(3)] == [decision] * 3


@pytest.mark.parametrize(
    ("failure", "decision"),
    [
        (PeerLostError("a rank is gone"), FailureDecision.RETRY),
        (StorageError("the disk is full"), FailureDecision.RAISE),
        (NotBegunError("the storage is not there"), FailureDecision.RAISE),
    ],
)
def test_workers_that_no_other_start_helps_are_not_started_again(
    failure: Exception, decision: FailureDecision
) -> None:
    policy = _FailurePolicy(FailureConfig(max_failures=9))
    assert policy.make_decision(WorkerGroupError("they ended", {0: failure})) == decision


def test_workers_that_die_while_they_start_are_started_four_times() -> None:
    policy = _FailurePolicy(FailureConfig(max_failures=9))
    died = ControllerError(WorkerGroupStartupFailedError("a worker died"))
    waits = ControllerError(WorkerGroupStartupTimeoutError(2))
    again = [policy.make_decision(error) for error in [died] * (MAX_ATTEMPTS - 1) + [waits] * 20]
    assert set(again) == {FailureDecision.RETRY}  # no room is no death, and may be waited for
    ends = [policy.make_decision(died) for _ in range(MAX_ATTEMPTS)]
    assert ends == [FailureDecision.RETRY] * (MAX_ATTEMPTS - 1) + [FailureDecision.RAISE]
