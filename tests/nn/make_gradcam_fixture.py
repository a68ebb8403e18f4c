"""Writes ``gradcam_1_5_7.safetensors``: what the public package grad-cam 1.5.7 says of a small fixed network.

Needs the package's source on the path, not installed: it asks for torchvision and ttach, of which these
three methods use nothing, so empty modules stand in for them.

    pip download --no-deps --no-binary :all: grad-cam==1.5.7 && tar xf grad_cam-1.5.7.tar.gz
    PYTHONPATH=grad_cam-1.5.7:. python -m tests.nn.make_gradcam_fixture
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

FIXTURE = Path(__file__).with_name("gradcam_1_5_7.safetensors")
LAYERS = (1, 3, 5)  # of the trunk: its ReLUs
LSE_R = 1.0


class Net(nn.Module):
    """Three convolutions, a 1 × 1 head and log-mean-exp pooling, whose gradient differs from cell to cell."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *(nn.Conv2d(1, 6, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(6, 10, 3, 2, 1), nn.ReLU()),
            *(nn.Conv2d(10, 12, 3, 2, 1), nn.ReLU()),
        )
        self.head = nn.Conv2d(12, 1, 1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        evidence_BN = self.head(self.trunk(images_BCHW)).flatten(1)
        return (torch.logsumexp(LSE_R * evidence_BN, dim=1) - np.log(evidence_BN.shape[1])) / LSE_R


def _weights(rng: np.random.Generator) -> dict[str, Tensor]:
    """He-scaled normal numbers of NumPy's generator, which other versions of torch cannot change."""
    return {
        name: torch.from_numpy(
            rng.normal(0, (2 / max(1, tensor[0].numel())) ** 0.5, tensor.shape).astype(np.float32)
        )
        for name, tensor in Net().state_dict().items()
    }


class _Unused:
    """In the place of a class that is imported and made, but not called, on the way to our three methods."""

    def __init__(self, *_: Any, **__: Any) -> None: ...


def _stub(name: str, *names: str) -> None:
    module = ModuleType(name)
    for attribute in names:
        setattr(module, attribute, _Unused)
    sys.modules[name] = module


def main() -> None:
    for name, *attributes in (
        ("ttach", "Compose", "HorizontalFlip", "Multiply"),
        ("torchvision",),
        ("torchvision.transforms", "Compose", "Normalize", "ToTensor"),
        ("torchvision.transforms.functional", "resize"),
    ):
        _stub(name, *attributes)
    import pytorch_grad_cam as package

    rng = np.random.default_rng(20)
    tensors = {f"net.{name}": tensor for name, tensor in _weights(rng).items()}
    images = torch.from_numpy(rng.normal(size=(2, 1, 24, 36)).astype(np.float32))
    net = Net().eval()
    net.load_state_dict({name.removeprefix("net."): tensor for name, tensor in tensors.items()})

    def explained(method: Any, layers: list[int]) -> Tensor:
        cam = method(net, [net.trunk[layer] for layer in layers])
        maps: Tensor = torch.from_numpy(cam(images, targets=[lambda score: score] * len(images)))
        return maps.float().contiguous()

    methods = {
        "grad_cam": package.GradCAM,
        "grad_cam++": package.GradCAMPlusPlus,
        "layer_cam": package.LayerCAM,
    }
    for name, method in methods.items():
        tensors |= {f"{name}.{layer}": explained(method, [layer]) for layer in LAYERS}
    tensors["layer_cam.fused"] = explained(package.LayerCAM, list(LAYERS))
    save_file({"images": images, **tensors}, FIXTURE)


if __name__ == "__main__":
    main()
