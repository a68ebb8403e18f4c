"""What a run on a cluster of others says while it waits for room, and when a node leaves."""

from __future__ import annotations

import pytest
from ray.tune.experiment import Trial

from assay.engine.cluster.capacity_watch import NodeWatch, RoomWatch
from assay.engine.on_ray.driver import AT_WORK


def _in_state(status: str) -> Trial:
    trial = Trial("BatchDriver", stub=True)
    trial.status = status
    return trial


def test_a_run_without_room_says_so_once_and_when_it_has_some(monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[str] = []
    watch, now = RoomWatch(words.append), [0.0]
    monkeypatch.setattr("assay.engine.cluster.capacity_watch.time.monotonic", lambda: now[0])
    waits, works, ended = (_in_state(state) for state in (Trial.PENDING, Trial.RUNNING, Trial.TERMINATED))
    for seconds, trials, told in (
        (1, [waits], 0),
        (20, [waits, ended], 0),
        (40, [waits, ended], 1),
        (99, [waits], 1),
        (100, [waits, works], 2),
        (200, [waits, works], 2),
        (201, [waits], 2),
        (240, [waits], 3),
    ):
        now[0] = float(seconds)
        watch.on_step_end(1, trials)
        assert len(words) == told, seconds
    assert words[0].startswith("no trial has trained for 39 s: the cluster has no room")
    assert words[1] == "trials train again"


def test_workers_without_room_are_missed_though_their_driver_is_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words: list[str] = []
    watch, now, driver = RoomWatch(words.append), [0.0], _in_state(Trial.RUNNING)
    monkeypatch.setattr("assay.engine.cluster.capacity_watch.time.monotonic", lambda: now[0])
    for seconds, room, told in ((1, False, 0), (20, False, 0), (40, False, 1), (50, True, 2), (60, True, 2)):
        now[0] = float(seconds)
        driver.update_last_result({AT_WORK: room, "training_iteration": 1})
        watch.on_step_end(1, [driver])
        assert len(words) == told, seconds
    now[0] = 200.0
    watch.on_step_end(1, [_in_state(Trial.TERMINATED)])
    assert len(words) == 2, "nothing is left to train"


def test_a_node_that_leaves_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[str] = []
    names = [["a" * 56, "b" * 56], ["a" * 56], ["a" * 56, "c" * 56]]
    looks = [{name: {"NodeManagerHostname": "here"} for name in look} for look in names]
    monkeypatch.setattr("assay.engine.cluster.capacity_watch._POLL_SECONDS", 0.0)
    monkeypatch.setattr("assay.engine.cluster.capacity_watch.staying_nodes", lambda: looks.pop(0))
    watch = NodeWatch(words.append)
    for _ in names:
        watch.on_step_end(1, [])
    assert words == [
        "node bbbbbbbb on here left the cluster, or is to be taken away: what it trained goes on elsewhere"
    ]
