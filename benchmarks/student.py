"""Seconds per image of the distilled student, beside the chain that it replaces.

    python -m benchmarks.student [--quick] [--threads 1] [--rounds 7]

`whole` is the chain: the classifier with its map, the erasing steps with their inpainting, both segmentation
nets, the CRF. `score and net` is what `predict` of the same chain without distillation takes, which leaves
the erasing out. `student` is one pass of one net with an image head. Weights are drawn, not trained, which
changes no shape; the erasing goes on to its last step (its probability to stop is 0). Images are noise.
Rounds are interleaved, so a busy machine slows all alike.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.interleaved import interleaved, options
from trainables.cam.config import MapSettings
from trainables.cam.maps import CamMaps
from trainables.cam.network import Classifier
from trainables.focus import TRAINABLE, FocusConfig
from trainables.focus.predictor import Chain, FocusPredictor, Nets
from trainables.nn.labels.segmentation import SegmentationNet

_IMAGES = 8
_CASES = {"reduced": (128, 128), "standard": (224, 224)}  # preset: size


def settings(preset: str, size: tuple[int, int], *, distill: bool) -> FocusConfig:
    """All modules on; OpenCV's inpainting, as no net is trained here."""
    switches = {"clm": True, "gcm": True, "iem": "both", "crf": True, "round": True, "distill": distill}
    given = {**TRAINABLE.presets[preset], "image_size": size, "iem_inpainter": "telea", "iem_stop": 0.0}
    return FocusConfig.model_validate(given | switches).resolved("cpu")


def ways(preset: str, size: tuple[int, int]) -> dict[str, Callable[[Tensor], object]]:
    """Ways to time, by name."""
    config = settings(preset, size, distill=False)
    cam = CamMaps(Classifier(config), MapSettings(recentre=True)).eval()
    nets = [SegmentationNet(config) for _ in range(2)]
    chain = Chain(cam, nets[0], second=nets[1], inpainter=None, residual_scale=0.1, uses_crf=True)
    whole = FocusPredictor(Nets(nets[1], cam, uses_crf=True), config, chain)
    student_config = settings(preset, size, distill=True)
    student = FocusPredictor(Nets.of(student_config), student_config)
    return {
        "whole": whole.predict_stages,  # all steps before the student
        "score and net": whole.predict,
        "student": student.predict,
    }


def measure(preset: str, size: tuple[int, int], rounds: int) -> list[str]:
    """Rows of the table for one preset: median seconds per image, and how often the student fits into it."""
    torch.manual_seed(0)
    images_BCHW = torch.rand(_IMAGES, 1, *size)
    timed = {name: partial(look, images_BCHW) for name, look in ways(preset, size).items()}
    seconds = interleaved(timed, rounds)
    rows: list[str] = []
    for name, times in seconds.items():
        ratios = [way / student for way, student in zip(times, seconds["student"], strict=True)]
        spread = f"{statistics.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})"
        case = f"{preset}, {size[0]} × {size[1]}"
        rows.append(f"| {case} | {name} | {statistics.median(times) / _IMAGES:.4f} | {spread} |")
    return rows


def main() -> int:
    """Time all cases and print the table."""
    given = options(__doc__ or "", rounds=7)
    cases = list(_CASES.items())[: 1 if given.quick else None]
    rows = [row for preset, size in cases for row in measure(preset, size, given.rounds)]
    head = "| preset | way | s per image, median | times the student |\n|---|---|---|---|"
    print("\n".join([head, *rows]))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
