"""Maps of a frozen trunk that were made once and are kept: written image by image, read by position.

    keep_maps(folder, ("0", "1"), batches, trunk_maps, flips="both", dtype=torch.float32)
    KeptMaps([(folder, range(len(images)))], ("0", "1"), "both", device).read([3, 0], views)

Every image lies there in each view that training shows it in: a network's cells look at the first pixel of
their square, and mirrored maps would have them look at the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from trainables.data.samples import ImageSet
from trainables.nn.batches.augmentation import Augmentation
from trainables.nn.batches.on_device import sent
from trainables.nn.batches.passes import image_batches
from trainables.nn.choices import Flips, flip_views
from trainables.nn.trunk.file import TrunkFile
from trainables.nn.trunk.network import OnnxNetwork
from trainables.nn.trunk.stages import TRUNK_STAGES
from trainables.run import ImageKind, TrainingCutError
from trainables.stages import StageWork

__all__ = ["SHARD", "KeptMaps", "keep_maps", "kept_trunk_maps"]

SHARD = 32  # images of a file


class KeptMaps:
    """Maps of images from the folders of stages; the files are mapped into memory, not read as a whole."""

    def __init__(
        self,
        parts: Sequence[tuple[Path, Sequence[int]]],
        names: Sequence[str],
        flips: Flips,
        device: torch.device,
    ) -> None:
        """Find the maps of images.

        Args:
            parts: Folders, and the positions of the images whose maps lie in each, in the files' order.
            names: Of the maps in the files.
            flips: That the maps were made for.
            device: That they are sent to.
        """
        self.names, self.views, self.device = names, flip_views(flips), device
        self._shards = [
            [safe_open(path, framework="pt") for path in sorted(folder.glob("*.safetensors"))]
            for folder, _ in parts
        ]
        self._places = {
            position: (part, row)
            for part, (_, positions) in enumerate(parts)
            for row, position in enumerate(positions)
        }

    def read(self, positions: Sequence[int], views: Augmentation | None = None) -> list[Tensor]:
        """The maps of some images (at least one), float32, as ``views`` shows them; None: as they are."""
        # Every view of an image was kept beside it, so a flip is a place in the file and not a computation.
        seen = [0] * len(positions)
        if views is not None:
            seen = [self.views.index((bool(views.mirrored[i]), bool(views.overturned[i]))) for i in positions]
        places = [self._places[i] for i in positions]
        maps: list[Tensor] = []
        for name in self.names:
            slices = [[shard.get_slice(name) for shard in shards] for shards in self._shards]
            values = [
                cast("Tensor", slices[part][row // SHARD][row % SHARD, view])
                for (part, row), view in zip(places, seen, strict=True)
            ]
            maps.append(sent(torch.stack(values), self.device).float())
        return maps


def keep_maps(
    folder: Path,
    names: Sequence[str],
    batches: Iterable[Tensor],
    maps_of: Callable[[Tensor], Sequence[Tensor]],
    *,
    flips: Flips,
    dtype: torch.dtype,
) -> float:
    """Write the maps of images into an empty folder: N × views × C × h × w each. Returns mebibytes.

    Args:
        folder: Of a stage.
        names: Of the maps.
        batches: Images B × C × H × W, ``SHARD`` at a time. One file for each bounds the memory.
        maps_of: The maps of a batch.
        flips: Of which every view is written.
        dtype: That they are written in.
    """
    size = 0
    for shard, images_BCHW in enumerate(batches):
        views: list[list[Tensor]] = []
        for flipped in flip_views(flips):
            axes = [axis for axis, chosen in zip((3, 2), flipped, strict=True) if chosen]
            views.append([each.to(dtype).cpu() for each in maps_of(images_BCHW.flip(axes))])
        columns = zip(*views, strict=True)
        maps = {name: torch.stack(column, dim=1) for name, column in zip(names, columns, strict=True)}
        size += sum(each.nbytes for each in maps.values())
        save_file(maps, folder / f"maps-{shard:05d}.safetensors")
    return size / 2**20


def make_trunk_maps(work: StageWork, *, trunk: Mapping[str, Any], kind: ImageKind) -> None:
    file = TrunkFile.model_validate(trunk)
    positions = _of_kind(work.data.train, kind)
    # One worker makes the maps of all, since a stage's folder is written once.
    if work.run.rank:
        return
    size = 0.0
    if positions:
        height, width = work.data.train[positions[0]].image.shape[:2]
        network = OnnxNetwork(file)
        network.read((height, width))
        size = keep_maps(
            work.folder,
            _numbered(file),
            image_batches(work.data.train, positions, torch.device("cpu"), SHARD),
            lambda images_BCHW: list(network(images_BCHW).values()),
            flips=work.config["flips"],
            dtype=torch.float32,
        )
    with suppress(TrainingCutError):  # a training that is only timed goes on to the stages after this one
        work.run.log(0, {"images": float(len(positions)), "mebibytes": size}, 1)


def kept_trunk_maps(
    file: TrunkFile, folders: Mapping[str, Path], images: ImageSet, flips: Flips, device: torch.device
) -> KeptMaps:
    """The maps of training images from the stages of a trunk's file, as far as ``folders`` has them."""
    parts = [
        (folders[name], _of_kind(images, kind)) for kind, name in TRUNK_STAGES.items() if name in folders
    ]
    return KeptMaps(parts, _numbered(file), flips, device)


def _of_kind(images: ImageSet, kind: ImageKind) -> list[int]:
    return np.flatnonzero(images.labels == (kind == "defective")).tolist()


def _numbered(file: TrunkFile) -> list[str]:
    return [str(number) for number in range(len(file.maps))]
