"""A trained SegDecNet, ready to predict; saved as safetensors and JSON.

The heatmap is the mask head's probability, brought to full size bilinearly. Training's targets are centred
on pixel 8 i (see ``targets.py``), so cell i is put there and not, as a plain resize would, at 8 i + 3.5.
(KolektorSDD, one quarter-width model: pixel AP 0.44 instead of 0.34.)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.contract import Prediction
from trainables.errors import InputError
from trainables.nn.models import WEIGHTS_FILE, forward_context, load_model, save_model, with_layout
from trainables.segdec.config import SegDecConfig
from trainables.segdec.network import SegDecNet

__all__ = ["SegDecPredictor", "images_per_pass", "load", "load_reference_checkpoint"]

# Of the full-width network; training takes 1.3 GB for 512 × 512 pixels in float32.
_PIXELS_PER_PASS = {"cpu": 512 * 512, "cuda": 8 * 512 * 512}


class SegDecPredictor:
    """Scores images with a trained network."""

    def __init__(self, network: SegDecNet, config: SegDecConfig) -> None:
        self.network = network
        self.config = config

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Prediction:
        """Score ``images`` (B × C × H × W, float32 in [0, 1], on the predictor's device)."""
        with forward_context(self.config, images.device):
            parts = [self.network(part) for part in self._passes(images)]
        cls_logits_B = torch.cat([part.cls_logits_B for part in parts])
        seg_logits_B1hw = torch.cat([part.seg_logits_B1hw for part in parts])
        # In float32 every logit above 17 has the score 1; in float64 confident images keep their order.
        return Prediction(torch.sigmoid(cls_logits_B.double()), upsample(torch.sigmoid(seg_logits_B1hw)))

    def _passes(self, images: Tensor) -> Sequence[Tensor]:
        if torch.compiler.is_exporting():  # the number of passes would fix the graph's batch size
            return [images]
        return images.split(images_per_pass(self.config, images.device))

    def to(self, device: torch.device) -> Self:
        """The same predictor with its weights on ``device``."""
        self.network.to(device)
        return self

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``config.json`` into an existing folder."""
        save_model(folder, self.network, self.config)


def load(folder: Path) -> SegDecPredictor:
    """Read what :meth:`SegDecPredictor.save` wrote, to the CPU."""
    tensors, config = load_model(folder, SegDecConfig)
    return _predictor(tensors, config, folder / WEIGHTS_FILE)


def load_reference_checkpoint(path: Path, config: SegDecConfig) -> SegDecPredictor:
    """Read a checkpoint of the authors' code (a state dict as ``torch.save`` wrote it), to the CPU.

    Only tensors are read from it, never code (``weights_only``).

    Raises:
        InputError: If there is no such file, it is damaged or holds anything but tensors, or names or shapes
            are not those of the network that ``config`` describes.
    """
    if not path.is_file():
        raise InputError(f"a checkpoint is a file: found none at {path}. Check the path.")
    try:
        tensors: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError) as error:  # what torch raises depends on where the file ends
        raise InputError(
            f"{path} is no whole file of torch.save: {path.stat().st_size} bytes, {_first_line(error)}. "
            "Copy or download it again."
        ) from error
    except UnpicklingError as error:
        raise InputError(
            f"{path} is no plain dict of tensors: it is damaged, or holds objects, which are never loaded. "
            "Save it as torch.save(model.state_dict(), path)."
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError(
            f"{path} holds something else than tensors by name. Save torch.save(model.state_dict(), path)."
        )
    return _predictor(cast("dict[str, Tensor]", tensors), config, path)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")


def _predictor(tensors: dict[str, Tensor], config: SegDecConfig, path: Path) -> SegDecPredictor:
    network = SegDecNet(config)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if shapes != expected:
        names = sorted(name for name in {*expected, *shapes} if shapes.get(name) != expected.get(name))
        first = names[0]
        raise InputError(
            f"{path} does not fit the config: {len(names)} tensors differ; expected {first} "
            f"{expected.get(first, 'to be absent')}, found {shapes.get(first, 'none')}. "
            "Set channels, sf_kernel, first_convs and channel_scale to the checkpoint's."
        )
    network.load_state_dict(tensors)
    return SegDecPredictor(with_layout(network, config), config)


def upsample(map_B1hw: Tensor) -> Tensor:
    """Bring a map on the mask's grid to full size, B × 8h × 8w, with cell i at pixel 8 i."""
    height, width = 8 * map_B1hw.shape[2], 8 * map_B1hw.shape[3]
    padded = F.pad(map_B1hw, (0, 1, 0, 1), mode="replicate")
    large = F.interpolate(padded, size=(height + 1, width + 1), mode="bilinear", align_corners=True)
    return large[:, 0, :height, :width].contiguous()


def images_per_pass(config: SegDecConfig, device: torch.device) -> int:
    """Number of images that go through the network at once, so that memory stays bounded."""
    height, width = config.image_size
    return max(1, int(_PIXELS_PER_PASS[device.type] / (height * width * config.channel_scale)))
