"""Packs as tests lay them down, without a run that plans them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from assay.engine.packs import Pack
from assay.study import Trial

__all__ = ["make_pack"]


def make_pack(study: str, trials: Sequence[Trial] = (), **changes: Any) -> Pack:
    """A pack of one worker with one core that keeps nothing; ``changes``: its other fields."""
    usual: dict[str, Any] = {
        "id": "0000", "run": "here", "started": datetime.now(UTC), "workers": 1, "cpus": 1, "gpus": 0,
        "keep_models": False, "probes": 0, "primary": "image_ap", "objective": "image_ap", "resource": "none",
        "data_root": None, "cache": "",
    }  # fmt: skip
    return Pack(study=study, trials=tuple(trials), **(usual | changes))
