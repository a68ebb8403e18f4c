"""Milliseconds of parts of a method beside other ways to do the same, in one process.

    python -m benchmarks.other_ways [blur crf fgbp layout matrices student unet unsupervised wide_layer]
        [--rounds 5]

Rounds are interleaved, so a busy machine slows all ways alike, and milliseconds are the processor's (with
``--threads`` above 1 those on the wall). Weights are drawn, not trained, which changes no time, and images
are noise. Where the ways end in the same tensor, the largest difference from the first one's is printed.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks import naive_ways, networks
from benchmarks.shared import interleaved, options, ratio_text
from trainables.nn.cam.guided import filtered_gradients
from trainables.nn.choices import Crf, GradientFilter
from trainables.nn.labels.refine import mean_field
from trainables.nn.layers.blur import gaussian_blur
from trainables.nn.layers.initialisation import initialise
from trainables.nn.layers.matrices import products
from trainables.nn.layers.same_conv import SameConv
from trainables.unsupervised.config import Scale
from trainables.unsupervised.patchnet import PatchNet

_SIGMA = 12.0  # of the small classifier's input
_LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
_BATCH = 8  # images of a training step


class Case(NamedTuple):
    """Ways to do the same; the first is what the others are measured by."""

    name: str
    ways: Mapping[str, Callable[[], object]]
    images: int = 1


def _noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def blur() -> Iterator[Case]:
    """Gaussian smoothing beside a depthwise convolution, the usual way."""
    for shape in ((16, 1, 128, 128), (8, 1, 704, 256), (2, 1, 1408, 512)):
        images_BCHW = _noise(*shape)
        ways = {
            "assay": lambda x=images_BCHW: gaussian_blur(x, _SIGMA),
            "convolution": lambda x=images_BCHW: naive_ways.convolved(x, _SIGMA),
        }
        yield Case(f"{shape[2]} × {shape[3]}, {shape[0]}", ways, shape[0])


def crf() -> Iterator[Case]:
    """The mean-field CRF beside one that writes out the window of every pixel, and growth with size."""
    settings = Crf()
    for height, width in ((256, 256), (256, 512), (512, 1408)):  # the last is KolektorSDD's
        image = 255 * _noise(1, 1, height, width)
        coarse = _noise(1, 1, height // 16, width // 16)
        prob = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[:, 0]
        ways = {
            "assay": lambda p=prob, x=image: mean_field(p, x, settings),
            "unfolded": lambda p=prob, x=image: naive_ways.naive_mean_field(p, x, settings),
        }
        yield Case(f"{height} × {width}", ways)


def fgbp() -> Iterator[Case]:
    """Maps by filtering-guided backpropagation beside hooks on the batch and image by image, and none."""
    for preset, size, count in (("small", 112, 16), ("small", 224, 16), ("pretrained", 256, 4)):
        net, images_BCHW = networks.classifier(preset, (size, size))[0], _noise(count, 1, size, size)
        initialise(net, 0)
        net.eval()

        def filtered(net: networks.Classifier = net, x: Tensor = images_BCHW) -> Tensor:
            with filtered_gradients(net, GradientFilter(q=naive_ways.Q)):
                return naive_ways.layer_maps(net, x)

        ways = {
            "assay": filtered,
            "hooks": lambda n=net, x=images_BCHW: naive_ways.hooked_maps(n, x),
            "loop of hooks": lambda n=net, x=images_BCHW: naive_ways.looped_maps(n, x),
            "no filter": lambda n=net, x=images_BCHW: naive_ways.layer_maps(n, x),
        }
        yield Case(f"{preset}, {size} × {size}, {count}", ways, count)


def layout() -> Iterator[Case]:
    """A training step of 8 images, channels_last and contiguous.

    What is faster decides ``memory_format: auto`` (``TrainableConfig.resolved``). SegDecNet, whose networks
    are wide, decides for itself.
    """
    for name, make, preset, size in (
        ("classifier", networks.classifier, "small", 128),
        ("classifier", networks.classifier, "pretrained", 224),
        ("U-Net", networks.segmenter, "reduced", 128),
        ("U-Net", networks.segmenter, "reduced", 224),
        ("U-Net", networks.segmenter, "standard", 224),
        ("generator and critic", networks.critic, "f_anogan_small", 64),
    ):
        training = networks.Training(make, preset, _BATCH, (size, size))
        ways = {where: training.step(memory) for where, memory in _LAYOUTS.items()}
        yield Case(f"{name}, {preset}, {size} × {size}", ways, _BATCH)


def student() -> Iterator[Case]:
    """The distilled student of ``focus``, beside the chain that it replaces.

    ``whole`` is the chain: the classifier with its map, all erasing steps with their inpainting, both
    segmentation nets, the CRF. ``score and net`` is what ``predict`` of the chain takes, without the erasing.
    """
    for preset, size in (("reduced", 128), ("standard", 224)):
        images_BCHW = _noise(_BATCH, 1, size, size)
        chain, net = networks.chain_and_student(preset, (size, size))
        ways = {
            "student": lambda n=net, x=images_BCHW: n.predict(x),
            "score and net": lambda c=chain, x=images_BCHW: c.predict(x),
            "whole": lambda c=chain, x=images_BCHW: c.predict_stages(x),
        }
        yield Case(f"{preset}, {size} × {size}", ways, _BATCH)


def unet() -> Iterator[Case]:
    """A training step of the small U-Net beside torch's own layers, and maps that are enlarged first."""
    for side in (128, 160):
        images_BCHW = _noise(_BATCH, 1, side, side)
        ways: dict[str, Callable[[], object]] = {}
        for name, change in (
            ("assay", None),
            ("torch's layers", naive_ways.use_torch_layers),
            ("enlarged first", naive_ways.enlarge_first),
        ):
            net, loss = networks.segmenter("reduced", (side, side))
            if change is not None:
                change(net)
            ways[name] = networks.step(net, loss, images_BCHW, torch.channels_last)
        yield Case(f"{side} × {side}", ways, _BATCH)


