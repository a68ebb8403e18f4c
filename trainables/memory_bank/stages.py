"""The stages of the method: maps of a trunk that is a file, and what is remembered.

How images are held against it is no part of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from trainables.memory_bank.config import MemoryBankConfig
from trainables.nn.trunk.stages import trunk_stages
from trainables.runtime.lazy_import import LazyFunction
from trainables.stages import Stage

__all__ = ["stages"]

_READ = ("image_size", "channels", "precision", "memory_format", "trunk", "random_trunk", "weights_sha256")
_REMEMBERED = ("layers", "patch", "distance", "coreset", "most_cells", "projection", "held_out")


def stages(config: MemoryBankConfig) -> Sequence[Stage]:
    """The stages of ``config``, in the order in which they are made."""
    file = config.trunk_file
    before = [] if file is None else trunk_stages(file, "none", ("normal",))
    make = partial(LazyFunction("trainables.memory_bank.fit:make_bank"), places=config.places)
    settings = config.without_added_later(config.part(names=(*_READ, *_REMEMBERED)))
    after = tuple(stage.name for stage in before)
    return [*before, Stage("bank", config.without_locations(settings), make, after=after)]
