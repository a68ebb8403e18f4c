"""Parts of ``check.py``: each yields lines of Markdown, the first ones as soon as they are known."""

from __future__ import annotations

import copy
import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.gpu.runs import (
    Bench,
    CutShortError,
    InterruptedRun,
    LeftOutError,
    Part,
    Training,
    kernels_of,
    noise,
    seconds_of,
)
from benchmarks.segdec_throughput import PlainNet, plain_step
from benchmarks.shared import ROOT, environment_of
from trainables.contract import LocalRun
from trainables.data.samples import EvaluationData
from trainables.data.tensors import images_to_tensor
from trainables.evaluation.evaluate import evaluate_scorer
from trainables.evaluation.model_scorer import ModelScorer
from trainables.evaluation.scorer import Scores
from trainables.nn.models import forward_context
from trainables.runtime.device import prepare_gpu, set_deterministic
from trainables.segdec.config import SegDecConfig
from trainables.segdec.loss import LossWeights
from trainables.segdec.network import new_network
from trainables.segdec.predictor import SegDecPredictor
from trainables.segdec.targets import make_target

__all__ = ["PARTS"]

_Settings = Mapping[str, Any]

# Noise teaches nothing, and the published rates would drive the weights off within the seconds of a timing.
_STILL: _Settings = {"lr": 1e-6, "epochs": 10_000}
_SIZES: dict[str, _Settings] = {
    "640 × 232 × 3": {"preset": "ksdd2", **_STILL},
    "512 × 512": {"preset": "dagm", **_STILL},
    "1408 × 512": {"preset": "ksdd", **_STILL},
}
_TINY: _Settings = {"preset": "dagm", **_STILL, "image_size": (64, 128), "channel_scale": 0.125}
_METHODS: dict[str, tuple[str, _Settings]] = {
    "U-Net, small": ("supervised", {"preset": "unet_small"}),
    "U-Net, standard": ("supervised", {"preset": "unet_standard"}),
    "classifier, small": ("supervised", {"preset": "classifier_small"}),
    "classifier, standard": ("supervised", {"preset": "classifier_standard"}),
    "SuperSimpleNet, heads of 1024 channels": (
        "supersimple",
        {"preset": "own_small", "width": 64, "map_width": 1024, "decision_width": 128, "head_batch": 32},
    ),
}
_SHORT: dict[str, _Settings] = {  # the length of a timed training: it is cut
    "supervised": {"lr": 1e-6, "epochs": 10_000},
    "supersimple": {"epochs": 1, "min_steps": 1, "head_epochs": 10_000},
}
_REPEATED_SEGDEC: _Settings = {"preset": "dagm", "channel_scale": 0.25, "epochs": 3}
_REPEATED: dict[str, tuple[str, _Settings]] = {
    "SegDecNet": ("segdec", _REPEATED_SEGDEC),
    "SegDecNet, CUDA graph": ("segdec", {**_REPEATED_SEGDEC, "cuda_graph": True}),
    "U-Net": ("supervised", {"preset": "unet_small", "epochs": 3, "min_steps": 12}),
    "classifier": ("supervised", {"preset": "classifier_small", "epochs": 3, "min_steps": 12}),
    "SuperSimpleNet": (
        "supersimple",
        {"preset": "own_small", "epochs": 1, "min_steps": 4, "head_epochs": 3, "head_min_steps": 12},
    ),
}
_STUDY = """
study: gpu_check
question: Does a study train on shares of a GPU?
trainable: segdec
data: {reader: synthetic, options: {images: 60, positives: 24, size: [128, 128]}, splits: published,
       validation: {share: 0.2, by: item}}
config: {preset: dagm, image_size: [128, 128], channel_scale: 0.25, epochs: 2}
factors: {stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}}
design: {full: all}
repeats: {seeds: [0, 1]}
metrics: {primary: image_ap}
resources: {workers: 1, cpus: 1, gpus: %s, pack: auto}
keep: {models: none, probes: 4}
"""


def _segdec(settings: _Settings, **more: Any) -> Training:
    return Training("segdec", {**settings, **more})


