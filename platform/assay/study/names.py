"""Names of studies, factors and levels, and numbers of things."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, StringConstraints, WithJsonSchema

from trainables.data.inspect.findings import counted

__all__ = ["LEFT_OUT", "NAME_PATTERN", "Name", "count_of_planned", "counted", "from_to"]

NAME_PATTERN = r"^[a-z0-9_-]{1,64}$"
LEFT_OUT = frozenset({"off", "no", "false", "none", "without"})  # levels without the part


def _as_written(value: Any) -> Any:
    """YAML reads the level names ``5`` and ``true`` as a number and a truth value; here they are words."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


def from_to(numbers: Iterable[int]) -> str:
    """``6 to 12``, of equal numbers ``6``; there is at least one."""
    known = set(numbers)
    return " to ".join(map(str, dict.fromkeys((min(known), max(known)))))


def count_of_planned(number: int, planned: int) -> str:
    """``10``, or ``9 of 10``."""
    return str(number) if number == planned else f"{number} of {planned}"


Name = Annotated[
    str,
    BeforeValidator(_as_written),
    StringConstraints(pattern=NAME_PATTERN),
    WithJsonSchema({"type": ["string", "integer", "boolean"], "pattern": NAME_PATTERN}),
]
