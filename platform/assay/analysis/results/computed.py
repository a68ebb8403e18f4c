"""Values that are computed once, whoever asks for them, from whatever thread."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

__all__ = ["Computed", "computed"]

_T = TypeVar("_T")
_P = ParamSpec("_P")


class Computed:
    """Values by name, each made when it is first asked for."""

    def __init__(self) -> None:
        self._values: dict[Hashable, Any] = {}
        self._locks: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def once(self, name: Hashable, make: Callable[[], _T]) -> _T:
        """The value that ``make`` returned when ``name`` was first asked for; it may ask for other names."""
        # The lock of all names is held only to find the lock of one: two names are then made at the same
        # time.
        with self._lock:
            lock = self._locks[name]
        with lock:  # of the name: who reads predictions keeps nobody from the other numbers
            if name not in self._values:
                self._values[name] = make()
            return self._values[name]


class _KeepsValues(Protocol):
    @property
    def computed(self) -> Computed: ...


_KeeperT = TypeVar("_KeeperT", bound=_KeepsValues)


def computed(
    make: Callable[Concatenate[_KeeperT, _P], _T],
) -> Callable[Concatenate[_KeeperT, _P], _T]:
    """Keep what a function makes of a study's results with these results, for each set of arguments.

    So the results need not know who computes what from them:

    >>> @computed
    ... def shown(results: StudyResults, metric: str) -> int:
    ...     return sum(result.verdict == "shown" for result in study_analysis(results).comparisons)
    """
    name = make.__module__, make.__qualname__

    @wraps(make)
    def kept(results: _KeeperT, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        # The function's place is part of the key: two modules may have a function of the same name.
        key = (*name, args, tuple(sorted(kwargs.items())))
        return results.computed.once(key, lambda: make(results, *args, **kwargs))

    return kept
