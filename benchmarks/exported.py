"""Milliseconds of a prediction by torch beside the exported model in ONNX Runtime and OpenVINO.

    python -m benchmarks.exported [segdec classifier unet] [--quick] [--threads 1] [--rounds 5]

Networks have drawn weights, and all ways get the same bytes, in turn in one process. ``cpu`` is time of the
processor, in which rounds of a busy machine differ least. Pixels: of how many the decision differs, at the
median of torch's heatmaps, where they are closest. OpenVINO is measured where it is installed.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from assay.production.onnx_file import write_onnx
from benchmarks.networks import deployed_segdec, deployed_supervised
from benchmarks.shared import interleaved, options, ratio_text
from trainables.runtime.deployed import DeployedModel
from trainables.runtime.device import keep_freed_memory

Heatmaps = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


NETWORKS: dict[str, tuple[str, Callable[[], DeployedModel]]] = {  # their titles, and how they are made
    "segdec": ("SegDecNet, a quarter of its channels, 704 × 256", deployed_segdec),
    "classifier": ("The classifier with its map, 256 × 256", partial(deployed_supervised, "classifier")),
    "unet": ("The U-Net, 256 × 256", partial(deployed_supervised, "unet")),
}


def by_torch(model: DeployedModel) -> Heatmaps:
    return lambda images: model.decide(list(images)).heatmap


def by_onnxruntime(path: Path, threads: int) -> Heatmaps:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    return lambda images: cast("NDArray[np.float32]", session.run(["heatmap"], {"images": images})[0])


def by_openvino(path: Path, threads: int) -> Heatmaps:
    openvino: Any = importlib.import_module("openvino")
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    return lambda images: compiled({"images": images})["heatmap"]


def main() -> None:
    """Time the networks that are named, or all, and print a line for each batch and way."""
    given = options(__doc__, ("networks", list(NETWORKS)))
    keep_freed_memory()  # as `assay predict` does; else torch takes up to 1.8 times as long
    write = sys.stdout.write
    write(f"Median of {given.rounds} rounds, {given.threads} thread(s), torch {torch.__version__}, ")
    write(
        f"ONNX Runtime {onnxruntime.__version__}; ratio: torch's time to this way's, median (least–most).\n\n"
    )
    write("| network | images | way | ms an image | times as fast, cpu | wall | difference | pixels |\n")
    write("|---|---:|---|---:|---|---|---:|---:|\n")
    for title, make in (NETWORKS[name] for name in given.networks or NETWORKS):
        model = make()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            write_onnx(model, path)
            ways = {"torch": by_torch(model), "ONNX Runtime": by_onnxruntime(path, given.threads)}
            if importlib.util.find_spec("openvino") is not None:
                ways["OpenVINO"] = by_openvino(path, given.threads)
            for count in (1,) if given.quick else (1, 16):
                _compare(title, model, ways, (count, given.rounds))


def _compare(name: str, model: DeployedModel, ways: dict[str, Heatmaps], size: tuple[int, int]) -> None:
    count, rounds = size
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *model.card.image_size, model.card.channels), np.uint8)
    tasks = {way: partial(run, images) for way, run in ways.items()}
    expected = tasks["torch"]()
    threshold = np.median(expected)
    clocks = {"cpu": time.process_time, "wall": time.perf_counter}
    seconds = {clock: interleaved(tasks, rounds, read) for clock, read in clocks.items()}
    for way, task in tasks.items():
        answer = task()
        apart = float(np.abs(answer - expected).max())
        pixels = int(((answer >= threshold) != (expected >= threshold)).sum())
        ratios = [ratio_text(taken["torch"], taken[way]) for taken in seconds.values()]
        milliseconds = 1000 * statistics.median(seconds["wall"][way]) / count
        sys.stdout.write(
            f"| {name} | {count} | {way} | {milliseconds:.1f} | {' | '.join(ratios)} | {apart:.0e} | "
            f"{pixels} of {answer.size} |\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