def _plain_loop(training: Training, bench: Bench, *, tf32: bool) -> float:
    """Images per second of the plain loop, one image per step, with the kernels that torch chooses.

    ``tf32``: convolutions take torch's default arithmetic of 10 bits of mantissa, else float32 as a study.
    """
    prepare_gpu(bench.device, 1.0)
    set_deterministic(bench.device, False)
    if bench.on_gpu:
        torch.backends.cudnn.allow_tf32 = tf32
    config = training.config(bench.device)
    assert isinstance(config, SegDecConfig), "the plain loop is SegDecNet's"
    data = noise(config, 2)
    targets = [make_target(sample, config) for sample in data]
    targets = [
        t._replace(maps_2hw=None if t.maps_2hw is None else t.maps_2hw.to(bench.device)) for t in targets
    ]
    network, weights = PlainNet(config).to(bench.device), LossWeights.at(1, config)

    def both() -> None:
        for sample, target in zip(data, targets, strict=True):
            plain_step(network, images_to_tensor([sample.image], bench.device), target, weights, config.lr)

    return 2 / seconds_of(both, bench)


def training(bench: Bench) -> Iterator[str]:
    """Training steps of SegDecNet beside a plain loop: sizes × precision × layout × batch."""
    yield "| image | way | images/s | of plain | step, ms | peak, MiB |"
    yield "|---|---|---:|---:|---:|---:|"
    graph = {"cuda_graph": True}
    ways: dict[str, _Settings] = {"channels_last": {}, "channels_last, CUDA graph": graph}
    if not bench.quick:
        ways = {"contiguous": {"memory_format": "contiguous"}, **ways}
    precisions = ("float32",) if bench.quick else ("float32", "bfloat16")
    for size, settings in ({"64 × 128": _TINY} if bench.quick else _SIZES).items():
        plain = _plain_loop(_segdec(settings), bench, tf32=False)
        yield f"| {size} | plain loop, float32 | {plain:.1f} | 1.00 | {1e3 / plain:.2f} | |"
        if bench.on_gpu:
            usual = _plain_loop(_segdec(settings), bench, tf32=True)
            yield f"| {size} | plain loop, TF32 | {usual:.1f} | {usual / plain:.2f} | {1e3 / usual:.2f} | |"
        for precision, (name, more) in product(precisions, ways.items()):
            for batch in (1, 2 if bench.quick else 10):
                way = _segdec(settings, **{"memory_format": "channels_last", **more})
                way = replace(way, settings={**way.settings, "precision": precision, "batch_size": batch})
                pace = way.pace(bench)
                yield (
                    f"| {size} | {precision}, {name}, batch {batch} | {pace.images_per_second:.1f} | "
                    f"{pace.images_per_second / plain:.2f} | {pace.step_ms:.2f} | {pace.peak_mb:.0f} |"
                )


def launches(bench: Bench) -> Iterator[str]:
    """Kernels of a step at batch 1, how long the GPU is busy, and the network as one graph."""
    settings = _TINY if bench.quick else _SIZES["512 × 512"]
    for name, more in {"A step of `fit`": {}, "With `cuda_graph`": {"cuda_graph": True}}.items():
        way = _segdec(settings, **more)
        pace, kernels = way.pace(bench), kernels_of(way, bench)
        yield (
            f"{name} (batch 1): {pace.step_ms:.2f} ms, {kernels.launched:.0f} kernels, of which "
            f"{kernels.copies:.0f} copies between host and GPU. The GPU is busy for {kernels.busy_ms:.2f} ms "
            f"({kernels.busy_ms / pace.step_ms:.0%})."
        )
    yield ""
    yield "| network, batch 1 | forward and backward, ms | inference, ms |"
    yield "|---|---:|---:|"
    config = _segdec(settings).config(bench.device)
    assert isinstance(config, SegDecConfig)
    image = torch.rand(1, config.channels, *config.image_size, device=bench.device)
    for name, make in (_WAYS if bench.on_gpu else {"eager": _WAYS["eager"]}).items():
        network = new_network(config, 0, bench.device)
        try:
            both, forward = make(network, config, image)
            yield f"| {name} | {1e3 * seconds_of(both, bench):.2f} | {1e3 * seconds_of(forward, bench):.2f} |"
        except Exception as error:  # noqa: BLE001 - one way that fails is a row
            yield f"| {name} | {_in_a_line(error)} | |"


_Call = Callable[[], object]


def _eager(network: torch.nn.Module, config: SegDecConfig, image: Tensor) -> tuple[_Call, _Call]:
    def both() -> None:
        network.zero_grad(set_to_none=False)
        with forward_context(config, image.device):
            output = network(image)
        (output.cls_logits_B.float().sum() + output.seg_logits_B1hw.float().mean()).backward()

    def forward() -> object:
        with torch.no_grad(), forward_context(config, image.device):
            return network(image)

    return both, forward


def _graph(network: torch.nn.Module, config: SegDecConfig, image: Tensor) -> tuple[_Call, _Call]:
    with torch.cuda.device(image.device):  # of the current GPU are streams and recordings
        return cast(
            "tuple[_Call, _Call]", tuple(_captured(action) for action in _eager(network, config, image))
        )


