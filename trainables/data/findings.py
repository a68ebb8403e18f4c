"""Findings: what a user should know about a data set, one sentence for all files that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["Finding", "FindingKind", "summarise"]

FindingKind = Literal[
    "duplicate", "missing_mask", "empty_mask", "covered_mask", "soft_mask", "stray_pixels", "pixels"
]


class Finding(BaseModel, frozen=True):
    """Something a user should know that does not stop a study: a sentence, and the samples it is about."""

    model_config = ConfigDict(extra="forbid")
    kind: FindingKind
    text: str
    samples: tuple[str, ...]
    files: tuple[str, ...] = ()  # missing_mask: where each sample's mask is expected


def summarise(names: Sequence[str], shown: int = 3) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
