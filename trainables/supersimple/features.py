"""The frozen trunk and its two maps: made, kept, read again, and brought to one grid of cells.

Cell i of a map looks at pixel stride · i, the first of the square that it stands for. Both maps are read off,
bilinearly, at the middles of the heads' cells (ours; the published code aligns the maps' outer cells instead,
which moves those of small images by up to a cell).
"""

# B images, H × W pixels; C channels of h × w cells; O places that are read of a line of L cells

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from trainables.cam.config import ClassifierConfig
from trainables.cam.fit import load_classifier
from trainables.cam.network import Classifier
from trainables.data.samples import ImageSet
from trainables.errors import InputError
from trainables.nn.batches.augmentation import Augmentation
from trainables.nn.batches.on_device import TrainingImages
from trainables.nn.batches.passes import image_batches, in_passes
from trainables.nn.choices import TrunkStride
from trainables.nn.layers.trunk import Trunk
from trainables.nn.models import forward_context, load_into, with_layout
from trainables.nn.trunk.kept_maps import SHARD, KeptMaps, keep_maps, kept_trunk_maps
from trainables.stages import StageWork
from trainables.supersimple.config import SuperSimpleConfig
from trainables.supersimple.stages import MAPS

__all__ = [
    "ComputedMaps",
    "OwnTrunk",
    "combined",
    "kept_maps",
    "new_trunk",
    "read_trunk",
    "to_pixels",
    "trunk_features",
]

_NAMES = ("finer", "coarser")


class OwnTrunk(nn.Module):
    """Input layer and stages of a network that was trained here."""

    def __init__(self, classifier: Classifier, read: tuple[TrunkStride, TrunkStride] = (8, 16)) -> None:
        """``read``: strides of the maps that are read where the classifier stands on a published trunk."""
        super().__init__()
        self.input, self.backbone, self.read = classifier.input, classifier.backbone, read

    def forward(self, images_BCHW: Tensor) -> Sequence[Tensor]:
        """Outputs of the last two stages, or those that are read of a published trunk, the finer first."""
        seen_BCHW = self.input(images_BCHW)
        if isinstance(self.backbone, Trunk):
            maps = self.backbone(seen_BCHW)
            return [maps[stride] for stride in self.read]
        return self.backbone.features(seen_BCHW)[-2:]


def new_trunk(config: SuperSimpleConfig) -> nn.Module:
    """The trunk with arbitrary weights, for a saved model to be read into."""
    if config.trunk == "own" or config.learns:
        return OwnTrunk(Classifier(config), config.read)
    return Trunk(config.trunk, 16)


def read_trunk(config: SuperSimpleConfig, folders: Mapping[str, Path], device: torch.device) -> nn.Module:
    """The trunk of a stage's folder or of the weights file, frozen.

    Raises:
        InputError: If the weights file is not named, missing, not the one meant or of another network.
    """
    # The stage says where the trunk comes from: trained on image labels, on rotations, or else published.
    if "classifier" in folders:
        trunk = OwnTrunk(load_classifier(folders["classifier"], device), config.read)
    elif "rotations" in folders:
        trunk, _ = load_into(folders["rotations"], ClassifierConfig, lambda task: OwnTrunk(Classifier(task)))
    else:
        assert config.trunk != "own", "its stage is named"
        if config.lacks_weights is not None:
            raise InputError(f"config.weights_file: {config.lacks_weights}")
        trunk = Trunk(config.trunk, 16).start_from(config).freeze()
    return with_layout(trunk, config).to(device).requires_grad_(False).eval()


@torch.no_grad()
def trunk_features(trunk: nn.Module, config: SuperSimpleConfig, images_BCHW: Tensor) -> list[Tensor]:
    """The two maps of images in [0, 1], the finer first, in float32."""
    if config.memory_format == "channels_last":
        images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
    with forward_context(config, images_BCHW.device):
        maps = trunk(images_BCHW)
    if isinstance(trunk, Trunk):
        maps = [maps[stride] for stride in config.strides]
    return [map_BChw.float().contiguous() for map_BChw in maps]


class ComputedMaps:
    """Maps of training images as they are seen in an epoch, made when they are asked for."""

    def __init__(
        self, trunk: nn.Module, config: SuperSimpleConfig, images: ImageSet, device: torch.device
    ) -> None:
        self.trunk, self.config = trunk, config
        self.images = TrainingImages(images, config, device)

    def read(self, positions: Sequence[int], views: Augmentation) -> list[Tensor]:
        """Both maps of some images (at least one), the finer first."""
        shown_BCHW = views.flip(self.images.batch(positions), positions)
        return _in_passes(self.trunk, self.config, shown_BCHW)