def _captured(action: _Call) -> _Call:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # memory and handles are taken before the capture
        for _ in range(3):
            action()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        action()
    return graph.replay


def _reduced(network: torch.nn.Module, config: SegDecConfig, image: Tensor) -> tuple[_Call, _Call]:
    compiled = torch.compile(copy.deepcopy(network), mode="reduce-overhead")
    return _eager(cast("torch.nn.Module", compiled), config, image)


_WAYS = {"eager": _eager, "CUDA graph": _graph, "torch.compile, reduce-overhead": _reduced}


def methods(bench: Bench) -> Iterator[str]:
    """Training steps of the other networks."""
    yield "| method | precision | images/s | step, ms | peak, MiB |"
    yield "|---|---|---:|---:|---:|"
    size = (32, 32) if bench.quick else (256, 256)
    chosen = dict(list(_METHODS.items())[:1]) if bench.quick else _METHODS
    for name, (method, settings) in chosen.items():
        for precision in ("float32",) if bench.quick else ("float32", "bfloat16"):
            way = Training(method, {**settings, **_SHORT[method], "image_size": size, "precision": precision})
            pace = way.pace(bench)
            yield (
                f"| {name} | {precision} | {pace.images_per_second:.0f} | {pace.step_ms:.2f} | "
                f"{pace.peak_mb:.0f} |"
            )


def repeatability(bench: Bench) -> Iterator[str]:
    """Weights of trainings with one seed, twice and with an interruption, and the price of the flags."""
    yield "| method | deterministic flags | two trainings | interrupted and resumed | images/s |"
    yield "|---|---|---|---|---:|"
    chosen = dict(list(_REPEATED.items())[2:3]) if bench.quick else _REPEATED
    size = (32, 32) if bench.quick else (256, 256)
    for name, (method, settings) in chosen.items():
        for flags in (False, True):
            count = 8 if bench.quick else 32
            way = Training(method, {**settings, "image_size": size}, count, deterministic=flags)
            first = _weights(way, LocalRun(device=bench.device))
            again = _weights(way, LocalRun(device=bench.device))
            resumed = _resumed(way, bench.device)
            timed = replace(way, settings={**way.settings, **_SHORT.get(method, _STILL)})
            bits = f"{_equal(first, again)} | {_equal(first, resumed)}"
            rate = timed.pace(bench).images_per_second
            yield f"| {name} | {'on' if flags else 'off'} | {bits} | {rate:.0f} |"


def _equal(first: str, second: str) -> str:
    return "equal to the bit" if first == second else "differ"


def _weights(way: Training, run: LocalRun) -> str:
    with tempfile.TemporaryDirectory() as folder:
        way.fit(run).save(Path(folder))
        return hashlib.sha256((Path(folder) / "model.safetensors").read_bytes()).hexdigest()


def _resumed(way: Training, device: torch.device) -> str:
    with tempfile.TemporaryDirectory() as folder:
        with suppress(CutShortError):
            way.fit(InterruptedRun(device=device, folder=Path(folder)))
        return _weights(way, LocalRun(device=device, folder=Path(folder)))


def evaluation(bench: Bench) -> Iterator[str]:
    """Evaluation of a model: the share of prediction, and what the metrics take."""
    settings = _TINY if bench.quick else {**_SIZES["1408 × 512"], "image_size": (704, 256)}
    config = _segdec(settings).config(bench.device)
    assert isinstance(config, SegDecConfig)
    prepare_gpu(bench.device, 1.0)
    predictor = SegDecPredictor(new_network(config, 0, bench.device), config)
    count = 8 if bench.quick else 128
    data = EvaluationData(None, noise(config, count))
    scorer = _TimedScorer(predictor, bench.device)
    evaluate_scorer(scorer, EvaluationData(None, noise(config, 4)), batch=4, probes=0, seed=0)
    scorer.seconds = 0.0
    begin = time.perf_counter()
    evaluate_scorer(scorer, data, batch=16, probes=4, seed=0)
    whole = time.perf_counter() - begin
    yield (
        f"{count} images of {config.image_size[0]} × {config.image_size[1]}: {1e3 * whole / count:.2f} ms an "
        f"image in all, of which prediction, copies included, {1e3 * scorer.seconds / count:.2f} ms."
    )


class _TimedScorer(ModelScorer):
    """A scorer that adds up what its answers take."""

    seconds = 0.0

    def score(self, *args: Any, **more: Any) -> Scores:
        answer = super().score(*args, **more)
        self.seconds += answer.seconds
        return answer


