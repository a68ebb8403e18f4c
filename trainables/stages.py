"""Stages: steps of a method whose results are kept, so that trials which agree in them share them.

A classifier, its maps, the pseudo labels made of them: a method names its stages in order
(``Trainable.stages``), and ``fit`` asks for each with ``run.stage(stage, data)``, which returns the folder
with its files, made now or at any time before. What a stage is made of decides its key, and nothing else
does: ``make`` sees the stage's own settings, the folders of the stages it comes after, the data, and random
numbers of its own. So the key cannot lie, and a stage that was found shifts no later random number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainables.run import ImageKind, Stage, StageWork

__all__ = ["Stage", "StageWork", "read_facts", "stage_keys", "write_facts"]

_FACTS = "facts.json"


def stage_keys(
    stages: Sequence[Stage],
    base: Mapping[str, Any],
    of_images: Mapping[ImageKind, Mapping[str, Any]] = MappingProxyType({}),
) -> dict[str, str]:
    """The key of each stage by name: 16 hex digits of sha256.

    Args:
        stages: In an order in which each comes after those that it reads.
        base: JSON values that all stages of a trial depend on: the method with its revision, the data with
            size and channels of the images, the supervision with its subset, split, seed and fold.
        of_images: The same for stages that read images of one kind alone (``Stage.images``).

    Raises:
        ValueError: If a name occurs twice, or a stage comes before one that it reads.
    """
    keys: dict[str, str] = {}
    for stage in stages:
        if stage.name in keys:
            raise ValueError(f"two stages are called {stage.name}")
        if unknown := [name for name in stage.after if name not in keys]:
            raise ValueError(f"stage {stage.name} reads {', '.join(unknown)}, which does not come before it")
        # A key holds the keys of the stages it reads, so a change far up changes all that follow.
        parts = {
            "name": stage.name,
            "config": dict(stage.config),
            "after": {name: keys[name] for name in stage.after},
            "base": {**(base if stage.images is None else of_images.get(stage.images, {})), **stage.owner},
        }
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        keys[stage.name] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return keys


def write_facts(folder: Path, facts: Mapping[str, float]) -> None:
    """Leave what a stage measured, for the stages that read it and for the trial's log."""
    (folder / _FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def read_facts(folder: Path) -> dict[str, float]:
    """Read what :func:`write_facts` left."""
    return json.loads((folder / _FACTS).read_text(encoding="utf-8"))
