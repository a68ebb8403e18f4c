"""A network of ONNX Runtime as a module: its file is part of a saved model, and nothing of it learns."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.errors import InputError
from trainables.nn.trunk.file import TrunkFile, compute_maps, open_network, read_trunk_file
from trainables.nn.weight_files import read_meant, weights_path

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["OnnxNetwork"]


class OnnxNetwork(nn.Module):
    """The maps of a :class:`TrunkFile`, computed on the CPU, an image at a time."""

    file_N: Tensor  # its bytes, uint8

    def __init__(self, trunk: TrunkFile) -> None:
        super().__init__()
        self.trunk = trunk
        self.register_buffer("file_N", torch.empty(0, dtype=torch.uint8))
        self.register_load_state_dict_pre_hook(self._make_room)
        self._session: InferenceSession | None = None

    def read(self, image_size: tuple[int, int]) -> None:
        """Take over the file from this machine's folder.

        Raises:
            InputError: If it is missing, not the one meant, or gives other maps than the config holds.
        """
        found = read_trunk_file(self.trunk, image_size)
        if found != self.trunk:
            raise InputError(
                f"trunk.shapes, strides and size are filled in from the file, found {self.trunk.shapes}, "
                f"{self.trunk.strides} and {self.trunk.size}, and {self.trunk.file} has {found.shapes}, "
                f"{found.strides} and {found.size}. Leave them out."
            )
        data = read_meant(weights_path(self.trunk.file, "trunk.file"), self.trunk.sha256, "trunk.sha256")
        self.file_N = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        self._session = None

    def forward(self, images_BCHW: Tensor) -> dict[int, Tensor]:
        """Maps by stride of grey or BGR images in [0, 1], on the images' device."""
        if torch.compiler.is_exporting():
            raise InputError(
                "torch does not trace a trunk by its file, which runs in ONNX Runtime, found "
                f"{self.trunk.file}"
            )
        if self._session is None:
            self._session = open_network(self.file_N.cpu().numpy().tobytes(), self.trunk.file)
        rgb_B3HW = images_BCHW.detach().float().flip(1).expand(-1, 3, -1, -1)
        rgb = np.ascontiguousarray(rgb_B3HW.cpu().numpy())

        # Each image is one answer on one thread: several images, not several parts of one, share the cores.
        ask = partial(compute_maps, self._session, self.trunk.maps)
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            answers = list(pool.map(ask, rgb))
        if not answers:  # a worker's share of a batch may hold no image
            return {
                stride: images_BCHW.new_empty(0, *shape)
                for stride, shape in zip(self.trunk.strides, self.trunk.shapes, strict=True)
            }
        # A map by gradients asks for those in what the head reads, so what it reads has to be able to.
        columns = zip(*answers, strict=True)
        return {
            stride: torch.from_numpy(np.stack(column))
            .to(images_BCHW.device)
            .requires_grad_(images_BCHW.requires_grad)
            for stride, column in zip(self.trunk.strides, columns, strict=True)
        }

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_session": None}  # a copy makes its own

    @staticmethod
    def _make_room(module: OnnxNetwork, state: Mapping[str, Tensor], prefix: str, *_others: Any) -> None:
        """Let a saved file be read in, whose length a new network does not know."""
        saved = state.get(f"{prefix}file_N")
        if saved is not None:
            module.file_N = torch.empty_like(saved, device=module.file_N.device)
            module._session = None