def transfers(bench: Bench) -> Iterator[str]:
    """One image on its way to the network: from the host's memory, and from a table on the device."""
    config = _segdec(_TINY if bench.quick else _SIZES["1408 × 512"]).config(bench.device)
    images = [sample.image for sample in noise(config, 4 if bench.quick else 64)]
    stacked = torch.stack([torch.from_numpy(image) for image in images])
    table = stacked.to(bench.device)
    row = torch.tensor([3], device=bench.device)
    ways: dict[str, Callable[[], object]] = {
        "from pageable memory (`images_to_tensor`)": lambda: images_to_tensor(images[:1], bench.device),
        "from a table of bytes on the device": lambda: (
            table[row].permute(0, 3, 1, 2).contiguous().float().div_(255)
        ),
    }
    if bench.on_gpu:
        pinned = stacked.pin_memory()
        ways["from pinned memory, not waited for"] = lambda: (
            pinned[:1].to(bench.device, non_blocking=True).permute(0, 3, 1, 2).contiguous().float().div_(255)
        )
    yield f"| {config.image_size[0]} × {config.image_size[1]}, one image | µs |"
    yield "|---|---:|"
    for name, way in ways.items():
        yield f"| {name} | {1e6 * seconds_of(way, bench):.0f} |"


def peak(bench: Bench) -> Iterator[str]:
    """The device's matrix product, as a measure of all else."""
    side = 256 if bench.quick else 8192
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(side, side, device=bench.device, dtype=dtype)
        rate = 2 * side**3 / seconds_of(lambda a=a: a @ a, bench) / 1e12
        yield f"- {str(dtype).removeprefix('torch.')}, {side} × {side}: {rate:.2f} TFLOP/s"


def sharing(bench: Bench) -> Iterator[str]:
    """Trials beside each other on one device, each a process as in a study."""
    yield "| trials at once | images/s in all | of one alone |"
    yield "|---:|---:|---:|"
    settings = {**_SIZES["1408 × 512"], "image_size": (704, 256), "channel_scale": 0.25}
    way, alone = _segdec(_TINY if bench.quick else settings), 0.0
    context = get_context("fork")  # nothing of CUDA has been started in this process
    for count in (1, 2) if bench.quick else (1, 2, 4, 8):
        barrier, rates = context.Barrier(count), context.SimpleQueue()
        jobs = [context.Process(target=_share, args=(way, bench, barrier, rates)) for _ in range(count)]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        if any(job.exitcode for job in jobs):
            yield f"| {count} | failed | |"
            return
        total = sum(rates.get() for _ in jobs)
        alone = alone or total
        yield f"| {count} | {total:.1f} | {total / alone:.2f} |"


def _share(way: Training, bench: Bench, barrier: Barrier, rates: Any) -> None:
    torch.set_num_threads(1)
    rates.put(way.pace(bench, at_start=barrier.wait).images_per_second)


def study(bench: Bench) -> Iterator[str]:
    """A whole study of four trials, at a quarter of the GPU each and one after the other."""
    import ray  # noqa: F401  # pyright: ignore[reportUnusedImport] - only Ray gives a trial a share of a GPU

    if not bench.on_gpu:
        raise LeftOutError("shares are shares of a GPU.")
    yield "| `resources.gpus` | exit code | seconds | last line |"
    yield "|---:|---:|---:|---|"
    for share in ("0.25", "1"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "gpu_check.yaml"
            path.write_text(_STUDY % share, encoding="utf-8")
            begin = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "assay", "run", str(path)],
                capture_output=True,
                text=True,
                cwd=folder,
                env=environment_of(ROOT),
                check=False,
            )
            last = ["", *(done.stderr + done.stdout).strip().splitlines()][-1]
            seconds = time.monotonic() - begin
            yield f"| {share} | {done.returncode} | {seconds:.0f} | {last[:120].replace('|', ' ')} |"


def _in_a_line(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {text[:120]}".replace("|", " ")


# Title → (part, seconds that it may take; a network's compilation takes most of those of "Launches"). What
# matters most comes first; together they take ten minutes.
PARTS: dict[str, tuple[Part, float]] = {
    "Training steps of SegDecNet": (training, 140),
    "Launches": (launches, 120),
    "Repeatability": (repeatability, 85),
    "Other networks": (methods, 50),
    "Evaluation": (evaluation, 20),
    "Transfers": (transfers, 15),
    "Trials beside each other": (sharing, 60),
    "Matrix products": (peak, 15),
    "A study on shares of a GPU": (study, 90),
}
