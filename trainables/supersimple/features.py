"""The frozen trunk and its two maps: made, kept, read again, and brought to one grid of cells.

Cell i of a map looks at pixel stride · i, the first of the square that it stands for. Both maps are read off,
bilinearly, at the middles of the heads' cells (ours; the published code aligns the maps' outer cells instead,
which moves those of small images by up to a cell).
"""

# B images, H × W pixels; C channels of h × w cells; O places that are read of a line of L cells

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from trainables.cam.config import ClassifierConfig
from trainables.cam.fit import load_classifier
from trainables.cam.network import Classifier
from trainables.data.samples import ImageSet
from trainables.errors import InputError
from trainables.nn.batches.augmentation import Augmentation
from trainables.nn.batches.on_device import TrainingImages, sent
from trainables.nn.batches.passes import image_batches, in_passes
from trainables.nn.choices import TrunkStride, flip_views
from trainables.nn.layers.trunk import Trunk
from trainables.nn.models import forward_context, load_into, with_layout
from trainables.stages import StageWork
from trainables.supersimple.config import SuperSimpleConfig

__all__ = [
    "ComputedMaps",
    "KeptMaps",
    "OwnTrunk",
    "combined",
    "new_trunk",
    "read_trunk",
    "to_pixels",
    "trunk_features",
]

_SHARD = 32  # images of a file


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

    def __init__(self, trunk: nn.Module, config: SuperSimpleConfig, images: ImageSet) -> None:
        self.trunk, self.config = trunk, config
        self.images = TrainingImages(images, config, next(trunk.parameters()).device)

    def read(self, positions: Sequence[int], views: Augmentation) -> list[Tensor]:
        """Both maps of some images (at least one), the finer first."""
        shown_BCHW = views.flip(self.images.batch(positions), positions)
        return _in_passes(self.trunk, self.config, shown_BCHW)


class KeptMaps:
    """The same from a stage's folder; the files are mapped into memory, not read as a whole."""

    def __init__(self, folder: Path, config: SuperSimpleConfig, device: torch.device) -> None:
        self.views = flip_views(config.head_flips)
        self.device = device
        self.shards = [safe_open(path, framework="pt") for path in sorted(folder.glob("*.safetensors"))]

    def read(self, positions: Sequence[int], views: Augmentation) -> list[Tensor]:
        """Both maps of some images (at least one), the finer first."""
        # Every view of an image was kept beside it, so a flip is a place in the file and not a computation.
        rows = [
            (i, self.views.index((bool(views.mirrored[i]), bool(views.overturned[i])))) for i in positions
        ]
        maps: list[Tensor] = []
        for name in ("finer", "coarser"):
            slices = [shard.get_slice(name) for shard in self.shards]
            values = [cast("Tensor", slices[i // _SHARD][i % _SHARD, view]) for i, view in rows]
            maps.append(sent(torch.stack(values), self.device).float())
        return maps


def make_maps(work: StageWork, *, weights_file: str | None) -> None:
    """Leave both maps of every training image in every view: N × views × C × h × w, in half precision."""
    config = work.settings(SuperSimpleConfig, weights_file=weights_file)
    # One worker makes the maps of all, since a stage's folder is written once.
    if work.run.rank:
        return

    # One file for each 32 images bounds the memory; half precision halves a folder that may hold gigabytes.
    trunk, images = read_trunk(config, work.inputs, work.run.device), work.data.train
    size = 0
    batches = image_batches(images, range(len(images)), work.run.device, _SHARD)
    for shard, pictures_BCHW in enumerate(batches):
        views: list[list[Tensor]] = []
        for flips in flip_views(config.head_flips):
            # The image is flipped and not its map: a network's cells look at the first pixel of their
            # square, and mirrored they would look at the last.
            axes = [axis for axis, flipped in zip((3, 2), flips, strict=True) if flipped]
            views.append([m.half().cpu() for m in _in_passes(trunk, config, pictures_BCHW.flip(axes))])
        finer, coarser = (torch.stack(maps, dim=1) for maps in zip(*views, strict=True))
        size += finer.nbytes + coarser.nbytes
        save_file({"finer": finer, "coarser": coarser}, work.folder / f"maps-{shard:05d}.safetensors")
    work.run.log(0, {"images": float(len(images)), "mebibytes": size / 2**20}, 1)


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
