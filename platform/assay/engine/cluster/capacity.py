"""Nodes of a cluster: how many workers they hold, and which of them are to be taken away."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from math import floor
from typing import Any

__all__ = ["DrainNotice", "staying_nodes", "workers_on"]

_ROUNDING = 1e-9  # of fractions of a GPU
_DRAINING = "DRAINING"
_NOTICE_SECONDS = 2.0  # between two questions about nodes that are to be taken away, and for each node more:
_NODE_SECONDS = 0.1


def workers_on(node: Mapping[str, float], cpus: float, gpus: float) -> int:
    """Count the workers that fit into the resources of a node, which has them by Ray's names.

    Args:
        node: ``CPU`` and ``GPU``; what is missing is 0.
        cpus: Cores of each worker.
        gpus: GPUs of each worker. A fraction lies on one GPU: two GPUs hold four workers of 0.4, not five.
    """
    fit = floor(node.get("CPU", 0) / cpus + _ROUNDING)
    if not gpus:
        return fit
    whole, part = divmod(node.get("GPU", 0) + _ROUNDING, 1)
    if gpus >= 1:
        return min(fit, floor(whole / gpus + _ROUNDING))
    return min(fit, int(whole) * floor(1 / gpus + _ROUNDING) + floor(part / gpus + _ROUNDING))


def staying_nodes() -> dict[str, dict[str, Any]]:
    """The nodes that can be given work, by their ids: Ray gives none to one that is to be taken away."""
    import ray

    states = _states()
    return {
        node["NodeID"]: node
        for node in ray.nodes()
        if node["Alive"] and states.get(node["NodeID"]) != _DRAINING
    }


class DrainNotice:
    """Tells whether one of some nodes is to be taken away (a spot machine, or one that nobody needs).

    A trial asks once a second. One head answers the trials of all nodes, with a line for each node, so it is
    not asked as often.
    """

    def __init__(self, nodes: Collection[str]) -> None:
        self._nodes, self._next, self._drained = tuple(nodes), 0.0, False

    def __call__(self) -> bool:
        if not self._drained and time.monotonic() >= self._next:
            states = _states()
            self._drained = any(states.get(node) == _DRAINING for node in self._nodes)
            self._next = time.monotonic() + max(_NOTICE_SECONDS, _NODE_SECONDS * len(states))
        return self._drained


def _states() -> dict[str, str]:
    """States of the nodes by id, as the autoscaler's SDK knows them, also where no autoscaler runs.

    None is known where a release of Ray has no such SDK, or the head does not answer now. What is to be taken
    away is then lost as by a crash.
    """
    import ray
    from ray.exceptions import RayError

    try:
        from ray.autoscaler.v2.sdk import get_cluster_status

        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        return {str(node.node_id): str(node.node_status) for node in status.active_nodes + status.idle_nodes}
    except (ImportError, AttributeError, TypeError, RuntimeError, RayError) as error:
        logging.getLogger(__name__).info("which nodes are to be taken away is not known: %s", error)
        return {}
