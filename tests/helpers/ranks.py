"""Two ranks of a training over gloo, forked from a process that has imported torch and what they train."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist

__all__ = ["two_ranks"]

_PATIENCE = 300.0  # seconds
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "tests.helpers.two_workers",
        "tests.cam.two_workers",
        "tests.engine.worker.two_workers",
        "tests.focus.two_workers",
    ]
)


@contextmanager
def two_ranks(train: Callable[..., None], folder: Path, *more: str) -> Iterator[None]:
    """Run ``train(rank, 2, folder, *more)`` for both ranks beside the block, and wait for their ends."""
    ranks = [_FORKS.Process(target=_run, args=(train, rank, folder, *more), daemon=True) for rank in (0, 1)]
    for rank in ranks:
        rank.start()
    yield
    for rank in ranks:
        rank.join(_PATIENCE)
        assert rank.exitcode == 0, f"a rank ended with {rank.exitcode}"


def _run(train: Callable[..., None], rank: int, folder: Path, *more: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    train(rank, 2, folder, *more)
