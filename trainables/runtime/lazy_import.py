"""Functions of modules that import torch, named without importing them: a method is planned before it trains.

>>> fit = LazyFunction("trainables.segdec.fit:fit")
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

__all__ = ["LazyFunction"]


@dataclass(frozen=True)
class LazyFunction:
    """A function that is imported when it is first called."""

    place: str  # `trainables.segdec.fit:fit`

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        module, _, name = self.place.partition(":")
        return getattr(import_module(module), name)(*arguments, **named)
