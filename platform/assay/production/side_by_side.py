"""Decisions on batches of photos in threads of their own: on a CPU two at once, with half of the cores each.

A network's operations are short, and each waits for all its threads. Two batches that wait for nobody need
less CPU for the same answers than one batch on all cores, above all where other programs run. More at once
would hold more activations in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.runtime.deployed import Card, Decision

__all__ = ["PhotoModel", "SideBySide"]


class PhotoModel(Protocol):
    """A trained model that decides photos: a trial's own, or one that was exported."""

    @property
    def card(self) -> Card: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def sees_stored(self) -> bool: ...

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]: ...

    def decide(self, images: Sequence[NDArray[np.uint8]]) -> Decision: ...

    def twin(self) -> PhotoModel:
        """The same model, for another thread."""
        ...


class SideBySide:
    """A model that decides batches from entering to leaving a ``with`` block; ``count`` of them at once."""

    def __init__(self, model: PhotoModel, batches: int) -> None:
        """``batches``: to come, at least one."""
        self._threads = torch.get_num_threads()
        self.count = 2 if model.device.type == "cpu" and self._threads > 1 and batches > 1 else 1
        self._models: SimpleQueue[PhotoModel] = SimpleQueue()
        self._models.put(model)
        if self.count > 1:
            self._models.put(model.twin())
        threads = self._threads // self.count
        self._pool = ThreadPoolExecutor(self.count, "assay-score", torch.set_num_threads, (threads,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._threads)  # also that of threads to come

    def decide(self, images: Sequence[NDArray[np.uint8]]) -> Future[Decision]:
        """Score and decide prepared images, as :meth:`PhotoModel.decide` does."""
        return self._pool.submit(self._decide, images)

    def _decide(self, images: Sequence[NDArray[np.uint8]]) -> Decision:
        model = self._models.get()
        try:
            return model.decide(images)
        finally:
            self._models.put(model)
