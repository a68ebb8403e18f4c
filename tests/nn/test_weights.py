"""Published weights: only the file that the study means, only tensors, only if every name fits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.errors import InputError
from trainables.nn.choices import ResNetShape
from trainables.nn.layers.initialisation import initialise
from trainables.nn.layers.resnet import ResNet18s
from trainables.nn.weight_files import ROOT_VARIABLE, check_name, weights_path
from trainables.nn.weights import copy_weights, load_weights_file


@pytest.fixture(scope="module")
def published() -> ResNet18s:
    """A full network with weights and statistics of its own."""
    network = ResNet18s(ResNetShape(output_stride=32))
    initialise(network, 1)
    generator = torch.Generator().manual_seed(2)
    for name, buffer in network.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


def saved(state: Any, folder: Path, name: str = "resnet18.pth") -> tuple[Path, str]:
    torch.save(state, folder / name)
    return folder / name, hashlib.sha256((folder / name).read_bytes()).hexdigest()


def trunk(channels: int) -> ResNet18s:
    return ResNet18s(ResNetShape(channels=channels, output_stride=32)).eval()


def picture(channels: int) -> Tensor:
    return torch.rand(1, channels, 64, 64, generator=torch.Generator().manual_seed(3))


def test_colour_network_sees_in_bgr_what_the_published_one_sees_in_rgb(
    published: ResNet18s, tmp_path: Path
) -> None:
    path, sha256 = saved(published.state_dict(), tmp_path)
    network = trunk(3)
    copy_weights(network, load_weights_file(path, sha256), path.name)
    bgr = picture(3)
    with torch.no_grad():
        assert torch.allclose(network(bgr), published.features(bgr.flip(1))[-1], atol=1e-4)


def test_grey_network_sees_what_the_published_one_sees_of_three_equal_channels(published: ResNet18s) -> None:
    network = trunk(1)
    copy_weights(network, published.state_dict(), "resnet18.pth")
    grey = picture(1)
    with torch.no_grad():
        assert torch.allclose(network(grey), published.features(grey.expand(1, 3, 64, 64))[-1], atol=1e-4)


def test_a_file_with_another_sha256_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "resnet18.pth"
    path.write_bytes(b"no state dict at all")
    with pytest.raises(InputError, match=r"resnet18\.pth is not the file .* weights_sha256 is 0000"):
        load_weights_file(path, "0" * 64)


class Spoiled:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("ran",))


@pytest.mark.parametrize("content", [{"conv1.weight": Spoiled()}, {"epoch": 3}, [torch.zeros(2)]])
def test_a_file_that_holds_more_than_tensors_by_name_is_refused(
    content: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, sha256 = saved(content, tmp_path)
    with pytest.raises(InputError, match=r"resnet18\.pth"):
        load_weights_file(path, sha256)
    assert "ran" not in capsys.readouterr().out


def without(state: Mapping[str, Tensor], *names: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if name not in names}


def test_every_name_but_the_last_layers_must_match(published: ResNet18s) -> None:
    state = published.state_dict()
    copy_weights(trunk(1), {**state, "fc.weight": torch.zeros(10, 512)}, "x.pth")
    wrong = [
        (without(state, "layer3.1.bn2.running_var"), r"lacks layer3\.1\.bn2\.running_var"),
        ({**state, "layer5.weight": torch.zeros(1)}, r"has, beyond the network, layer5\.weight"),
        ({**state, "bn1.bias": torch.zeros(3)}, r"other shapes of bn1\.bias"),
        ({"module." + name: t for name, t in state.items()}, r"lacks .*; it has, beyond"),
    ]
    for tensors, words in wrong:
        with pytest.raises(InputError, match=rf"x\.pth .*{words}"):
            copy_weights(trunk(1), tensors, "x.pth")


def test_a_file_lies_in_the_declared_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    with pytest.raises(InputError, match="ASSAY_WEIGHTS names, which is not set"):
        weights_path("a.pth")
    root = tmp_path / "weights"
    root.mkdir()
    (tmp_path / "outside.pth").touch()
    (root / "link.pth").symlink_to(tmp_path / "outside.pth")
    (root / "a.pth").touch()
    monkeypatch.setenv(ROOT_VARIABLE, str(root))
    assert weights_path("a.pth") == root / "a.pth"
    with pytest.raises(InputError, match=r"no file b\.pth"):
        weights_path("b.pth")
    for name in ("link.pth", "../outside.pth"):
        with pytest.raises(InputError, match="leads out"):
            weights_path(name)


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.pth", "a/../../b.pth", "a\\b.pth", ""])
def test_a_name_that_could_leave_the_folder_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="path below the folder ASSAY_WEIGHTS"):
        check_name(name)
