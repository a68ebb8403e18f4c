"""Whole trainings by one process, and by two over gloo."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn

from tests.focus.chains import chain_data, tiny_chain
from tests.helpers.ranks import two_ranks
from tests.regioncam.chains import tiny
from trainables.contract import LocalRun
from trainables.focus import TRAINABLE as FOCUS
from trainables.regioncam import TRAINABLE as REGIONCAM

__all__ = ["GlooRun", "assert_two_workers_end_where_one_does"]

_STEPS: dict[str, Any] = {"batch_size": 6, "segment_batch": 6, "lr": 0.003}  # two and two in the last batch


@dataclass
class GlooRun(LocalRun):
    """A run whose gradients are summed over processes."""

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        for parameter in parameters if self.world_size > 1 else ():
            if parameter.requires_grad:
                assert parameter.grad is not None
                dist.all_reduce(parameter.grad)


def _regioncam(run: GlooRun) -> Any:
    return REGIONCAM.fit(tiny(rounds=1, **_STEPS), chain_data(5), run)


def _focus(run: GlooRun) -> Any:
    every = {"iem": "both", "iem_inpainter": "unet", "crf": True, "round": True, "distill": True}
    return FOCUS.fit(tiny_chain(**every, **_STEPS), chain_data(5), run)


_CASES: dict[str, Callable[[GlooRun], Any]] = {"regioncam": _regioncam, "focus": _focus}


def assert_two_workers_end_where_one_does(case: str, folder: Path) -> None:
    """Train in this process, and in two others, and compare the saved models."""
    with two_ranks(train, folder, case):
        train(0, 1, folder, case)
    alone, first, second = (
        load_file(folder / name / "model.safetensors") for name in ("0of1", "0of2", "1of2")
    )
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items())
    for name, tensor in alone.items():
        # Adam makes a step of its own size of a gradient that is a rounding: a few weights go other ways.
        assert float((first[name].double() - tensor.double()).abs().mean()) < 2e-3, name


def train(rank: int, world_size: int, folder: Path, case: str) -> None:
    """Train a few steps, and save the model."""
    out = folder / f"{rank}of{world_size}"
    out.mkdir()
    _CASES[case](GlooRun(rank=rank, world_size=world_size)).save(out)
