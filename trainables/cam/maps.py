"""From a trained classifier to heatmaps: which map is read off it, where it lies, and when it is 1.

A map is read off the head (CAM) or explained by gradients of the logit in some layers, brought to pixels,
moved by the layer's constant offset, and divided by one number for all images. Dividing each map by its own
maximum, as is common for pictures, would make every normal image reach 1.

Each layer has an offset of its own: of a net whose last stage lay 14 pixels beside blowholes, the first stage
lay on them. Offsets and scales are measured on defective training images, without masks. They are buffers of
the module, so a saved model needs nothing beside it.
"""

# B images of H × W pixels, h × w cells of a layer

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainables.cam.config import MapSettings
from trainables.cam.network import Classifier
from trainables.data.samples import ImageSet
from trainables.errors import InputError
from trainables.nn.batches.passes import image_passes
from trainables.nn.cam.activation import (
    GRADIENT_MAPS,
    REACH,
    Offset,
    best_offset,
    blur_residual,
    dataset_scale,
    fuse_layers,
    minmax,
    offset_scores,
    recentre,
    score_gradients,
)
from trainables.nn.layers.pooling import enlarge_cells

__all__ = ["CamMaps", "RawMaps", "load_maps", "measured_maps", "save_maps"]

_FILE = "maps.safetensors"
_MapsT = TypeVar("_MapsT", bound=nn.Module)


class RawMaps(NamedTuple):
    """Logits and maps of B images of H × W pixels, without gradient."""

    score_B: Tensor  # logits
    map_BHW: Tensor  # ≥ 0, on one scale for all images, in place

    def scaled_by(self, scale: Tensor) -> RawMaps:
        """The maps divided by ``scale``, within [0, 1]."""
        return RawMaps(self.score_B, (self.map_BHW / scale).clamp(0, 1))


