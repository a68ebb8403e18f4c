"""A network by the settings that all methods have: arithmetic, layout, files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainables.contract import TrainableConfig

__all__ = [
    "WEIGHTS_FILE",
    "forward_context",
    "load_into",
    "load_model",
    "save_model",
    "with_layout",
]

WEIGHTS_FILE = "model.safetensors"
_CONFIG_FILE = "config.json"
_ConfigT = TypeVar("_ConfigT", bound=TrainableConfig)
_NetworkT = TypeVar("_NetworkT", bound=nn.Module)


def forward_context(config: TrainableConfig, device: torch.device) -> torch.autocast:
    """The arithmetic of forward passes: bfloat16 convolutions if the config says so."""
    return torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")


def with_layout(network: _NetworkT, config: TrainableConfig) -> _NetworkT:
    """``network`` with its weights in the config's memory format."""
    layout = torch.channels_last if config.memory_format == "channels_last" else torch.contiguous_format
    return network.to(memory_format=layout)  # pyright: ignore[reportCallIssue]


def save_model(folder: Path, network: nn.Module, config: TrainableConfig) -> None:
    """Write ``model.safetensors`` and ``config.json`` into an existing folder.

    A network that several modules share is written once.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _once(network).items()}
    save_file(tensors, folder / WEIGHTS_FILE)
    text = json.dumps(config.model_dump(mode="json"), indent=2)
    (folder / _CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def load_model(folder: Path, Config: type[_ConfigT]) -> tuple[dict[str, Tensor], _ConfigT]:
    """Read what :func:`save_model` wrote: tensors by name, on the CPU, and the config."""
    config = Config.model_validate_json((folder / _CONFIG_FILE).read_text(encoding="utf-8"))
    return load_file(folder / WEIGHTS_FILE), config


def load_into(
    folder: Path, Config: type[_ConfigT], build: Callable[[_ConfigT], _NetworkT]
) -> tuple[_NetworkT, _ConfigT]:
    """Read what :func:`save_model` wrote, to the CPU, into the network that ``build`` makes of the config.

    A network that several modules share is in the file once.
    """
    # The state dict names a shared tensor more than once, so missing names are allowed there; the check
    # before it makes sure that nothing is missing in truth.
    tensors, config = load_model(folder, Config)
    network = build(config)
    assert _once(network).keys() == tensors.keys(), f"{folder} holds the weights of another network"
    network.load_state_dict(tensors, strict=False)
    return with_layout(network, config), config


def _once(network: nn.Module) -> dict[str, Tensor]:
    """The state dict, each tensor under its first name only."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}
