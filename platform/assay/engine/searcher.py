"""What hands packs to Tune: one ``Searcher`` for plans, so that Tune gives concurrency, retries and stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.tune.search import Searcher

__all__ = ["PackSearcher"]


class PackSearcher(Searcher):
    """Hands out the packs of a plan in order, then ends the experiment.

    Tune learns ids only: configs would land in its folder names and result files.
    """

    def __init__(self, configs: Sequence[dict[str, Any]]) -> None:
        super().__init__(metric="value", mode="max")
        self._waiting = list(configs)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        return self._waiting.pop(0) if self._waiting else Searcher.FINISHED  # pyright: ignore[reportReturnType]

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The records say how it ended."""

    def save(self, checkpoint_path: str) -> None:
        """Tune asks for it; the records are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called: every run starts a fresh Tuner over what is missing."""
