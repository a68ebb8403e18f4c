"""Work on one thing in a thread, beside the making of the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["beside"]

_T = TypeVar("_T")


def beside(work: Callable[[_T], None], items: Iterable[_T]) -> None:
    """Do ``work`` on each item in its order, in one thread, while the caller's thread makes the next item.

    One item waits at most, and one is worked on. An error of ``items`` or of ``work``, or Ctrl-C, ends both:
    the item that is worked on is finished first.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="beside") as thread:
        before: Future[None] | None = None
        for item in items:
            if before is not None:
                before.result()
            before = thread.submit(work, item)
        if before is not None:
            before.result()