def unsupervised() -> Iterator[Case]:
    """Students' descriptors at every pixel beside patches that are cut out; f-AnoGAN beside one at a time."""
    images_BCHW = _noise(1, 1, 64, 64)
    scales: tuple[Scale, ...] = (17, 33, 65)
    for scale in scales:
        net = PatchNet(scale, 1, 16, 32)
        initialise(net, 0)
        ways = {
            "assay": lambda n=net: n.dense(images_BCHW),
            "patches": lambda n=net: naive_ways.patchwise(n, images_BCHW),
        }
        yield Case(f"descriptors, scale {scale}, 64 × 64", ways)
    for side in (128, 256):
        nets, shown = networks.small_f_anogan(side), _noise(1, 1, side, side)
        ways = {
            "assay": lambda n=nets, x=shown: n.anomaly(x),
            "patches": lambda n=nets, x=shown: naive_ways.one_by_one(n, x),
        }
        yield Case(f"f-AnoGAN, stride 8, {side} × {side}", ways)


def wide_layer() -> Iterator[Case]:
    """A training step of SegDecNet's wide layers beside torch's own, weights in each layout.

    15 × 15 cells: maps of images of 128 × 128, 256 × 192 and 704 × 256 at a quarter of the channels, and of
    128 × 128 at full width. 5 × 5 cells: the layers of 640 × 232 and 128 × 128 at full width.
    """
    for side, inputs, outputs, size in (
        (15, 16, 256, (16, 16)),
        (15, 16, 256, (32, 24)),
        (15, 16, 256, (88, 32)),
        (15, 64, 1024, (16, 16)),
        (5, 32, 64, (320, 116)),
        (5, 64, 64, (320, 116)),
        (5, 64, 64, (160, 58)),
        (5, 64, 64, (64, 64)),
    ):
        memory = torch.channels_last if side == 15 else torch.contiguous_format
        maps_BCHW = _noise(1, inputs, *size).to(memory_format=memory)
        layer = SameConv(inputs, outputs, side).to(memory_format=memory)  # pyright: ignore[reportCallIssue]
        ways = {"assay": _pass(layer, maps_BCHW)}
        for name, memory in _LAYOUTS.items():
            plain = torch.nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False)
            plain = plain.to(memory_format=memory)  # pyright: ignore[reportCallIssue]
            ways[f"torch, {name}"] = _pass(plain, maps_BCHW.contiguous(memory_format=memory))
        yield Case(f"{side} × {side}, {inputs} → {outputs}, {size[0]} × {size[1]}", ways)


def matrices() -> Iterator[Case]:
    """Products of a prediction's spectra beside MKL's.

    Maps are those of 704 × 256 at a quarter of SegDecNet's channels, and of 640 × 232 at full width, with the
    outputs of a chunk.
    """
    for spectra, rows, inputs, outputs in ((58, 88, 240, 256), (52, 80, 960, 80)):
        left, right = _noise(spectra, rows, inputs), _noise(spectra, outputs, inputs)
        ways: dict[str, Callable[[], object]] = {
            "assay": partial(products, left, right, wide=True),
            "MKL": partial(torch.bmm, left, right.mT),
        }
        yield Case(f"{spectra} of {rows} × {inputs} and {inputs} × {outputs}", ways)


def _pass(layer: torch.nn.Module, maps_BCHW: Tensor) -> Callable[[], None]:
    maps_BCHW = maps_BCHW.clone().requires_grad_()

    def run() -> None:
        layer.zero_grad()
        layer(maps_BCHW).sum().backward()

    return run


PARTS = (blur, crf, fgbp, layout, matrices, student, unet, unsupervised, wide_layer)
_WITHOUT_GRADIENT = (matrices, student, unsupervised)


def rows(case: Case, rounds: int, clock: Callable[[], float]) -> Iterator[str]:
    """Lines of the table: milliseconds an image, ratios of the rounds, and how far the answers are apart."""
    seconds = interleaved(case.ways, rounds, clock)
    first, *_ = case.ways
    expected = case.ways[first]()
    for name, times in seconds.items():
        spread = ratio_text(times, seconds[first])
        answer = case.ways[name]()
        apart = "–"
        if isinstance(answer, Tensor) and isinstance(expected, Tensor):
            apart = f"{float((answer - expected).abs().max()):.0e}"
        milliseconds = 1000 * statistics.median(times) / case.images
        yield f"| {case.name} | {name} | {milliseconds:.2f} | {spread} | {apart} |"


def main() -> None:
    """Time the parts that are named, or all, and print a table for each."""
    by_name = {part.__name__: part for part in PARTS}
    given = options(__doc__, ("parts", list(by_name)))
    clock = time.process_time if given.threads == 1 else time.perf_counter
    write = sys.stdout.write
    write(f"Median of {given.rounds} rounds, {given.threads} thread(s), torch {torch.__version__}; ratio: ")
    write("median (least–most) of the rounds' ratios to the first way.\n")
    for part in (by_name[name] for name in given.parts or by_name):
        write(f"\n{(part.__doc__ or '').splitlines()[0]}\n\n")
        write("| case | way | ms an image | ratio | difference |\n|---|---|---:|---:|---:|\n")
        for number, case in enumerate(part()):
            if given.quick and number:
                break
            with torch.inference_mode(part in _WITHOUT_GRADIENT):
                for line in rows(case, given.rounds, clock):
                    write(line + "\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
