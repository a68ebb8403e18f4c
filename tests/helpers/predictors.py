"""What every trained model does: it is saved whole, and leaves as a graph."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["assert_judged_one_by_one", "assert_saved_says_the_same", "digest", "exported"]


def assert_saved_says_the_same(
    predictor: Any, load: Callable[[Path], Any], images: Tensor, folder: Path
) -> Any:
    """Save into an empty ``folder``, load, and compare the answers bit by bit; returns what was loaded."""
    predictor.save(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    loaded = load(folder)
    for mine, theirs in zip(predictor.predict(images), loaded.predict(images), strict=True):
        assert torch.equal(mine, theirs)
    return loaded


def digest(predictor: Any, folder: Path) -> str:
    """Of a saved model's tensors."""
    folder.mkdir(exist_ok=True)
    predictor.save(folder)
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def assert_judged_one_by_one(predictor: Any, images: Tensor) -> None:
    """Compare the answers to a batch with those to each of its images alone."""
    together = predictor.predict(images)
    apart = [predictor.predict(image[None]) for image in images]
    assert torch.allclose(together.score, torch.cat([one.score for one in apart]), atol=1e-5)
    assert torch.allclose(together.heatmap, torch.cat([one.heatmap for one in apart]), atol=1e-4)


class _Judge(nn.Module):
    """What an export traces."""

    def __init__(self, predictor: Any) -> None:
        super().__init__()
        self.network = predictor.network
        self.predict = predictor.predict

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.predict(images))


def exported(predictor: Any, images: Tensor) -> nn.Module:
    """The graph of a predictor for any batch, traced with ``images``."""
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    return torch.export.export(_Judge(predictor), (images,), dynamic_shapes=shapes).module()