class CamMaps(nn.Module):
    """A classifier and the map that is read off it; ``measured_maps`` makes one from training images."""

    offsets: Tensor  # pixels that a layer's map is moved, layers × 2: down and right
    layer_scales: Tensor  # what a layer's raw map is divided by before layers are fused
    scale: Tensor  # what the whole map is divided by

    def __init__(self, net: Classifier, settings: MapSettings) -> None:
        super().__init__()
        self.net = net
        self.settings = settings
        layers = max(1, len(settings.layers))
        self.register_buffer("offsets", torch.zeros(layers, 2, dtype=torch.long))
        self.register_buffer("layer_scales", torch.ones(layers))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, images_BCHW: Tensor) -> RawMaps:
        """Raw maps at pixels, in place; the network is in eval mode."""
        score_B, layers = self.logits_and_layers(images_BCHW)
        if len(layers) == 1:
            return RawMaps(score_B, layers[0])
        scaled = [part / scale for part, scale in zip(layers, self.layer_scales, strict=True)]
        return RawMaps(score_B, fuse_layers(scaled, self.settings.fusion))

    def heatmaps(self, images_BCHW: Tensor) -> RawMaps:
        """The same divided by ``scale``, within [0, 1]."""
        return self(images_BCHW).scaled_by(self.scale)

    def logits_and_layers(self, images_BCHW: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """Logits, and the raw map of each layer at pixels, in place: B × H × W."""
        score_B, layers = self.unmoved(images_BCHW)
        moved = [
            recentre(part, offset[0], offset[1]) for part, offset in zip(layers, self.offsets, strict=True)
        ]
        return score_B, moved

    def unmoved(self, images_BCHW: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """Logits, and the raw map of each layer at pixels, where the network puts it.

        Raises:
            InputError: If a map by gradients is to be exported.
        """
        # The CAM is read off the head in the forward pass; all other maps need the gradient of the logit.
        size = (images_BCHW.shape[2], images_BCHW.shape[3])
        if self.settings.method == "cam":
            with torch.no_grad():
                output = self.net(images_BCHW)
                map_B1hw = self.net.head.activation(output.evidence_B1hw)
                return output.score_B, [enlarge_cells(map_B1hw, self.net.config.maps[-1][1], size)]
        if torch.compiler.is_exporting():
            raise InputError(
                f"method: {self.settings.method} needs a backward pass for each image, which an exported "
                "graph does not have. Export a model of method: cam."
            )
        weigh = GRADIENT_MAPS[self.settings.method]
        # Whoever predicts may have switched gradients off, and tensors made there cannot join a graph.
        with torch.inference_mode(False), torch.enable_grad():
            output = self.net(images_BCHW.clone().requires_grad_())  # below a frozen trunk nothing else does
            activations = [output.stages[layer] for layer in self.settings.layers]
            gradients = score_gradients(output.score_B, activations)

        # Each layer has cells of its own size, so each is enlarged by its own stride.
        strides = [self.net.config.maps[layer - 1][1] for layer in self.settings.layers]
        maps = [
            enlarge_cells(weigh(a.detach().float(), g.float()), stride, size)
            for a, g, stride in zip(activations, gradients, strides, strict=True)
        ]
        return output.score_B.detach(), maps


def measured_maps(net: Classifier, settings: MapSettings, images: ImageSet) -> tuple[CamMaps, Offset]:
    """The maps of a trained classifier, with offsets and scales measured on the defective ``images``.

    Args:
        net: Trained; it is set to eval mode.
        settings: Which map.
        images: The training set, at least one image of it defective. No mask is read.

    Returns:
        The maps, and the last layer's offset with what moving gained; (0, 0) without ``settings.recentre``.
    """
    maps = CamMaps(net, settings).to(net.device).eval()
    positives = np.flatnonzero(images.labels).tolist()

    def maxima(of: Callable[[Tensor], Sequence[Tensor]]) -> list[list[float]]:
        tops = [
            torch.stack([part.amax(dim=(1, 2)) for part in of(batch)])
            for batch in image_passes(images, positives, net.device)
        ]
        return torch.cat(tops, dim=1).tolist()

    # In this order: maps are moved first, then layers put on one scale, then the whole map; each step
    # measures what the one before it left.
    offsets = [Offset(0, 0, 1.0)]
    if settings.recentre:
        offsets = _offsets(maps, image_passes(images, positives, net.device))
        maps.offsets.copy_(torch.tensor([(offset.dy, offset.dx) for offset in offsets]))
    if len(settings.layers) > 1:
        scales = [dataset_scale(values) for values in maxima(lambda batch: maps.logits_and_layers(batch)[1])]
        maps.layer_scales.copy_(torch.tensor(scales))
    maps.scale.fill_(dataset_scale(maxima(lambda batch: [maps(batch).map_BHW])[0]))
    return maps, offsets[-1]


def save_maps(folder: Path, maps: nn.Module) -> None:
    """Write offsets and scales of one map or of several, without the network, into an existing folder."""
    save_file({name: tensor.cpu() for name, tensor in _measured(maps).items()}, folder / _FILE)


def load_maps(folder: Path, maps: _MapsT) -> _MapsT:
    """Read what :func:`save_maps` wrote into ``maps``, which is set to eval mode."""
    tensors = load_file(folder / _FILE)
    for name, tensor in _measured(maps).items():
        tensor.copy_(tensors[name])
    return maps.eval()


def _measured(maps: nn.Module) -> Mapping[str, Tensor]:
    """Offsets and scales; the network ``net``, which several maps share, comes first and is left out."""
    return {name: tensor for name, tensor in maps.named_buffers() if not name.startswith("net.")}


def _offsets(maps: CamMaps, batches: Iterator[Tensor]) -> list[Offset]:
    # Offsets grow with the cells: up to one and a half of 8 pixels were seen.
    reach = max(REACH, 3 * maps.net.config.output_stride // 2)
    scores = torch.zeros(len(maps.offsets), 2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
    for batch in batches:
        # Scores of images are summed before the best offset is chosen, because one image alone is too noisy
        # to tell.
        residual, layers = blur_residual(batch), maps.unmoved(batch)[1]
        scores += torch.stack([offset_scores(minmax(part), residual, reach).sum(0) for part in layers]).cpu()
    return [best_offset(score) for score in scores]
