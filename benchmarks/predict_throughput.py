"""Images per second of `assay predict` beside the model alone, on the same images in the same process.

    python -m benchmarks.predict_throughput [--quick] [--threads 2] [--rounds 5]

The pipeline reads PNG files larger than the network's input, resizes and predicts them, and writes the table
alone, with overlays, or with overlays and masks at the files' size. The model alone predicts the same images,
as tensors that lie in memory, 16 at a time on all threads, and (``written``: nothing) as the pipeline does
on a CPU, two such batches at once with half of the threads each. Rounds are interleaved, so a busy machine
slows all, but not by the same factor: a batch on two threads waits for the later one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch

from assay.production.photos import find_photos
from assay.production.predict import BATCH, Pictures, predict
from assay.production.rows import RowWriter
from assay.production.side_by_side import SideBySide
from benchmarks.shared import ratio_text, spread_text
from trainables.contract import Predictor
from trainables.data.tensors import images_to_tensor
from trainables.deployed import Card, CardThresholds, DeployedModel
from trainables.memory import keep_freed_memory
from trainables.segdec import SegDecConfig
from trainables.segdec.network import new_network
from trainables.segdec.predictor import SegDecPredictor
from trainables.supervised import SupervisedConfig
from trainables.supervised.network import build
from trainables.supervised.predictor import SupervisedPredictor

CPU = torch.device("cpu")
PIPELINES = {
    "table": frozenset[str](),
    "overlays": frozenset({"overlays"}),
    "overlays, masks": frozenset({"overlays", "masks"}),
}


def deployed(predictor: Predictor, size: tuple[int, int], channels: Literal[1, 3]) -> DeployedModel:
    thresholds = CardThresholds(image=0.5, image_source="fixed", pixel=0.5, pixel_source="fixed")
    settings: dict[str, Any] = {"trial": "0" * 16, "study": "benchmark", "cell": "base", "trainable": "any"}
    card = Card(
        **settings, revision=1, image_size=size, channels=channels, precision="float32",
        thresholds=thresholds, metrics={}, versions={},
    )  # fmt: skip
    return DeployedModel(predictor, card, CPU)


def models(quick: bool) -> dict[str, DeployedModel]:
    """Untrained networks: speed does not depend on the weights."""
    scale = 0.125 if quick else 0.25
    settings = {"image_size": (704, 256), "channel_scale": scale}
    segdec = SegDecConfig.model_validate(settings).resolved("cpu")
    classes = SupervisedConfig.model_validate({"model": "classifier", "image_size": (256, 256)}).resolved(
        "cpu"
    )
    return {
        f"segdec, width {scale:g}, 704×256": deployed(
            SegDecPredictor(new_network(segdec, 0, CPU), segdec), (704, 256), 1
        ),
        "classifier, 256×256": deployed(SupervisedPredictor(build(classes).eval(), classes), (256, 256), 1),
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


def pipeline(model: DeployedModel, folder: Path, kinds: frozenset[str]) -> Callable[[], object]:
    def run() -> None:
        with tempfile.TemporaryDirectory() as out, RowWriter(Path(out) / "table.csv", "csv") as rows:
            predict(
                model,
                find_photos([str(folder)]),
                rows,
                Pictures(Path(out), masks="masks" in kinds, overlays="overlays" in kinds),
                lambda progress: None,
            )

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Images per second of `assay predict` beside the model alone."
    )
    parser.add_argument("--quick", action="store_true", help="32 images, two rounds, an eighth of the width")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default: 5)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as `assay predict` does
    count, rounds = (32, 2) if options.quick else (96, options.rounds)

    write = sys.stdout.write
    write(f"Images/s, median (least–most) of {rounds} interleaved rounds of {count} images, ")
    write(f"{options.threads} threads, torch {torch.__version__}; ratio: median of the rounds' ratios.\n\n")
    write("| model | written | assay predict | model alone | ratio |\n|---|---|---|---|---|\n")
    for name, model in models(options.quick).items():
        height, width = model.card.image_size
        with tempfile.TemporaryDirectory() as folder:
            photos = write_photos(Path(folder), count, (height * 3 // 2, width * 3 // 2))
            small = [model.prepare(photo) for photo in photos]
            batches = [small[i : i + BATCH] for i in range(0, count, BATCH)]
            tasks = {"alone": alone(model, [images_to_tensor(batch, CPU) for batch in batches])}
            tasks["nothing"] = two_at_once(model, batches)
            tasks |= {kind: pipeline(model, Path(folder), kinds) for kind, kinds in PIPELINES.items()}
            rates: dict[str, list[float]] = {kind: [] for kind in tasks}
            for turn in range(rounds + 1):
                for kind, task in tasks.items():
                    begin = time.perf_counter()
                    task()
                    if turn:  # the first round warms up
                        rates[kind].append(count / (time.perf_counter() - begin))
        for kind in list(rates)[1:]:
            spreads = [spread_text(rates[way]) for way in (kind, "alone")]
            write(
                f"| {name} | {kind} | {' | '.join(spreads)} | {ratio_text(rates[kind], rates['alone'])} |\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
