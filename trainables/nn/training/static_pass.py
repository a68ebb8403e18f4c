"""A pass of a training step on tensors at fixed places, which a GPU repeats as one CUDA graph.

A step of a small network at batch 1 is some hundred kernels, each shorter than its launch. Recorded once,
they are launched together. A graph has fixed shapes and addresses and sees no number of Python's: what
changes from step to step is copied to the inputs' places, and gradients are added up at places of their own.

Trade-off: on a GPU each recorded pass holds the memory of its activations for itself. On a CPU the pass runs
as it is, from and to the same places: the same numbers, bit by bit, and nothing gained.

Source: "CUDA graphs" in PyTorch's notes (whole-network capture).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["GradientPlaces", "StaticPass"]

_ALIGNED = 64  # numbers: each gradient starts at a multiple of 256 bytes
_WARM = 3  # runs before a recording: memory, handles and kernels are chosen in them


class GradientPlaces:
    """Gradients of weights at fixed places: views of one tensor, which is cleared in one go."""

    def __init__(self, weights: Iterable[nn.Parameter]) -> None:
        """``weights``: of one device and type; those that require no gradient get no place."""
        self.weights = [weight for weight in weights if weight.requires_grad]
        starts, end = [0] * len(self.weights), 0
        # Each gradient has its weight's own strides, so the optimiser reads both in one order.
        for i, weight in enumerate(self.weights):
            starts[i], end = end, end + -(-weight.numel() // _ALIGNED) * _ALIGNED
        self.values = self.weights[0].new_zeros(end)
        self.places = [
            self.values.as_strided(weight.shape, weight.stride(), start)
            for weight, start in zip(self.weights, starts, strict=True)
        ]

    def clear(self) -> None:
        """Begin at 0, unless the step has gradients already."""
        if all(weight.grad is None for weight in self.weights):
            self.values.zero_()

    def add(self, slopes: Sequence[Tensor | None]) -> None:
        """Add gradients of all weights; None: it has none."""
        for place, slope in zip(self.places, slopes, strict=True):
            if slope is not None:
                place.add_(slope)

    def hand_over(self, learns: Sequence[bool]) -> None:
        """Let the places be the gradients of the weights that learn."""
        for weight, place, learned in zip(self.weights, self.places, learns, strict=True):
            if learned:
                assert weight.grad is None or weight.grad is place, "gradients come from these passes alone"
                weight.grad = place


class StaticPass:
    """A pass forwards and backwards, always on tensors of the same shapes."""

    def __init__(
        self, work: Callable[..., tuple[Tensor, Tensor]], gradients: GradientPlaces, inputs: Sequence[Tensor]
    ) -> None:
        """Record the pass, if the inputs lie on a GPU.

        Args:
            work: From inputs to the scalar that is differentiated, and to numbers without gradient. It may
                neither wait for the GPU nor decide by numbers.
            gradients: Where its gradients are added.
            inputs: An example.
        """
        self._work, self._gradients = work, gradients
        self._inputs = [value.clone() for value in inputs]
        self._learns: list[bool] = []
        self._answer = torch.empty(0)
        self._repeat = self._run if self._inputs[0].device.type != "cuda" else self._recorded()

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Add the gradients at ``inputs``; returns the numbers, which are there until the next call."""
        for place, value in zip(self._inputs, inputs, strict=True):
            place.copy_(value)
        self._gradients.clear()
        self._repeat()
        self._gradients.hand_over(self._learns)
        return self._answer

    def _run(self) -> None:
        scalar, self._answer = self._work(*self._inputs)
        given = torch.autograd.grad(scalar, self._gradients.weights, allow_unused=True)
        slopes = cast("tuple[Tensor | None, ...]", given)
        self._learns = [slope is not None for slope in slopes]
        self._gradients.add(slopes)

    def _recorded(self) -> Callable[[], None]:
        """Record ``_run``; what warming up adds to gradients is taken away again."""
        kept = self._gradients.values.clone()
        with torch.cuda.device(self._inputs[0].device):  # of the current GPU are streams and recordings
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM):
                    self._run()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # Without a stream of ours torch takes that of the process's first recording, on whichever GPU it
            # was. And a cast weight that autocast keeps would belong to the graph.
            recording = torch.cuda.graph(graph, stream=stream)
            with torch.autocast("cuda", enabled=False, cache_enabled=False), recording:
                self._run()
        self._gradients.values.copy_(kept)
        return graph.replay
