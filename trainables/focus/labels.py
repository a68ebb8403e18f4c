"""Pseudo labels as files, and what a segmentation net's opinion makes of them.

``pseudo_labels.safetensors`` holds ``labels``, N × H × W uint8 (1 defect, 0 background, 255 unknown), of the
defective training images whose ids are in its metadata. A normal image needs none: it is 0 everywhere.

The CRF and the additional round are our reading: the abstract of Yan et al. 2025 says that "conditional
random field (CRF) and an additional training round refine the segmentation results", not where and how.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables.nn.pseudo import UNKNOWN

__all__ = ["LABELS_FILE", "PseudoLabels", "Refinement", "refined_labels"]

LABELS_FILE = "pseudo_labels.safetensors"


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Labels of defective training images."""

    ids: tuple[str, ...]
    labels_NHW: Tensor  # uint8

    def save(self, folder: Path, name: str) -> None:
        """Write them under the name of the step that made them."""
        metadata = {"ids": json.dumps(list(self.ids)), "name": name}
        save_file({"labels": self.labels_NHW.contiguous()}, folder / LABELS_FILE, metadata=metadata)

    @classmethod
    def load(cls, folder: Path) -> PseudoLabels:
        """Read what :meth:`save` wrote."""
        path = folder / LABELS_FILE
        with safe_open(path, framework="pt") as file:
            ids = json.loads(file.metadata()["ids"])
        return cls(tuple(ids), load_file(path)["labels"])

    def by_id(self) -> Mapping[str, Tensor]:
        """H × W each."""
        return dict(zip(self.ids, self.labels_NHW, strict=True))

    @property
    def area(self) -> float:
        """Mean share of defect pixels."""
        return float((self.labels_NHW == 1).double().mean())


class Refinement(NamedTuple):
    """Labels after a net's opinion of them."""

    labels: PseudoLabels
    empty: float  # share of images in which the net saw nothing: they keep the label they had
    void: bool  # most were empty: all labels stay, and no round is trained on them


def refined_labels(
    before: PseudoLabels, prob_NHW: Tensor, *, foreground: float, background: float
) -> Refinement:
    """Labels from a net's probabilities for the images it was trained on.

    1 from ``foreground`` on, 0 up to ``background``, unknown between. A net that sees nothing in an image
    would take its label away, and the next net would learn from that: such an image keeps its label, and
    where more than half of the images are empty, all do.
    """
    labels_NHW = torch.full_like(before.labels_NHW, UNKNOWN)
    labels_NHW[prob_NHW <= background] = 0
    labels_NHW[prob_NHW >= foreground] = 1
    empty_N = ~(labels_NHW == 1).any(dim=2).any(dim=1)
    share = float(empty_N.double().mean())
    void = share > 0.5
    keep_N11 = empty_N[:, None, None] | void
    return Refinement(
        PseudoLabels(before.ids, torch.where(keep_N11, before.labels_NHW, labels_NHW)), share, void
    )
