"""Patience with a store that is silent, one for all who ask it together.

Were it counted for each request anew, a run whose requests come one after the other would outlast a server
that is gone by many minutes. A request has no more than that for itself: a store may answer who reads while
it takes nothing.
"""

from __future__ import annotations

import time

__all__ = ["Patience"]


class Patience:
    """Counts from the first request without an answer, whoever asked, until the next answer.

    Args:
        seconds: For which a store that does not answer is asked again.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._silent_since: float | None = None

    def renew(self) -> None:
        """Note an answer."""
        self._silent_since = None

    def is_over(self, began: float) -> bool:
        """Note a request without an answer, first made at ``began`` (monotonic); True: it lasted too long."""
        before = self._silent_since
        self._silent_since = since = began if before is None else min(before, began)
        return time.monotonic() - since >= self._seconds
