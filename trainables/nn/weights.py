"""Published weights: a state dict in torchvision's layout, from a declared folder, its sha256 in the study.

The study names the file relative to the folder ``ASSAY_WEIGHTS`` (an environment variable, as data roots
are: a study holds no paths of a machine) and says its sha256. Nothing is read of a file with another
sha256, and what is read is tensors only (``weights_only``), never code.

torchvision's networks see RGB, ours BGR: the first convolution's channels are turned round on the way in.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from torch import Tensor

from trainables.errors import InputError
from trainables.nn.layers.resnet import ResNet18s
from trainables.nn.settings import ROOT_VARIABLE, PublishedWeightsConfig

__all__ = ["load_resnet_weights", "load_weights", "load_weights_file", "weights_path"]

_FIRST = "conv1.weight"
_LAST = "fc."  # torchvision's last layer knows ImageNet's classes: nothing of ours
_LISTED = 4  # names in a message


def load_weights(network: ResNet18s, config: PublishedWeightsConfig) -> None:
    """Start ``network`` from the config's weights file; without one it stays as it is.

    Raises:
        InputError: If the file is missing or not the one meant.
    """
    if config.weights_file is not None:
        assert config.weights_sha256 is not None
        tensors = load_weights_file(weights_path(config.weights_file), config.weights_sha256)
        load_resnet_weights(network, tensors, config.weights_file)


def weights_path(name: str) -> Path:
    """Find the weights file ``name`` on this machine.

    Raises:
        InputError: If the folder is not declared, or the file is missing or lies outside of it.
    """
    declared = os.environ.get(ROOT_VARIABLE)
    if not declared:
        raise InputError(
            f"weights_file: {name} is looked for in the folder that the environment variable {ROOT_VARIABLE} "
            "names, which is not set. Set it on every machine that trains, or leave weights_file out."
        )
    root = Path(declared).resolve()
    path = (root / name).resolve()  # through links, so that none leads out
    if not path.is_relative_to(root):
        raise InputError(f"weights_file: {name} leads out of {ROOT_VARIABLE}. Put the file itself there.")
    if not path.is_file():
        raise InputError(f"weights_file: there is no file {name} in {root} ({ROOT_VARIABLE}). Put it there.")
    return path


def load_weights_file(path: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of a state dict as ``torch.save`` wrote it, on the CPU.

    Raises:
        InputError: If the file has another sha256, or holds anything else than tensors by name.
    """
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise InputError(
            f"{path.name} is not the file that the study means: its sha256 is {digest}, weights_sha256 is "
            f"{sha256}. Fetch the file again, or correct weights_sha256."
        )
    try:
        state: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(
            f"{path.name} is no plain dict of tensors: {error}. "
            "Save it as torch.save(model.state_dict(), path)."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(
            f"{path.name} holds something else than tensors by name. "
            "Save it as torch.save(model.state_dict(), path)."
        )
    return dict(cast("Mapping[str, Tensor]", state))


def load_resnet_weights(network: ResNet18s, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy a state dict of torchvision's ``resnet18`` into ``network``; every key but ``fc.*`` must match.

    For grey images the first convolution's weights are summed over RGB (a grey image is one whose three
    channels are equal), for colour they are reversed to BGR.

    Args:
        network: A trunk of width 64 with stem tv, four stages of two blocks and norm bn.
        tensors: The state dict.
        source: Its name, for messages.

    Raises:
        InputError: If a name or shape differs, naming them.
    """
    given = {name: tensor for name, tensor in tensors.items() if not name.startswith(_LAST)}
    wanted = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith(_LAST)}
    shapes = {name: tuple(tensor.shape) for name, tensor in wanted.items()}
    width, channels = wanted[_FIRST].shape[:2]
    shapes[_FIRST] = (width, 3, *wanted[_FIRST].shape[2:])  # a published file's, before the adaptation
    problems = [
        *_named("lacks", [name for name in shapes if name not in given]),
        *_named("has, beyond the network,", [name for name in given if name not in shapes]),
        *_named(
            "has other shapes of",
            [name for name in shapes if name in given and tuple(given[name].shape) != shapes[name]],
        ),
    ]
    if problems:
        raise InputError(
            f"{source} is no state dict of torchvision's resnet18: it {'; it '.join(problems)}. "
            f"Every name but {_LAST}* must match."
        )
    first = given[_FIRST]
    given[_FIRST] = first.sum(dim=1, keepdim=True) if channels == 1 else first.flip(1)
    network.load_state_dict(given, strict=False)  # only fc.* may be left


def _named(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return [f"{what} {', '.join(names[:_LISTED])}{more}"]
