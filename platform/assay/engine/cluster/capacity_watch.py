"""Says of a cluster what Ray keeps quiet about: that nothing trains, and that a node left."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from assay.engine.cluster.capacity import staying_nodes
from assay.engine.on_ray.driver import AT_WORK
from assay.engine.on_ray.tune_settings import Unkept

__all__ = ["NodeWatch", "RoomWatch"]

_SILENT_SECONDS = 30.0  # a driver takes a few to start
_POLL_SECONDS = 2.0  # between two polls of nodes
_ID_CHARACTERS = 8


class RoomWatch(Unkept, Callback):
    """Looks at Tune's drivers after each of its steps, on a cluster that others may use, too."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._since: float | None = None  # time from which on trials wait and none is at work
        self._announced = False

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        now = time.monotonic()
        live = [trial for trial in trials if trial.status in (Trial.PENDING, Trial.RUNNING)]
        # Where several workers have the room, and not their driver, the driver says whether they have it.
        at_work = [trial.status == Trial.RUNNING and trial.last_result.get(AT_WORK, True) for trial in live]
        if not live or any(at_work):
            if self._announced:
                self._say("trials train again")
            self._since, self._announced = None, False
            return

        # A driver takes seconds to start, so a shortage is announced only after a while, and once.
        self._since = self._since or now
        if not self._announced and now - self._since >= _SILENT_SECONDS:
            self._announced = True
            self._say(
                f"no trial has trained for {now - self._since:.0f} s: the cluster has no room (`ray status` "
                "shows what other programs take), its nodes have left, or start processes slowly. Waiting"
            )


class NodeWatch(Unkept, Callback):
    """Looks at the nodes of a cluster after Tune's steps."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._polled = say, -_POLL_SECONDS
        self._hosts: dict[str, str] = {}  # of the nodes that stay, by id

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if time.monotonic() - self._polled < _POLL_SECONDS:
            return
        self._polled = time.monotonic()
        before = self._hosts
        self._hosts = {name: str(node["NodeManagerHostname"]) for name, node in staying_nodes().items()}
        for name in before.keys() - self._hosts.keys():
            self._say(
                f"node {name[:_ID_CHARACTERS]} on {before[name]} left the cluster, or is to be taken away: "
                "what it trained goes on elsewhere"
            )
