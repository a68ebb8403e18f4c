"""Times an ONNX file in turn with a reference, in a process that loads ONNX Runtime and nothing of assay.

Run as a file, ``python -P onnx_timing.py MODEL REFERENCE IMAGES THREADS``: prints medians over rounds and the
peak of the process's memory as JSON. The reference is loaded after the peak was read.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

_ROUNDS, _WARM_UPS = 21, 3
_BATCH = 16  # tiles of an image in one run
_STATUS = Path("/proc/self/status")


def measure(model: str, reference: str, images: NDArray[np.uint8], threads: int) -> dict[str, float]:
    """Seconds for ``images`` (N × H × W × C, tiles of one image) and for the reference; memory in MiB."""
    timed = _open(model, threads)
    for _ in range(_WARM_UPS):
        _seconds(timed, images)
    peak = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    beside = _open(reference, threads)
    shape = [1 if isinstance(side, str) else side for side in beside.get_inputs()[0].shape]
    ones = np.ones(shape, np.float32)
    rounds = [(_seconds(timed, images), _seconds(beside, ones)) for _ in range(_WARM_UPS + _ROUNDS)]
    of_model, of_reference = zip(*rounds[_WARM_UPS:], strict=True)
    return {
        "seconds": statistics.median(of_model),
        "reference_seconds": statistics.median(of_reference),
        "memory_mb": int(peak.split()[1]) / 1024,
    }


def _open(path: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _seconds(session: onnxruntime.InferenceSession, images: NDArray[np.generic]) -> float:
    name = session.get_inputs()[0].name
    start = time.perf_counter()
    for first in range(0, len(images), _BATCH):
        session.run(None, {name: images[first : first + _BATCH]})
    return time.perf_counter() - start


if __name__ == "__main__":
    _, model, reference, images, threads = sys.argv
    sys.stdout.write(json.dumps(measure(model, reference, np.load(images), int(threads))))
