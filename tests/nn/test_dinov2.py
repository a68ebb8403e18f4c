"""DINOv2's transformer: torch's own layers, places as published, files in the layout of the release."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from trainables.errors import InputError
from trainables.nn.layers.dinov2 import Block, DinoV2
from trainables.nn.layers.trunk import Trunk
from trainables.nn.settings import PublishedWeightsConfig
from trainables.nn.weight_files import ROOT_VARIABLE

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB


def published(*, registers: bool = False) -> dict[str, Tensor]:
    """Random values under the names and in the shapes of the release."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, 384), "pos_embed": (1, 1370, 384), "mask_token": (1, 384),
        "patch_embed.proj.weight": (384, 3, 14, 14), "patch_embed.proj.bias": (384,),
        "norm.weight": (384,), "norm.bias": (384,),
    }  # fmt: skip
    if registers:
        shapes["register_tokens"] = (1, 4, 384)
    linear = {
        "attn.qkv": (1152, 384),
        "attn.proj": (384, 384),
        "mlp.fc1": (1536, 384),
        "mlp.fc2": (384, 1536),
    }
    for number in range(12):
        for name, shape in linear.items():
            shapes[f"blocks.{number}.{name}.weight"] = shape
            shapes[f"blocks.{number}.{name}.bias"] = shape[:1]
        for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "ls1.gamma", "ls2.gamma"):
            shapes[f"blocks.{number}.{name}"] = (384,)
    generator = torch.Generator().manual_seed(1)
    return {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def read(
    state: dict[str, Tensor], folder: Path, monkeypatch: pytest.MonkeyPatch, *, registers: bool = False
) -> Trunk:
    torch.save(state, folder / "vit.pth")
    monkeypatch.setenv(ROOT_VARIABLE, str(folder))
    name = "dinov2_vits14_reg" if registers else "dinov2_vits14"
    sha256 = hashlib.sha256((folder / "vit.pth").read_bytes()).hexdigest()
    settings = {"weights_file": "vit.pth", "weights_sha256": sha256, "image_size": (28, 42)}
    return Trunk(name, 14).start_from(PublishedWeightsConfig.model_validate(settings)).freeze()


def test_a_block_is_torchs_encoder_layer_with_scaled_branches() -> None:
    torch.manual_seed(0)
    block, layer = (
        Block(24, 3).double(),
        nn.TransformerEncoderLayer(
            24, 3, 96, 0.0, "gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
        ).double(),
    )
    for weight in block.parameters():
        nn.init.normal_(weight)
    mine = block.state_dict()
    attention, inner = mine["ls1.gamma"], mine["ls2.gamma"]
    theirs = {
        "self_attn.in_proj_weight": mine["attn.qkv.weight"],
        "self_attn.in_proj_bias": mine["attn.qkv.bias"],
        "self_attn.out_proj.weight": attention[:, None] * mine["attn.proj.weight"],
        "self_attn.out_proj.bias": attention * mine["attn.proj.bias"],
        "linear1.weight": mine["mlp.fc1.weight"],
        "linear1.bias": mine["mlp.fc1.bias"],
        "linear2.weight": inner[:, None] * mine["mlp.fc2.weight"],
        "linear2.bias": inner * mine["mlp.fc2.bias"],
    }
    layer.load_state_dict(theirs | {name: mine[name] for name in mine if name.startswith("norm")})
    tokens = torch.randn(2, 7, 24).double()
    torch.testing.assert_close(block(tokens), layer(tokens))


@pytest.mark.parametrize(
    ("registers", "offset"), [(False, 0.1), (True, 0.0)], ids=["plain", "with registers"]
)
def test_places_are_read_off_where_the_release_reads_them(registers: bool, offset: float) -> None:
    network = DinoV2(registers=registers)
    ramp_hw = torch.arange(37.0).expand(37, 37)
    network.pos_embed.data[0, 1:] = ramp_hw.reshape(-1, 1)
    assert torch.equal(network.places((37, 37)), network.pos_embed[:, 1:])
    places_hw = network.places((20, 24))[0, :, 0].unflatten(0, (20, 24))
    expected = (torch.arange(24) + 0.5) * 37 / (24 + offset) - 0.5
    # Bicubic weights bend a ramp by 0.05 cells; an offset of 0.1 cells moves the last columns by 0.13.
    torch.testing.assert_close(places_hw[5, 2:-2], expected[2:-2], atol=0.06, rtol=0)


@pytest.mark.parametrize("registers", [False, True], ids=["plain", "with registers"])
def test_a_published_file_describes_bgr_images_as_the_release_does_rgb(
    registers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = published(registers=registers)
    trunk = read(state, tmp_path, monkeypatch, registers=registers)
    network = DinoV2(registers=registers)
    network.load_state_dict({name: state[name] for name in state if name != "mask_token"})
    image = torch.rand(1, 3, 28, 42)
    rgb = (image.flip(1) - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(trunk(image)[14], network(rgb)[14], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("registers", [False, True], ids=["plain", "with registers"])
def test_a_file_of_the_other_variant_is_refused(
    registers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="register_tokens"):
        read(published(registers=not registers), tmp_path, monkeypatch, registers=registers)


@pytest.mark.parametrize(
    ("size", "cells"), [((28, 42), (2, 3)), ((30, 44), (2, 3)), ((8, 36), (1, 3))], ids=str
)
def test_images_are_brought_to_whole_patches(size: tuple[int, int], cells: tuple[int, int]) -> None:
    assert Trunk("dinov2_vits14", 14).freeze()(torch.rand(2, 1, *size))[14].shape == (2, 384, *cells)


def test_tokens_of_the_class_and_of_registers_are_read_and_not_shown() -> None:
    network, image = DinoV2(registers=True), torch.rand(1, 3, 14, 28)
    plain = network(image)[14]
    assert network.register_tokens is not None
    for token in (network.register_tokens, network.cls_token):
        token.data.normal_()
        changed = network(image)[14]
        assert changed.shape == plain.shape
        assert not torch.allclose(changed, plain)
        plain = changed
