"""The ``Searcher`` that hands packs to Tune, for plans and searches, so that Tune gives concurrency, retries
and stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ray.tune.search import Searcher

from assay.engine.packs import Content
from trainables.errors import StorageError

__all__ = ["STORAGE", "PackSearcher"]

STORAGE = "storage_trouble"  # in a result: why the pack's storage could not be used; the study ends with it

Packs = Iterator[Content | None]


class PackSearcher(Searcher):
    """Hands out packs as they come, then ends the experiment.

    Tune learns ids only: configs would land in its folder names and result files.

    Args:
        packs: The trials of one pack after the other; None where the next one waits for what is training:
            Tune then asks again.
        write_folder: Writes a pack where the driver finds it; returns the driver's config.
        in_flight: Is kept at the ids of the trials that are handed out and not over.
        mode: ``max`` or ``min``: which values are better, for a pruner.
        slots: How many packs may train at once, as of now. Tune's own bound is fixed at the start, and a
            cluster may grow.
    """

    def __init__(
        self,
        packs: Packs,
        write_folder: Callable[[Content], dict[str, Any]],
        in_flight: set[str],
        mode: str,
        slots: Callable[[], int],
    ) -> None:
        super().__init__(metric="value", mode=mode)
        self._packs, self._write_folder, self._in_flight = packs, write_folder, in_flight
        self._slots = slots
        self.over = False  # whether all packs were handed out
        self.storage_trouble: str | None = None  # nothing is handed out any more
        self._trials_of: dict[str, set[str]] = {}  # Tune's trial → ids of ours

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its parts into its scratch and never reads them: nothing of ours goes there."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        if len(self._trials_of) >= self._slots():
            return None
        try:
            return self._next_pack(trial_id)
        except StorageError as error:
            self.storage_trouble = str(error)
        except StopIteration:
            self.over = True
        return Searcher.FINISHED  # pyright: ignore[reportReturnType]

    def _next_pack(self, trial_id: str) -> dict[str, Any] | None:
        if self.storage_trouble is not None:
            raise StorageError(self.storage_trouble)
        trials = next(self._packs)
        if trials is None:
            return None
        self._trials_of[trial_id] = {trial.id for trial in trials}
        self._in_flight |= self._trials_of[trial_id]
        return self._write_folder(trials)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The records say how it ended, unless the storage was in the way."""
        self.storage_trouble = self.storage_trouble or (result or {}).get(STORAGE)
        self._in_flight -= self._trials_of.pop(trial_id, set())

    def save(self, checkpoint_path: str) -> None:
        """Tune asks for it; the records are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called: every run starts a fresh Tuner over what is missing."""
