"""Images per second of `assay predict` beside the model alone, on the same images in the same process.

    python -m benchmarks.predict_throughput [--quick] [--threads 2] [--rounds 5]

The pipeline reads PNG files larger than the network's input, resizes and predicts them, and writes the table
alone, with overlays, or with overlays and masks at the files' size. The model alone predicts the same images,
as tensors that lie in memory, 16 at a time on all threads, and (``written``: nothing) as the pipeline does
on a CPU, two such batches at once with half of the threads each. Rounds are interleaved, so a busy machine
slows all, but not by the same factor: a batch on two threads waits for the later one.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from assay.production.photos import find_photos
from assay.production.predict import BATCH, Pictures, predict
from assay.production.rows import RowWriter
from assay.production.side_by_side import SideBySide
from benchmarks.networks import CPU, deployed_segdec, deployed_supervised
from benchmarks.shared import interleaved, options, ratio_text, spread_text
from trainables.data.tensors import images_to_tensor
from trainables.runtime.deployed import DeployedModel
from trainables.runtime.device import keep_freed_memory

PIPELINES = {
    "table": frozenset[str](),
    "overlays": frozenset({"overlays"}),
    "overlays, masks": frozenset({"overlays", "masks"}),
}

_IMAGES = {"segdec": 96, "classifier": 768}  # of a round: seconds of work for either


def models(quick: bool) -> dict[str, DeployedModel]:
    """Untrained networks: speed does not depend on the weights."""
    scale = 0.125 if quick else 0.25
    return {
        f"segdec, width {scale:g}, 704×256": deployed_segdec(scale),
        "classifier, 256×256": deployed_supervised("classifier"),
    }


def write_photos(
    folder: Path, count: int, size: tuple[int, int]
) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Brushed grey surfaces as PNG files: noise alone would neither compress nor decode like a photo."""
    rng = np.random.default_rng(0)
    photos: list[Any] = []
    for i in range(count):
        noise = rng.normal(120, 60, size).astype(np.float32)
        photo = cv2.GaussianBlur(noise, (0, 0), sigmaX=1, sigmaY=12).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i:04d}.png"), photo)
        photos.append(photo[:, :, None])
    return photos


def alone(model: DeployedModel, tensors: list[torch.Tensor]) -> Callable[[], object]:
    def run() -> None:
        with torch.inference_mode():
            for batch in tensors:
                model.predictor.predict(batch)

    return run


def two_at_once(
    model: DeployedModel, batches: list[list[np.ndarray[Any, np.dtype[np.uint8]]]]
) -> Callable[[], object]:
    def run() -> None:
        with SideBySide(model, len(batches)) as scorer:
            for decided in [scorer.decide(batch) for batch in batches]:
                decided.result()

    return run


def pipeline(model: DeployedModel, folder: Path, kinds: frozenset[str], below: Path) -> Callable[[], object]:
    """``below`` gets a folder of each run, which is not deleted while the clock runs."""

    def run() -> None:
        out = tempfile.mkdtemp(dir=below)
        with RowWriter(Path(out) / "table.csv", "csv") as rows:
            predict(
                model,
                find_photos([str(folder)]),
                rows,
                Pictures(Path(out), masks="masks" in kinds, overlays="overlays" in kinds),
                lambda progress: None,
            )

    return run


def main() -> None:
    given = options(__doc__, threads=2)
    keep_freed_memory()  # as `assay predict` does
    write = sys.stdout.write
    write(f"Images/s, median (least–most) of {given.rounds} interleaved rounds, ")
    write(f"{given.threads} threads, torch {torch.__version__}; ratio: median of the rounds' ratios.\n\n")
    write("| model | written | assay predict | model alone | ratio |\n|---|---|---|---|---|\n")
    for name, model in models(given.quick).items():
        height, width = model.card.image_size
        count = 32 if given.quick else _IMAGES[name.split(",")[0]]
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as below:
            photos = write_photos(Path(folder), count, (height * 3 // 2, width * 3 // 2))
            small = [model.prepare(photo) for photo in photos]
            batches = [small[i : i + BATCH] for i in range(0, count, BATCH)]
            tasks = {"alone": alone(model, [images_to_tensor(batch, CPU) for batch in batches])}
            tasks["nothing"] = two_at_once(model, batches)
            tasks |= {
                kind: pipeline(model, Path(folder), kinds, Path(below)) for kind, kinds in PIPELINES.items()
            }
            seconds = interleaved(tasks, given.rounds)
        rates = {kind: [count / taken for taken in rounds] for kind, rounds in seconds.items()}
        for kind in list(rates)[1:]:
            spreads = [spread_text(rates[way]) for way in (kind, "alone")]
            write(
                f"| {name} | {kind} | {' | '.join(spreads)} | {ratio_text(rates[kind], rates['alone'])} |\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
