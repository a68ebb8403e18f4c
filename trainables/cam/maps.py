"""From a trained classifier to heatmaps: which map is read off it, where it lies, and when it is 1.

A map is read off the head (CAM) or explained by gradients of the logit in some layers, brought to pixels,
moved by the net's constant offset, and divided by one number for all images. Dividing each map by its own
maximum, as is common for pictures, would make every normal image reach 1.

Offset and scales are measured on defective training images, without masks. They are buffers of the module,
so a saved model needs nothing beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import BaseModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainables.cam.config import CamConfig, MapMethod
from trainables.cam.network import Classifier
from trainables.data.samples import ImageSet
from trainables.errors import InputError
from trainables.nn.cam import (
    GRADIENT_MAPS,
    Fusion,
    dataset_scale,
    fuse_layers,
    minmax,
    score_gradients,
)
from trainables.nn.floors import blur_residual
from trainables.nn.maps import enlarge_cells
from trainables.nn.passes import image_passes
from trainables.nn.recentre import REACH, Offset, best_offset, offset_scores, recentre

__all__ = ["CamMaps", "MapSettings", "RawMaps", "load_maps", "measured_maps", "save_maps"]

_FILE = "maps.safetensors"


class MapSettings(BaseModel, frozen=True, extra="forbid"):
    """Which map is read off a classifier: all that a map depends on, beside the classifier."""

    method: MapMethod = "cam"
    layers: tuple[int, ...] = ()  # stages from 1, for gradients; none for the CAM
    fusion: Fusion = "mean"
    recentre: bool = True

    @classmethod
    def of(cls, config: CamConfig) -> MapSettings:
        """Those of a config, without what its method does not read."""
        if config.method == "cam":
            return cls(recentre=config.recentre)
        fusion = config.fusion if len(config.layers) > 1 else "mean"
        return cls(method=config.method, layers=config.explained, fusion=fusion, recentre=config.recentre)


class RawMaps(NamedTuple):
    """What a classifier says of B images of H × W pixels, without gradient."""

    score_B: Tensor  # logits
    map_BHW: Tensor  # ≥ 0, on one scale for all images, in place


class CamMaps(nn.Module):
    """A classifier and the map that is read off it; ``measured_maps`` makes one from training images."""

    offset: Tensor  # 2 pixels, down and right: how far maps are moved
    layer_scales: Tensor  # one per layer: what its raw map is divided by before layers are fused
    scale: Tensor  # what the whole map is divided by

    def __init__(self, net: Classifier, settings: MapSettings) -> None:
        super().__init__()
        self.net = net
        self.settings = settings
        self.register_buffer("offset", torch.zeros(2, dtype=torch.long))
        self.register_buffer("layer_scales", torch.ones(max(1, len(settings.layers))))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, images_BCHW: Tensor) -> RawMaps:
        """Raw maps at pixels, moved; the network is in eval mode."""
        raw = self.unmoved(images_BCHW)
        return RawMaps(raw.score_B, recentre(raw.map_BHW, self.offset[0], self.offset[1]))

    def heatmaps(self, images_BCHW: Tensor) -> RawMaps:
        """The same divided by ``scale``, within [0, 1]."""
        raw = self(images_BCHW)
        return RawMaps(raw.score_B, (raw.map_BHW / self.scale).clamp(0, 1))

    def unmoved(self, images_BCHW: Tensor) -> RawMaps:
        """Raw maps at pixels, where the network puts them."""
        score_B, layers = self.of_layers(images_BCHW)
        if len(layers) == 1:
            return RawMaps(score_B, layers[0])
        scaled = [part / scale for part, scale in zip(layers, self.layer_scales, strict=True)]
        return RawMaps(score_B, fuse_layers(scaled, self.settings.fusion))

    def of_layers(self, images_BCHW: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """Logits, and the raw map of each layer at pixels, B × H × W.

        Raises:
            InputError: If a map by gradients is to be exported.
        """
        size = (images_BCHW.shape[2], images_BCHW.shape[3])
        if self.settings.method == "cam":
            with torch.no_grad():
                output = self.net(images_BCHW)
                map_B1hw = self.net.head.activation(output.evidence_B1hw)
                stride = self.net.config.resnet.strides[-1]
                return output.score_B, [enlarge_cells(map_B1hw, stride, size)]
        if torch.compiler.is_exporting():
            raise InputError(
                f"method: {self.settings.method} needs a backward pass for each image, which an exported "
                "graph does not have. Export a model of method: cam."
            )
        weigh = GRADIENT_MAPS[self.settings.method]
        # Whoever predicts may have switched gradients off, and tensors made there cannot join a graph.
        with torch.inference_mode(False), torch.enable_grad():
            output = self.net(images_BCHW.clone())
            activations = [output.stages[layer] for layer in self.settings.layers]
            gradients = score_gradients(output.score_B, activations)
        strides = [self.net.config.resnet.strides[layer - 1] for layer in self.settings.layers]
        found = [
            enlarge_cells(weigh(a.detach().float(), g.float()), stride, size)
            for a, g, stride in zip(activations, gradients, strides, strict=True)
        ]
        return output.score_B.detach(), found


def measured_maps(net: Classifier, settings: MapSettings, images: ImageSet) -> tuple[CamMaps, Offset]:
    """The maps of a trained classifier, with offset and scales measured on the defective ``images``.

    Args:
        net: Trained; it is set to eval mode.
        settings: Which map.
        images: The training set, at least one image of it defective. No mask is read.

    Returns:
        The maps, and the offset with what moving gained; (0, 0) without ``settings.recentre``.
    """
    maps = CamMaps(net, settings).to(net.device).eval()
    positives = np.flatnonzero(images.labels).tolist()

    def maxima(of: Callable[[Tensor], Sequence[Tensor]]) -> list[list[float]]:
        found = [
            torch.stack([part.amax(dim=(1, 2)) for part in of(batch)])
            for batch in image_passes(images, positives, net.device)
        ]
        return torch.cat(found, dim=1).tolist()

    if len(settings.layers) > 1:
        scales = [dataset_scale(values) for values in maxima(lambda batch: maps.of_layers(batch)[1])]
        maps.layer_scales.copy_(torch.tensor(scales))
    offset = Offset(0, 0, 1.0)
    if settings.recentre:
        offset = _offset(maps, image_passes(images, positives, net.device))
        maps.offset.copy_(torch.tensor([offset.dy, offset.dx]))
    maps.scale.fill_(dataset_scale(maxima(lambda batch: [maps(batch).map_BHW])[0]))
    return maps, offset


def save_maps(folder: Path, maps: CamMaps) -> None:
    """Write offset and scales, without the network, into an existing folder."""
    buffers = {name: tensor.cpu() for name, tensor in maps.named_buffers(recurse=False)}
    save_file(buffers, folder / _FILE)


def load_maps(folder: Path, net: Classifier, settings: MapSettings) -> CamMaps:
    """What :func:`save_maps` wrote, around ``net``."""
    maps = CamMaps(net, settings)
    for name, tensor in load_file(folder / _FILE).items():
        maps.get_buffer(name).copy_(tensor)
    return maps.to(net.device).eval()


def _offset(maps: CamMaps, batches: Iterator[Tensor]) -> Offset:
    # Offsets grow with the cells: up to one and a half of 8 pixels were seen.
    reach = max(REACH, 3 * maps.net.config.output_stride // 2)
    scores = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=torch.float64, device=maps.offset.device)
    for batch in batches:
        scores += offset_scores(minmax(maps.unmoved(batch).map_BHW), blur_residual(batch), reach)
    return best_offset(scores)
