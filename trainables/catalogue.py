"""Which methods there are: every folder ``trainables/*/`` with a ``TRAINABLE``, and installed plugins.

A plugin is any installed distribution that declares an entry point in the group ``assay.trainables``; the
entry point's name is the method's name and its value leads to a :class:`~trainables.contract.Trainable`.
"""

from __future__ import annotations

import difflib
import importlib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from trainables.contract import Trainable
from trainables.errors import InputError

__all__ = ["ENTRY_POINT_GROUP", "all_trainables", "find_plugin", "find_trainable", "plugin_requirement"]

ENTRY_POINT_GROUP = "assay.trainables"


def find_trainable(name: str) -> Trainable[Any]:
    """The method called ``name``.

    Raises:
        InputError: If there is none, with the nearest names; or if a plugin cannot be loaded.
    """
    plugin = find_plugin(name)
    if plugin is not None:
        return _load_plugin(plugin)
    found = _from_folder(name) if name in _folders() else None
    if found is not None:
        return found
    known = sorted(all_trainables())
    near = difflib.get_close_matches(name, known, n=3) or known
    raise InputError(f"there is no trainable {name!r}. Did you mean {', '.join(near)}?")


def find_plugin(name: str) -> EntryPoint | None:
    """The entry point of a third party's method; None for a method of this package, or an unknown one."""
    return None if name in _folders() else _plugins().get(name)


def all_trainables() -> dict[str, Trainable[Any]]:
    """Every method by name: first the folders, then plugins, which cannot take a folder's name.

    Raises:
        InputError: If a plugin cannot be loaded.
    """
    found = {name: trainable for name in _folders() if (trainable := _from_folder(name)) is not None}
    for name, plugin in _plugins().items():
        if name not in found:
            found[name] = _load_plugin(plugin)
    return found


def plugin_requirement(name: str) -> str | None:
    """What to install for a method that is a plugin (``assay-toy==0.1``); None for one of the folders."""
    point = find_plugin(name)
    if point is None or point.dist is None:
        return None
    return f"{point.dist.name}=={point.dist.version}"


def _folders() -> list[str]:
    here = Path(__file__).parent
    return sorted(path.parent.name for path in here.glob("*/__init__.py"))


def _from_folder(name: str) -> Trainable[Any] | None:
    """The folder's TRAINABLE; None for shared ground such as ``data/``, which has none."""
    trainable = getattr(importlib.import_module(f"trainables.{name}"), "TRAINABLE", None)
    assert trainable is None or trainable.name == name, f"trainables/{name} calls itself {trainable.name}"
    return trainable


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _load_plugin(point: EntryPoint) -> Trainable[Any]:
    try:
        trainable = point.load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"the trainable {point.name!r} of the entry point {point.value!r} cannot be loaded: {error}. "
            "Reinstall or remove its distribution."
        ) from error
    if not isinstance(trainable, Trainable):
        raise InputError(
            f"the entry point {point.value!r} of trainable {point.name!r} leads to a "
            f"{type(trainable).__name__}, expected a trainables.contract.Trainable."
        )
    return trainable
