"""Coroutines in tests, beside Playwright, whose loop runs in the main thread from the first browser on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import anyio

__all__ = ["run_apart"]

_T = TypeVar("_T")


def run_apart(work: Callable[[], Awaitable[_T]]) -> _T:
    """Run a coroutine function in a thread of its own, and return what it returns."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(anyio.run, work).result()