def kept_maps(
    config: SuperSimpleConfig, folders: Mapping[str, Path], images: ImageSet, device: torch.device
) -> KeptMaps | None:
    """The maps of training images from the stages' folders; None where they are not kept."""
    if not config.keep_maps:
        return None
    if config.trunk_file is not None:
        return kept_trunk_maps(config.trunk_file, folders, images, config.head_flips, device)
    return KeptMaps([(folders[MAPS], range(len(images)))], _NAMES, config.head_flips, device)


def make_maps(work: StageWork, *, weights_file: str | None) -> None:
    """Leave both maps of every training image in every view, in half precision."""
    config = work.settings(SuperSimpleConfig, weights_file=weights_file)
    # One worker makes the maps of all, since a stage's folder is written once.
    if work.run.rank:
        return

    # Half precision halves a folder that may hold gigabytes.
    trunk, images = read_trunk(config, work.inputs, work.run.device), work.data.train
    size = keep_maps(
        work.folder,
        _NAMES,
        image_batches(images, range(len(images)), work.run.device, SHARD),
        lambda images_BCHW: _in_passes(trunk, config, images_BCHW),
        flips=config.head_flips,
        dtype=torch.float16,
    )
    work.run.log(0, {"images": float(len(images)), "mebibytes": size}, 1)


def combined(maps: Sequence[Tensor], config: SuperSimpleConfig) -> Tensor:
    """Both maps on the heads' cells, one above the other: B × C × h × w, float32."""
    parts: list[Tensor] = []
    with torch.autocast(maps[0].device.type, enabled=False):  # places of pixels need float32
        for map_BChw, stride in zip(maps, config.strides, strict=True):
            lines: list[Tensor] = []
            # Reading at fractional places and averaging over neighbours are both linear, so each direction
            # is one small matrix, made from the sizes alone.
            for side, length in zip(config.image_size, map_BChw.shape[2:], strict=True):
                middles = _middles(side, config.cell, map_BChw.device)
                read = _between(length, middles / stride)
                lines.append(_neighbours(len(middles), map_BChw.device) @ read if config.averaged else read)
            parts.append(_resampled(map_BChw, lines))
    features_BChw = torch.cat(parts, dim=1)
    if config.memory_format == "channels_last":
        return features_BChw.contiguous(memory_format=torch.channels_last)
    return features_BChw


def to_pixels(map_B1hw: Tensor, config: SuperSimpleConfig) -> Tensor:
    """A map of the heads' cells at the image's size, bilinearly: B × 1 × H × W."""
    lines: list[Tensor] = []
    for side, length in zip(config.image_size, map_B1hw.shape[2:], strict=True):
        pixels = torch.arange(side, device=map_B1hw.device, dtype=torch.float32)
        lines.append(_between(length, (pixels - (config.cell - 1) / 2) / config.cell))
    return _resampled(map_B1hw, lines)


def _in_passes(trunk: nn.Module, config: SuperSimpleConfig, images_BCHW: Tensor) -> list[Tensor]:
    passes = [trunk_features(trunk, config, part) for part in in_passes(images_BCHW)]
    return [torch.cat(maps) for maps in zip(*passes, strict=True)]


def _middles(side: int, cell: int, device: torch.device) -> Tensor:
    """Middles of the cells along a side, pixels."""
    return torch.arange(-(-side // cell), device=device) * cell + (cell - 1) / 2


def _between(length: int, at_O: Tensor) -> Tensor:
    """The matrix that reads a line of ``length`` values at fractional places: O × ``length``."""
    distance_OL = at_O.clamp(0, length - 1)[:, None] - torch.arange(length, device=at_O.device)
    return (1 - distance_OL.abs()).clamp_min(0)


def _neighbours(length: int, device: torch.device) -> Tensor:
    """The matrix that averages each value of a line with those beside it."""
    places = torch.arange(length, device=device)
    near_LL = ((places[:, None] - places).abs() <= 1).float()
    return near_LL / near_LL.sum(dim=1, keepdim=True)


def _resampled(x_BCHW: Tensor, lines: Sequence[Tensor]) -> Tensor:
    """One product with a matrix for each direction."""
    down_hH, across_wW = lines
    return down_hH @ (x_BCHW.float() @ across_wW.T)
