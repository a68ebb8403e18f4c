"""The shape of a method of the user's own: what its Trainable has to be, and what its hooks may return.

A method is often written without a type checker, and a mistake in it would show up as an error inside the
plan, which names no line of its code.
"""

from __future__ import annotations

import inspect
import math
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from types import NoneType
from typing import Any, NamedTuple, get_args

import numpy as np

from trainables.contract import Grid, MaskTarget, TrainableConfig
from trainables.data.spec import SupervisionKind
from trainables.errors import InputError
from trainables.stages import Stage

__all__ = ["HOOKS", "broken_rule", "is_called_as", "refuse_name", "refuse_shape", "taken"]

_NAME = re.compile(r"[a-z0-9_-]{1,64}")  # of a method: it stands in tables and in paths of the storage
_REPR = reprlib.Repr()
_REPR.maxother = 80  # a whole Grid


class _Returned(NamedTuple):
    words: str
    fits: Callable[[Any], bool]  # the value, or each of its elements
    several: bool = False


def _of(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


def _is_objection(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_of(str), value))


def _is_whole(value: Any, lowest: int) -> bool:
    return isinstance(value, (int, np.integer)) and lowest <= int(value) < 2**63


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and _is_whole(value, 0)


def _is_grid(value: Any) -> bool:
    if not isinstance(value, Grid):
        return value is None
    sides = ((value.stride, 1), (value.window, 0), (value.dilation, 0))
    first = value.first
    return all(_is_whole(*side) for side in sides) and isinstance(first, Real) and math.isfinite(first)


def _is_predictor(value: Any) -> bool:
    return all(callable(getattr(value, name, None)) for name in ("predict", "save", "to"))


_TEXTS = _Returned("a sequence of texts", _of(str), several=True)
HOOKS: Mapping[str, _Returned] = {
    "load": _Returned("a predictor", _is_predictor),
    "footnotes": _TEXTS,
    "objections": _Returned("a sequence of Objection(setting, message)", _is_objection, several=True),
    "stages": _Returned("a sequence of Stage", _of(Stage), several=True),
    "batch_norms": _TEXTS,
    "parameters": _Returned("a whole number from 0", _is_count),
    "grid": _Returned("a Grid of whole numbers (a stride from 1) and a finite `first`, or None", _is_grid),
    "mask_target": _Returned("a MaskTarget or None", _of(MaskTarget, NoneType)),
    "needs_normal": _Returned("a text or None", _of(str, NoneType)),
}
_MAY_LACK = {"parameters", "mask_target"}  # None: the method does not say


def taken(hook: str, value: Any) -> Any:
    """The value that a hook returned; a sequence, and one that is made while it is read, comes as a tuple."""
    several = HOOKS[hook].several and isinstance(value, Iterable) and not isinstance(value, str)
    return tuple(value) if several else value


def broken_rule(hook: str, value: Any) -> str | None:
    """A sentence on a value, as :func:`taken` left it, that is not what the contract says; else None."""
    words, fits, several = HOOKS[hook]
    right = isinstance(value, tuple) and all(map(fits, value)) if several else fits(value)
    return None if right else f"it returns {words}, found {_REPR.repr(value)}"


def refuse_name(name: Any) -> None:
    """Refuse the name of a file's method where it cannot be a part of its name in the storage.

    Raises:
        InputError: With the name.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"a method's name has 1..64 of the signs a-z 0-9 _ -, found {name!r}")


def refuse_shape(trainable: Any) -> None:
    """Refuse a Trainable that cannot be planned or trained, whatever the study asks of it.

    Args:
        trainable: Nobody has checked the types of its fields.

    Raises:
        InputError: Naming the first field that breaks the contract, and the value found.
    """
    config, revision, kinds = trainable.Config, trainable.revision, trainable.supervisions
    # From what everything else rests on to the details; the first broken rule is told, with the value found.
    if not (isinstance(config, type) and issubclass(config, TrainableConfig)):
        raise _broken("`Config` is a class that extends trainables.contract.TrainableConfig", config)
    try:
        config.model_rebuild()  # a class may be written below the one whose setting it is
    except Exception as error:  # an annotation is code of the method's
        is_lacking = isinstance(error, NameError)
        shown = f"`{error.name}` of {config.__name__}, which is neither" if is_lacking else str(error)
        raise _broken_with("the types in `Config` are defined or imported in its file", shown) from error

    # `True` is an int to Python, and would make a revision of 1 that nobody wrote.
    if not isinstance(revision, int) or isinstance(revision, bool) or revision < 1:
        raise _broken("`revision` is a whole number from 1", revision)
    known = get_args(SupervisionKind)
    if isinstance(kinds, str) or not isinstance(kinds, Iterable) or not {*kinds} <= {*known}:
        raise _broken(f"`supervisions` is a set of {', '.join(known)}", kinds)

    # A wrong signature would show only when the first trial calls it.
    for hook, arguments in (("fit", "config, data, run"), ("load", "folder")):
        function = getattr(trainable, hook)
        if not callable(function) or not is_called_as(function, arguments.split(", ")):
            raise _broken(f"`{hook}` is called as {hook}({arguments})", function)
    for hook in HOOKS:
        function = getattr(trainable, hook)
        if not (callable(function) or (function is None and hook in _MAY_LACK)):
            raise _broken(f"`{hook}` is a function", function)

    # A preset with a misspelt setting would be refused only in the study that uses it.
    presets = trainable.presets
    if not isinstance(presets, Mapping) or not all(isinstance(each, Mapping) for each in presets.values()):
        raise _broken("`presets` maps names to settings", presets)
    for preset, settings in presets.items():
        if unknown := [name for name in settings if name not in config.model_fields]:
            raise _broken(f"the preset {preset} sets fields of `Config`", unknown)


def _broken(rule: str, found: object) -> InputError:
    is_function = inspect.isfunction(found)
    shown = f"{found.__name__}{inspect.signature(found)}" if is_function else reprlib.repr(found)
    return _broken_with(rule, shown)


def _broken_with(rule: str, found: str) -> InputError:
    return InputError(f"in a Trainable {rule}, found {' '.join(found.split())}")


def is_called_as(function: Callable[..., Any], arguments: Sequence[str]) -> bool:
    """Tell whether a function takes these arguments, in this order."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # a builtin does not say what it takes
        return True
    return True
