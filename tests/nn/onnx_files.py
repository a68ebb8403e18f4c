"""Networks as ONNX files that are made in a moment."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["sha256_of", "trunk_block", "write_network"]

_KERNEL = 3


def write_network(
    path: Path, seed: int = 0, *, size: tuple[Any, Any] = ("height", "width"), channels: int = 3
) -> Path:
    """Two convolutions: ``fine`` (4 channels, stride 4), ``coarse`` (8, stride 8); ``score`` is no map."""
    rng = np.random.default_rng(seed)
    weights = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        for name, shape in {
            "w1": (4, channels, _KERNEL, _KERNEL),
            "w2": (8, 4, _KERNEL, _KERNEL),
        }.items()
    ]
    convolution = {"kernel_shape": [_KERNEL, _KERNEL], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["images", "w1"], ["fine"], strides=[4, 4], **convolution),
        helper.make_node("Conv", ["fine", "w2"], ["coarse"], strides=[2, 2], **convolution),
        helper.make_node("Flatten", ["coarse"], ["score"]),
        helper.make_node("AveragePool", ["fine"], ["cut"], kernel_shape=[3, 3], strides=[3, 3]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in _outputs()]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", channels, *size])
    graph = helper.make_graph(nodes, "network", [images], outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def _outputs() -> tuple[str, ...]:
    return "fine", "coarse", "score", "cut"


def sha256_of(path: Path) -> str:
    """Its sha256, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def trunk_block(path: Path, *maps: str) -> dict[str, Any]:
    """The block of a study; both maps where none is named."""
    return {"file": path.name, "sha256": sha256_of(path), "maps": list(maps or ("fine", "coarse"))}
