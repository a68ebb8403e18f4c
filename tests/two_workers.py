"""Whole trainings by one process, and by two over gloo: ``two_workers CASE RANK WORLD FOLDER``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn

from tests.focus.chains import chain_data, tiny_chain
from tests.regioncam.chains import tiny
from trainables.contract import LocalRun
from trainables.focus import TRAINABLE as FOCUS
from trainables.regioncam import TRAINABLE as REGIONCAM

__all__ = ["GlooRun", "assert_two_workers_end_where_one_does"]

_ROOT = Path(__file__).parents[1]
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
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.two_workers", case, str(rank), "2", str(folder)],
            cwd=_ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    main(case, 0, 1, folder)
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    alone, first, second = (
        load_file(folder / name / "model.safetensors") for name in ("0of1", "0of2", "1of2")
    )
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items())
    for name, tensor in alone.items():
        # Adam makes a step of its own size of a gradient that is a rounding: a few weights go other ways.
        assert float((first[name].double() - tensor.double()).abs().mean()) < 2e-3, name


def main(case: str, rank: int, world_size: int, folder: Path) -> None:
    """Train a few steps, and save the model."""
    if world_size > 1:
        dist.init_process_group("gloo", f"file://{folder}/meet{world_size}", rank=rank, world_size=world_size)
    out = folder / f"{rank}of{world_size}"
    out.mkdir()
    _CASES[case](GlooRun(rank=rank, world_size=world_size)).save(out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
