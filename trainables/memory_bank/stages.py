"""The one stage of the method: what is remembered. How images are held against it is no part of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from trainables.memory_bank.config import MemoryBankConfig
from trainables.runtime.lazy_import import LazyFunction
from trainables.stages import Stage

__all__ = ["stages"]

_READ = ("image_size", "channels", "precision", "memory_format", "trunk", "random_trunk", "weights_sha256")
_REMEMBERED = ("layers", "patch", "distance", "coreset", "most_cells", "projection", "held_out")


def stages(config: MemoryBankConfig) -> Sequence[Stage]:
    """The stages of ``config``, in the order in which they are made."""
    make = partial(LazyFunction("trainables.memory_bank.fit:make_bank"), weights_file=config.weights_file)
    settings = config.without_added_later(config.part(names=(*_READ, *_REMEMBERED)))
    return [Stage("bank", settings, make)]
