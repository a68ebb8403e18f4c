"""Exchanges between the workers of one trial, of whom each has a rank; with one worker there is none.

Loads ``torch.distributed`` where there are several, and nothing otherwise.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["PeerLostError", "collective", "from_rank_0", "of_all_ranks", "wait_for_all"]

_T = TypeVar("_T")


class PeerLostError(ConnectionError):
    """Another worker of this trial is gone: killed, out of memory, or on a lost node."""


@contextmanager
def collective() -> Generator[None]:
    """Around each exchange between workers: its failure is the machine's, not the trial's.

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
        dist.broadcast_object_list(answer, src=0)
    return answer[0]


def of_all_ranks(value: _T, world_size: int) -> list[_T]:
    """Give every rank what each has, in the order of the ranks.

    Raises:
        PeerLostError: If another worker is gone.
    """
    values = [value] * world_size
    if world_size > 1:
        import torch.distributed as dist

        with collective():
            dist.all_gather_object(values, value)
    return values


def wait_for_all(world_size: int) -> None:
    """Wait until every rank has come so far.

    Raises:
        PeerLostError: If another worker is gone.
    """
    if world_size > 1:
        import torch.distributed as dist

        with collective():
            dist.barrier()
