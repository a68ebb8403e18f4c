"""Published weights: a state dict as its authors wrote it, from a declared folder, its sha256 in the study.

What is read is tensors only (``weights_only``), never code. Where the file lies: ``weight_files.py``.

Published networks see RGB, ours BGR: the first convolution's channels are turned round on the way in.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from trainables.errors import InputError
from trainables.nn.choices import TransformerName, TrunkName
from trainables.nn.settings import PublishedWeightsConfig
from trainables.nn.weight_files import read_meant, weights_path

__all__ = ["copy_weights", "load_weights", "load_weights_file"]


class _StateDict(NamedTuple):
    """A published state dict."""

    title: str  # in messages
    first: str  # weights of its first convolution
    last: tuple[str, ...]  # starts of names of what served its training alone, such as ImageNet's classes


_PUBLISHED: Mapping[TrunkName | TransformerName, _StateDict] = {
    "resnet18": _StateDict("torchvision's resnet18", "conv1.weight", ("fc.",)),
    "wide_resnet50_2": _StateDict("torchvision's wide_resnet50_2", "conv1.weight", ("fc.",)),
    "lite0": _StateDict("EfficientNet-Lite0", "_conv_stem.weight", ("_conv_head.", "_bn1.", "_fc.")),
    "dinov2_vits14": _StateDict("DINOv2's ViT-S/14", "patch_embed.proj.weight", ("mask_token",)),
    "dinov2_vits14_reg": _StateDict(
        "DINOv2's ViT-S/14 with registers", "patch_embed.proj.weight", ("mask_token",)
    ),
}
_LISTED = 4  # names of a kind in a message


def load_weights(
    network: nn.Module,
    config: PublishedWeightsConfig,
    name: TrunkName | TransformerName = "resnet18",
    whole: nn.Module | None = None,
) -> None:
    """Start ``network`` from the config's weights file; without one it stays as it is.

    Args:
        network: See :func:`copy_weights`, as for ``name`` and ``whole``.
        config: Names the file.
        name: Of the published network.
        whole: All of it, where ``network`` lacks the last stages.

    Raises:
        InputError: If the file is missing or not the one meant.
    """
    if config.weights_file is not None:
        assert config.weights_sha256 is not None
        tensors = load_weights_file(weights_path(config.weights_file), config.weights_sha256)
        copy_weights(network, tensors, config.weights_file, name, whole)


def load_weights_file(path: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of a state dict as ``torch.save`` wrote it, on the CPU.

    Raises:
        InputError: If the file has another sha256, or holds anything else than tensors by name.
    """
    data = read_meant(path, sha256)
    try:
        state: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
            raise ValueError("it holds something else")
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(
            f"{path.name} is no plain dict of tensors by name: {error}. "
            "Save it as torch.save(model.state_dict(), path)."
        ) from error
    return dict(cast("Mapping[str, Tensor]", state))


def copy_weights(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    source: str,
    name: TrunkName | TransformerName = "resnet18",
    whole: nn.Module | None = None,
) -> None:
    """Copy a published state dict into ``network``; every name but those of the last layer must match.

    For grey images the first convolution's weights are summed over RGB (a grey image is one whose three
    channels are equal), for colour they are reversed to BGR.

    Args:
        network: Of the published layout (of ``resnet18``: width 64, stem tv, stages of two blocks, norm bn).
        tensors: The state dict.
        source: Its name, for messages.
        name: Of the published network.
        whole: All of it, where ``network`` lacks the last stages; on any device, its values are not read.

    Raises:
        InputError: If a name or shape differs, naming them.
    """
    # The comparison is with the whole network, even where only its first stages are used: a file of another
    # network would often agree with these.
    title, first, last = _PUBLISHED[name]
    given = {key: tensor for key, tensor in tensors.items() if not key.startswith(last)}
    wanted = (whole or network).state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in wanted.items() if not key.startswith(last)}
    width, channels, *side = shapes[first]
    shapes[first] = (width, 3, *side)  # a published file's, before the adaptation
    wrong = {
        "lacks": [key for key in shapes if key not in given],
        "has, beyond the network,": [key for key in given if key not in shapes],
        "has other shapes of": [
            key for key, t in given.items() if shapes.get(key, t.shape) != tuple(t.shape)
        ],
    }
    problems = [f"it {verb} {', '.join(keys[:_LISTED])}" for verb, keys in wrong.items() if keys]
    if problems:
        raise InputError(
            f"{source} is no state dict of {title}: {'; '.join(problems)}. "
            f"Every name but {', '.join(f'{start}*' for start in last)} must match."
        )

    # A grey image stands for three equal channels, whose weights add up; colour images are BGR here.
    kernel = given[first]
    given[first] = kernel.sum(dim=1, keepdim=True) if channels == 1 else kernel.flip(1)
    network.load_state_dict(given, strict=False)  # the last layer and, with `whole`, stages may be left
