"""Pseudo labels of training images as a file: what a stage leaves for later stages, and to be measured.

The evaluation compares them with masks that training never saw (``evaluate.measure_labels``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

__all__ = ["OPEN", "PseudoLabels"]

OPEN = 255  # a pixel of which the label says nothing
_FILE = "pseudo_labels.safetensors"


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Labels that a method takes for the masks of some training images."""

    name: str  # of the stage that they come from: `pseudo`, `pseudo_crf`
    ids: tuple[str, ...]  # N sample ids, each once
    labels: NDArray[np.uint8]  # N × H × W at the network's input size: 1 defect, 0 background, 255 left open

    def __post_init__(self) -> None:
        assert self.labels.ndim == 3, f"labels of shape {self.labels.shape}, contract: N × H × W"
        assert len(self.labels) == len(set(self.ids)), f"{len(self.labels)} labels for {len(self.ids)} ids"
        strange = sorted(set(np.unique(self.labels).tolist()) - {0, 1, OPEN})
        assert not strange, f"a pseudo label is 0, 1 or {OPEN}, found {strange}"

    @property
    def by_id(self) -> dict[str, NDArray[np.uint8]]:
        """H × W each."""
        return dict(zip(self.ids, self.labels, strict=True))

    def save(self, folder: Path) -> None:
        """Write ``pseudo_labels.safetensors`` into an existing folder, that of a stage as a rule."""
        header = {"name": self.name, "ids": json.dumps(self.ids)}
        save_file({"labels": np.ascontiguousarray(self.labels)}, folder / _FILE, metadata=header)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read what :meth:`save` wrote; None where a folder holds no pseudo labels."""
        if not (folder / _FILE).exists():
            return None
        return cls.from_stage(folder)

    @classmethod
    def from_stage(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote into the folder of a stage that leaves labels."""
        with safe_open(folder / _FILE, framework="np") as file:
            header = file.metadata()
            return cls(header["name"], tuple(json.loads(header["ids"])), file.get_tensor("labels"))
