"""Seconds that a model takes for one image, timed in turn with a small fixed network.

A machine that is busy or slow for a while slows both: their ratio says more of the model than the seconds do.
Images come one at a time, as from a camera. The seconds are those of the answer, from bytes on the host to
numbers on the host. Nothing is compiled or exported for it.
"""

from __future__ import annotations

import statistics
import time
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from trainables.evaluation.scorer import ImageScorer

__all__ = ["Latency", "measure_latency", "reference_seconds"]

_ROUNDS, _WARM_UPS = 21, 3
_SIDE, _CHANNELS, _LAYERS = 128, 32, 4  # of the reference network


class Latency(NamedTuple):
    """Medians over rounds, seconds per image."""

    model: float
    reference: float


def measure_latency(model: ImageScorer, image: NDArray[np.uint8]) -> Latency:
    """Time a model on one image (H × W × C), after a few answers that count for nothing."""
    rounds = [
        Latency(model.score([image]).seconds, model.reference_seconds()) for _ in range(_WARM_UPS + _ROUNDS)
    ]
    of_model, of_reference = zip(*rounds[_WARM_UPS:], strict=True)
    return Latency(statistics.median(of_model), statistics.median(of_reference))


def reference_seconds(device: torch.device) -> float:
    """Seconds of one pass of the reference network: four 3 × 3 convolutions of 32 channels on 128² pixels."""
    import torch

    network, image = _reference_network(device)
    start = time.perf_counter()
    with torch.inference_mode():
        network(image).cpu()
    return time.perf_counter() - start


@cache
def _reference_network(device: torch.device) -> tuple[torch.nn.Module, torch.Tensor]:
    """The reference network, the same on every machine, and its image."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [torch.nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1) for _ in range(_LAYERS)]
    return torch.nn.Sequential(*layers).to(device), torch.ones(1, _CHANNELS, _SIDE, _SIDE, device=device)
