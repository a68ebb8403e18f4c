"""Values that are computed once, whoever asks for them, from whatever thread."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Computed"]

_T = TypeVar("_T")


class Computed:
    """Values by name, each made when it is first asked for."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def once(self, name: str, make: Callable[[], _T]) -> _T:
        """The value that ``make`` returned when ``name`` was first asked for; it may ask for other names."""
        with self._lock:
            lock = self._locks[name]
        with lock:  # of the name: who reads predictions keeps nobody from the other numbers
            if name not in self._values:
                self._values[name] = make()
            return self._values[name]
