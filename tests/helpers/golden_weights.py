"""What a fixed training ends with: when these numbers move, results move, and the revision must rise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

__all__ = ["assert_stages_ended_at"]


def assert_stages_ended_at(
    golden: Mapping[str, Sequence[float]],
    names: Mapping[str, Sequence[str]],
    folder: Path,
    answer: Tensor,
) -> None:
    """Norms of some weights of stages below ``folder``, and mean and spread of the last net's ``answer``.

    Within 1 %, as machines and threads round (0.5 % was seen between AVX2 and AVX-512).
    """
    found = [answer.double().mean().item(), answer.double().std().item()]
    np.testing.assert_allclose(found, golden["answer"], rtol=0.01)
    for stage, chosen in names.items():
        tensors = load_file(folder / stage / "model.safetensors")
        found = [tensors[name].double().norm().item() for name in chosen]
        np.testing.assert_allclose(found, golden[stage], rtol=0.01)
