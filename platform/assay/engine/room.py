"""Room for workers on the nodes of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor
from typing import Any

__all__ = ["free_workers", "staying_nodes", "workers_on"]

_ROUNDING = 1e-9  # of fractions of a GPU


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
    from ray._private import state

    leaving = state.state.get_draining_nodes()
    return {node["NodeID"]: node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in leaving}


def free_workers(cpus: float, gpus: float) -> int:
    """Count the workers that have room beside all that is at work now, on nodes that stay.

    What ended in the last second may still count as being at work.
    """
    from ray._private import state

    free = state.state.available_resources_per_node()
    return sum(workers_on(free[name], cpus, gpus) for name in staying_nodes().keys() & free.keys())
