"""Slips that pydantic finds, in the words of all messages: what a value should be."""

from __future__ import annotations

from pydantic_core import ErrorDetails

__all__ = ["rule_of"]

_KINDS = {  # beginning of pydantic's name of a slip → what the value should be
    "int_": "a whole number",
    "float_": "a number",
    "finite_number": "a finite number",
    "bool_": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_LIMITS = {"too_short": ("at least", "min_length"), "too_long": ("at most", "max_length")}


def rule_of(detail: ErrorDetails) -> str:
    """``should be a whole number``, ``should be a list of at least 1 value``; of a validator its own text."""
    slip, limits = detail["type"], detail.get("ctx", {})
    if slip == "missing":
        return "is missing"
    if slip.removeprefix("string_") in _LIMITS:
        words, limit = _LIMITS[slip.removeprefix("string_")]
        whole, part = ("text", "character") if slip.startswith("string_") else ("a list", "value")
        if limits.get("field_type") == "Dictionary":
            whole, part = "a mapping", "key"
        return f"should be {whole} of {words} {limits[limit]:,} {part}{'s' * (limits[limit] != 1)}"
    if slip == "string_pattern_mismatch":
        return f"should match the regular expression `{limits['pattern']}`"
    for beginning, kind in _KINDS.items():
        if slip.startswith(beginning):
            return f"should be {kind}"
    return detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
