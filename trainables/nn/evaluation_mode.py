"""Evaluation mode for all networks of a predictor: asked for scores, none of them may behave as in training.

In training mode batch normalisation takes the statistics of whatever images come together, and dropout
draws anew each time. A method that forgets ``.eval()`` still trains to the end, and its scores are wrong. So
whoever asks a predictor sets the mode first, by one rule for all methods
(:class:`trainables.contract.Predictor`).
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from types import FunctionType, MemberDescriptorType, MethodType
from typing import Any

import torch
from torch import nn

__all__ = ["evaluation_mode", "modules_of", "set_evaluation_mode"]

# Objects of these packages hold no network of a method's, or are looked into by the rules below.
_OPAQUE = {*sys.stdlib_module_names, "builtins", "numpy", "pyarrow", "torch"}


def set_evaluation_mode(predictor: object) -> None:
    """Put every network that ``predictor`` holds into evaluation mode."""
    for module in modules_of(predictor):
        _set_mode(module, training=False)


@contextmanager
def evaluation_mode(predictor: object) -> Generator[None]:
    """Hold every network of ``predictor`` in evaluation mode; afterwards each layer has the mode it had."""
    before = [(module, module.training) for module in modules_of(predictor)]
    set_evaluation_mode(predictor)
    try:
        yield
    finally:
        # A network's own `train` may have set layers that were in evaluation mode: each gets its own again.
        for module, training in before:
            _set_mode(module, training=training)
        for module, training in before:
            module.training = training


def _set_mode(module: nn.Module, *, training: bool) -> None:
    """Set the mode of one module; one that does more than note it, as frozen layers do, sets it itself."""
    if module.training == training:
        return
    if type(module).train is nn.Module.train and type(module).eval is nn.Module.eval:
        module.training = training  # the modules in it are set one by one
    else:
        module.train(training)


def modules_of(predictor: object) -> list[nn.Module]:
    """All networks and layers that ``predictor`` holds, outer ones first.

    They are found in its attributes and in those of the objects there, in lists, tuples, sets, mappings,
    partial functions, bound methods and what functions enclose, at any depth.
    """
    found: list[nn.Module] = []
    seen: dict[int, object] = {}  # the objects too: an id is another one's once its object is gone
    waiting = deque([predictor])
    # Breadth first, so outer modules come before what is in them; each object once, since references may go
    # in circles.
    while waiting:
        part = waiting.popleft()
        if id(part) in seen:
            continue
        seen[id(part)] = part
        # A graph that was exported has its mode built in, and refuses to be set.
        if isinstance(part, torch.fx.GraphModule) and "eval" in vars(part):
            continue
        if isinstance(part, nn.Module):
            found.append(part)
            waiting += part.children()  # those of a scripted one are no attributes
        waiting += _parts(part)
    return found


def _parts(thing: object) -> Iterator[Any]:
    """Parts of an object, as far as a network may be in it."""
    match thing:
        case Mapping():
            yield from thing.values()
        case list() | tuple() | set() | frozenset() | deque():
            yield from thing
        case partial():
            yield from (thing.func, *thing.args, *thing.keywords.values())
        case MethodType():
            yield thing.__self__
        case FunctionType():
            yield from _enclosed(thing)
        case _:
            pass

    # Attributes of torch's and numpy's own objects are not searched: they hold no networks, and are many.
    of_method = type(thing).__module__.partition(".")[0] not in _OPAQUE and not isinstance(thing, type)
    if of_method or isinstance(thing, nn.Module):
        yield from getattr(thing, "__dict__", {}).values()
        yield from _slots(thing)


def _enclosed(function: FunctionType) -> Iterator[Any]:
    """Values of the variables around it, as far as they are assigned."""
    for cell in function.__closure__ or ():
        with suppress(ValueError):
            yield cell.cell_contents


def _slots(thing: object) -> Iterator[Any]:
    """Attributes of classes with ``__slots__``, as far as they are assigned."""
    for base in type(thing).__mro__:
        for member in vars(base).values():
            if isinstance(member, MemberDescriptorType):
                with suppress(AttributeError):
                    yield member.__get__(thing)
