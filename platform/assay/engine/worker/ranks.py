"""Exchanges between the workers of one trial, of whom each has a rank; with one worker there is none.

Loads ``torch.distributed`` where there are several, and nothing otherwise.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from assay.engine.errors import PeerLostError

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["collective", "from_rank_0", "gather_from_ranks", "wait_for_all"]

_T = TypeVar("_T")
_WAIT = timedelta(days=7)  # gloo's milliseconds end at 24 days
_PATIENT: dict[str, Any] = {}  # the group in which the workers met, and the one made of it


@contextmanager
def collective() -> Generator[None]:
    """Guard an exchange between workers: its failure is the machine's, not the trial's.

    gloo reports a killed peer as a plain RuntimeError, and torch a group that Train ended meanwhile, since a
    worker is gone, as a ValueError. Both would otherwise pass for the method's own.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise PeerLostError(f"another worker of the trial is gone: {error}") from error


def from_rank_0(value: _T, world_size: int) -> _T:
    """Give every rank what rank 0 has: two looks at a storage may differ.

    Raises:
        PeerLostError: If another worker is gone.
    """
    if world_size == 1:
        return value
    import torch.distributed as dist

    answer = [value]
    with collective():
        dist.broadcast_object_list(answer, src=0, group=_patient())
    return answer[0]


def gather_from_ranks(value: _T, world_size: int) -> list[_T]:
    """Give every rank what each has, in the order of the ranks.

    Raises:
        PeerLostError: If another worker is gone.
    """
    values = [value] * world_size
    if world_size > 1:
        import torch.distributed as dist

        with collective():
            dist.all_gather_object(values, value, group=_patient())
    return values


def wait_for_all(world_size: int) -> None:
    """Wait until every rank has come so far.

    Raises:
        PeerLostError: If another worker is gone.
    """
    if world_size > 1:
        import torch.distributed as dist

        with collective():
            dist.barrier(group=_patient())


def _patient() -> ProcessGroup:
    """Group of all workers that waits longer than the half hour of the one in which they met.

    While rank 0 evaluates, the others wait. Train itself notices a worker that died.
    """
    import torch.distributed as dist

    world = dist.group.WORLD
    if _PATIENT.get("world") is not world:
        _PATIENT.update(world=world, group=dist.new_group(timeout=_WAIT, backend="gloo"))
    return _PATIENT["group"]
