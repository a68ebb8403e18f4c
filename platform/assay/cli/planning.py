"""From a study file to its plan, with the data opened or without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.study import Plan
    from trainables.data import Manifest
    from trainables.data.spec import DataSpec

__all__ = ["read_plan"]


def read_plan(
    path: Path, *, data: Path | None, cache: Path, with_data: bool = True, say: Callable[[str], None]
) -> Plan:
    """Read a study, open its data and lay out all trials.

    ``auto`` settings are decided by what the study asks for (``resources.gpus``), not by this machine: a
    laptop plans the same trial ids as the cluster that trains them.

    Raises:
        InputError: If the study or the data break a rule.
    """
    say(f"reading {path}")
    from assay.study import plan_study, read_study

    study = read_study(path)
    device = "cuda" if study.resources.gpus else "cpu"
    if not with_data:
        return plan_study(study, None, device)
    say("opening the data")
    from trainables.data import open_manifest

    def opener(spec: DataSpec) -> Manifest:
        return open_manifest(spec, data, cache)

    return plan_study(study, opener, device)
