"""What is gathered over all training images lies with the host: the memory of a GPU holds a few at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.focus.chains import KeptRun, chain_data, tiny_chain
from tests.regioncam.chains import tiny
from trainables.focus import TRAINABLE as FOCUS
from trainables.focus import fit as focus_fit
from trainables.focus.extension import Evidence
from trainables.regioncam import TRAINABLE as REGIONCAM
from trainables.regioncam import fit as regioncam_fit
from trainables.stages import Stage


class OnGpu(Tensor):
    """Stands for a tensor on a GPU; those of several batches are not put together there."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.cat, "all of them at once on the GPU"
        made = super().__torch_function__(func, types, args, kwargs or {})
        return made.as_subclass(Tensor) if func in {Tensor.cpu, Tensor.to} else made


def on_gpu(values: Tensor) -> Tensor:
    return values.as_subclass(OnGpu)


def make_maps(stages: Sequence[Stage], folder: Path) -> None:
    """Make the stages up to the maps."""
    run, data = KeptRun(kept=folder), chain_data(20)
    names = [stage.name for stage in stages]
    for stage in stages[: names.index("maps") + 1]:
        run.stage(stage, data)


@pytest.mark.parametrize("iem", ["off", "both"])
def test_final_maps_of_focus_lie_with_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, iem: str
) -> None:
    evidence_of, scale_of = focus_fit.evidence_of, focus_fit._residual_scale
    extended_map, minmax = focus_fit.extended_map, focus_fit.minmax
    kept: list[Tensor] = []

    def residual_scale(evidences: Sequence[Evidence], *rest: Any) -> float:
        kept.extend(part for evidence in evidences for part in evidence)
        return scale_of(evidences, *rest)

    monkeypatch.setattr(focus_fit, "evidence_of", lambda *given: Evidence(*map(on_gpu, evidence_of(*given))))
    monkeypatch.setattr(focus_fit, "extended_map", lambda *given: on_gpu(extended_map(*given)))
    monkeypatch.setattr(focus_fit, "minmax", lambda map_BHW: on_gpu(minmax(map_BHW)))
    monkeypatch.setattr(focus_fit, "_residual_scale", residual_scale)
    make_maps(FOCUS.stages(tiny_chain(iem=iem).resolved("cpu")), tmp_path)
    assert len(kept) == (0 if iem == "off" else 3 * 3)  # three batches, each with E, R and O
    assert not any(isinstance(part, OnGpu) for part in kept)


def test_final_maps_of_regioncam_lie_with_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minmax = regioncam_fit.minmax
    monkeypatch.setattr(regioncam_fit, "minmax", lambda map_BHW: on_gpu(minmax(map_BHW)))
    make_maps(REGIONCAM.stages(tiny(min_steps=0)), tmp_path)
