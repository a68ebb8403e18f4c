"""The ``Searcher`` that hands batches to Tune, for plans and searches, so that Tune gives concurrency,
retries and stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray.tune import Stopper
from ray.tune.search import Searcher

from assay.engine.on_ray.tune_settings import HiddenCredentials, Unkept
from trainables.errors import StorageError

if TYPE_CHECKING:  # drivers name what is here, and need none of it
    from assay.engine.order import RunBatches

__all__ = ["STORAGE", "BatchSearcher", "StorageStopper"]

STORAGE = "storage_trouble"  # in a result: why the batch's storage could not be used; the study ends with it


class BatchSearcher(Unkept, Searcher):
    """Hands out batches as they come, then ends the experiment.

    Tune learns ids only: configs would land in its folder names and result files. Its own bound of what
    trains at once is fixed at the start, and a cluster may grow.
    """

    def __init__(self, batches: RunBatches, credentials: HiddenCredentials) -> None:
        super().__init__(metric="value", mode=batches.mode)
        self._batches, self._credentials = batches, credentials
        self.over = False  # whether all batches were handed out
        self.storage_trouble: str | None = None  # nothing is handed out any more
        self._trials_of: dict[str, set[str]] = {}  # Tune's trial → ids of ours

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        if len(self._trials_of) >= self._batches.slots():
            return None
        try:
            with self._credentials.shown():  # a search may ask a server that wants them
                return self._next_batch(trial_id)
        except StorageError as error:
            self.storage_trouble = str(error)
        except StopIteration:
            self.over = True
        return Searcher.FINISHED  # pyright: ignore[reportReturnType]

    def _next_batch(self, trial_id: str) -> dict[str, Any] | None:
        if self.storage_trouble is not None:
            raise StorageError(self.storage_trouble)
        tasks = next(self._batches.upcoming)
        if tasks is None:
            return None
        self._trials_of[trial_id] = {entry.id for entry in tasks}
        self._batches.in_flight |= self._trials_of[trial_id]
        return self._batches.write_folder(tasks)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Forget the batch: its records say how it ended, unless the storage was in the way."""
        self.give_up((result or {}).get(STORAGE))
        self._batches.in_flight -= self._trials_of.pop(trial_id, set())

    def give_up(self, trouble: str | None) -> None:
        """Hand out nothing more if there is ``trouble`` with the storage; the first is what is told."""
        self.storage_trouble = self.storage_trouble or trouble

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing, though Tune asks for it: the records are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: every run starts a fresh Tuner over what is missing."""


class StorageStopper(Unkept, Stopper):
    """Ends all batches with the first one that had trouble with the storage, as ``--local`` does."""

    def __init__(self, searcher: BatchSearcher) -> None:
        self._searcher = searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._searcher.storage_trouble is not None
