"""Says of a cluster what Ray keeps quiet about: that nothing trains for want of room, that a node left."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from assay.engine.room import staying_nodes
from assay.engine.tune_manners import Unkept

__all__ = ["NodeWatch", "RoomWatch"]

_SILENT_SECONDS = 30.0  # a driver takes a few to start
_LOOK_SECONDS = 2.0  # between two looks at workers, or at nodes
_ID_CHARACTERS = 8


class RoomWatch(Unkept, Callback):
    """Looks at Tune's drivers after each of its steps, on a cluster that others may use, too."""

    def __init__(self, say: Callable[[str], None], placed: Callable[[], bool] | None = None) -> None:
        """``placed``: whether any trial's workers have room, where those have it, and not the drivers."""
        self._say, self._placed = say, placed
        self._looked = -_LOOK_SECONDS
        self._since: float | None = None  # time from which on trials wait and none is at work
        self._announced = False

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        states, now = {trial.status for trial in trials}, time.monotonic()
        if self._placed is None:
            waits = Trial.PENDING in states and Trial.RUNNING not in states
        elif now - self._looked < _LOOK_SECONDS:
            return
        else:
            self._looked = now
            waits = not states.isdisjoint({Trial.PENDING, Trial.RUNNING}) and not self._placed()
        if not waits:
            if self._announced:
                self._say("the cluster has room again")
            self._since, self._announced = None, False
            return
        self._since = self._since or now
        if not self._announced and now - self._since >= _SILENT_SECONDS:
            self._announced = True
            self._say(
                f"the cluster has had no room for a trial for {now - self._since:.0f} s: other programs use "
                "it (`ray status` shows what is taken), or its nodes have left. Waiting"
            )


class NodeWatch(Unkept, Callback):
    """Looks at the nodes of a cluster after Tune's steps."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._looked = say, -_LOOK_SECONDS
        self._hosts: dict[str, str] = {}  # of the nodes that stay, by id

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        before = self._hosts
        self._hosts = {name: str(node["NodeManagerHostname"]) for name, node in staying_nodes().items()}
        for name in before.keys() - self._hosts.keys():
            self._say(
                f"node {name[:_ID_CHARACTERS]} on {before[name]} left the cluster, or is to be taken away: "
                "what it trained goes on elsewhere"
            )
