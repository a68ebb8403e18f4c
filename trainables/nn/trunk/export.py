"""Write a network as a trunk's file: ONNX with its maps as outputs, from RGB in [0, 1].

Of a network that assay knows, from its state dict:

    python -m trainables.nn.trunk.export lite0 efficientnet-lite0-57934424.pth lite0.onnx

Of any other, here one of timm; whatever returns maps from fine to coarse will do:

    network = timm.create_model("resnet18d", pretrained=True, features_only=True, out_indices=(2, 3))
    export_trunk(network, Path("resnet18d.onnx"), ("stride8", "stride16"))

The first prints the block that a study holds, the second returns the sha256 for it.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn

from trainables.errors import InputError
from trainables.nn.choices import TRUNK_WIDTHS, TrunkName
from trainables.nn.layers.trunk import Trunk
from trainables.nn.weights import copy_weights, load_weights_file

__all__ = ["export_published", "export_trunk"]

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # of photographs in RGB, as torchvision and timm
_OPSET = 20
_EXAMPLE = (2, 3, 128, 96)


def export_trunk(
    network: nn.Module,
    path: Path,
    maps: Sequence[str],
    *,
    mean: Sequence[float] = _IMAGENET[0],
    std: Sequence[float] = _IMAGENET[1],
    image_size: tuple[int, int] | None = None,
) -> str:
    """Write ``network`` to ``path`` and return the file's sha256, hexadecimal.

    Args:
        network: From standardised RGB images to maps B × C × h × w, as a sequence or by name.
        path: Of the file.
        maps: Names of the maps in this order.
        mean: Of the images that it was trained with, per channel of RGB in [0, 1].
        std: Their standard deviation.
        image_size: Height and width that the file is for; None: any.
    """
    # Sizes stay free where the network allows it: one file then serves studies of any image size.
    free = torch.export.Dim.DYNAMIC
    shapes = {0: free} if image_size is not None else {0: free, 2: free, 3: free}
    example = torch.rand(*_EXAMPLE[:2], *(image_size or _EXAMPLE[2:]))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of torchvision's absence
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own deprecated calls
        program = torch.onnx.export(
            _Standardised(network, mean, std).eval(),
            (example,),
            dynamo=True,
            opset_version=_OPSET,
            verbose=False,
            input_names=["images"],
            output_names=list(maps),
            dynamic_shapes=(shapes,),
        )
    assert program is not None, "dynamo=True returns a program"
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # torch's call stacks: folders of this machine, and lines of code
    program.save(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Standardised(nn.Module):
    """A network from RGB in [0, 1] to its maps in order."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1))

    def forward(self, images_B3HW: Tensor) -> tuple[Tensor, ...]:
        maps = self.network((images_B3HW - self.mean) / self.std)
        return tuple(maps.values() if isinstance(maps, Mapping) else maps)


class _Turned(nn.Module):
    """A trunk of assay's, which sees BGR and standardises by itself."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images_B3HW: Tensor) -> dict[int, Tensor]:
        return self.trunk(images_B3HW.flip(1))


def export_published(name: TrunkName, weights: Path, path: Path) -> dict[str, Any]:
    """Write a network that assay knows, with all its maps, and return the block that a study holds.

    Args:
        name: Of the network.
        weights: Its state dict.
        path: Of the file.

    Raises:
        InputError: If the state dict is of another network.
    """
    trunk = Trunk(name)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    copy_weights(trunk.network, load_weights_file(weights, digest), weights.name, name)
    maps = [f"stride{stride}" for stride in TRUNK_WIDTHS[name]]
    sha256 = export_trunk(_Turned(trunk.freeze()), path, maps, mean=(0, 0, 0), std=(1, 1, 1))
    return {"file": path.name, "sha256": sha256, "maps": maps}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a network that assay knows as a trunk's file.")
    parser.add_argument("name", choices=get_args(TrunkName))
    parser.add_argument("weights", type=Path, help="its state dict")
    parser.add_argument("file", type=Path, help="ONNX file to write")
    given = parser.parse_args()
    try:
        block = export_published(cast("TrunkName", given.name), given.weights, given.file)
    except (InputError, OSError) as error:
        parser.exit(2, f"error: {error}\n")
    maps = ", ".join(block["maps"])
    sys.stdout.write(f"trunk: {{file: {block['file']}, sha256: {block['sha256']}, maps: [{maps}]}}\n")
