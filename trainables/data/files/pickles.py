"""Lists in Python's pickle format, read without unpickling: a pickle is a program, and none of it is run.

``pickletools.genops`` names the instructions of a file one by one. Those that build lists, tuples, texts,
numbers and truth values are followed here. Every other one is refused: it could import a module or call a
function, and no list needs it.
"""

from __future__ import annotations

import pickletools
from typing import Any

from trainables.errors import InputError

__all__ = ["read_plain_pickle"]

_TEXTS = frozenset(
    ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING")
)
_NUMBERS = frozenset(
    ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")  # INT: truth, too
)
_TRUTH = {"NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}  # values from the top of the stack
_MARK = object()  # where the values of a longer list or tuple begin on the stack


def read_plain_pickle(content: bytes, name: str) -> Any:
    """The lists, tuples, texts, numbers and truth values of a pickle; nothing in it is run.

    Args:
        content: Bytes of the file, of any protocol.
        name: What messages call the file.

    Raises:
        InputError: If it holds anything else, or is no whole pickle.
    """
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    try:
        for opcode, argument, _ in pickletools.genops(content):
            match opcode.name:
                case "PROTO" | "FRAME":
                    pass
                case "MARK":
                    stack.append(_MARK)
                case "EMPTY_LIST":
                    stack.append([])
                case "LIST":
                    stack.append(_above_mark(stack))
                case "APPENDS":
                    values = _above_mark(stack)
                    stack[-1].extend(values)
                case "APPEND":
                    value = stack.pop()
                    stack[-1].append(value)
                case "TUPLE":
                    stack.append(tuple(_above_mark(stack)))
                case "EMPTY_TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3" as operation:
                    at = len(stack) - _TUPLES[operation]
                    if at < 0:
                        raise IndexError
                    stack[at:] = [tuple(stack[at:])]
                case "MEMOIZE":
                    memo[len(memo)] = stack[-1]
                case "PUT" | "BINPUT" | "LONG_BINPUT":
                    memo[argument] = stack[-1]
                case "GET" | "BINGET" | "LONG_BINGET":
                    stack.append(_again(memo[argument], name))
                case "STOP":
                    return stack.pop()
                case operation if operation in _TRUTH:
                    stack.append(_TRUTH[operation])
                case operation if operation in _TEXTS or operation in _NUMBERS:
                    stack.append(argument)
                case operation:
                    raise InputError(
                        f"{name} is never unpickled, and read for lists, tuples, texts, numbers and truth "
                        f"values alone: found the instruction {operation}. Fetch the makers' file again."
                    )
    except InputError:
        raise
    except (ValueError, IndexError, KeyError, AttributeError) as error:  # damage, seen by genops or here
        raise InputError(f"{name} is no whole pickle of lists. Fetch the makers' file again.") from error
    raise AssertionError("genops ends with STOP, or raises")


def _above_mark(stack: list[Any]) -> list[Any]:
    """Take the values above the last mark off the stack, and the mark."""
    at = max(index for index, value in enumerate(stack) if value is _MARK)
    values = stack[at + 1 :]
    del stack[at:]
    return values


def _again(value: Any, name: str) -> Any:
    """A text, number or pair that the file uses once more. Lists of lists would make a small file endless."""
    parts = value if isinstance(value, tuple) else ()
    if isinstance(value, list) or len(parts) > 3 or any(isinstance(part, list | tuple) for part in parts):
        raise InputError(
            f"{name} uses one list several times, which the makers' files do not. Fetch the file again."
        )
    return value
