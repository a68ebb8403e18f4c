"""All methods by name: every folder ``trainables/*/`` with a ``TRAINABLE``, and installed plug-ins.

A plug-in is any installed distribution that declares an entry point in the group ``assay.trainables``. The
entry point's name is the method's name and its value leads to a :class:`~trainables.contract.Trainable`.
Readers, metrics and all else that others may add are found in the same way: see :mod:`trainables.registry`.
"""

from __future__ import annotations

from typing import Any

from trainables.contract import Trainable
from trainables.plugins.method_files import is_file_method, loaded_method
from trainables.registry import Registry

__all__ = ["TRAINABLES", "find_trainable", "plugin_requirement"]

TRAINABLES: Registry[Trainable[Any]] = Registry(
    Trainable,
    noun="trainable",
    group="assay.trainables",
    package="trainables",
    attribute="TRAINABLE",
    folders=True,
)


def find_trainable(name: str) -> Trainable[Any]:
    """The method called ``name``.

    Raises:
        InputError: If there is none, with the nearest name. If two have this name. If a plug-in cannot be
            loaded.
    """
    return loaded_method(name) if is_file_method(name) else TRAINABLES.find(name)


def plugin_requirement(name: str) -> str | None:
    """The distribution of a method that is a plug-in (``assay-toy==0.1``); None for one of the folders."""
    point = TRAINABLES.plugin(name)
    if point is None or point.dist is None:
        return None
    return f"{point.dist.name}=={point.dist.version}"
