"""Maps of region-aware CAM: what they start from, and what they owe to the trained weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from tests.regioncam.chains import CPU, chain_data, pictures, tiny
from trainables.cam.classifier import train_classifier
from trainables.cam.config import MapSettings
from trainables.cam.maps import measured_maps
from trainables.cam.network import Classifier
from trainables.contract import LocalRun
from trainables.nn.cam.activation import Offset
from trainables.nn.layers.initialisation import initialise
from trainables.regioncam.config import RegionMapSettings
from trainables.regioncam.maps import RegionMaps, measured_region_maps

ENOUGH: dict[str, Any] = {"min_steps": 100}


@pytest.fixture(scope="module")
def trained() -> Classifier:
    return train_classifier(tiny(**ENOUGH), chain_data(16), LocalRun())


def maps_of(net: Classifier, **changes: Any) -> tuple[RegionMaps, Offset]:
    settings = RegionMapSettings.of(tiny(**ENOUGH, **changes))
    return measured_region_maps(net, settings, chain_data(16).train)


@pytest.mark.parametrize("method", ["cam", "grad_cam", "layer_cam"])
def test_with_all_switches_off_the_map_is_that_of_cam(trained: Classifier, method: str) -> None:
    config = tiny(**ENOUGH, method=method, fgbp=False)
    plain, offset = measured_maps(trained, MapSettings.of(config), chain_data(16).train)
    mine, mine_offset = maps_of(trained, method=method, fgbp=False)
    assert offset == mine_offset
    assert torch.equal(mine(pictures(3)).scaled_by(mine.scale).map_BHW, plain.heatmaps(pictures(3)).map_BHW)


@pytest.mark.parametrize(
    ("filtered", "layers"),
    [({"fgbp_guided": False, "fgbp_q": 0}, {}), ({}, {"layers": [2]})],
    ids=["drops nothing", "at the last stage"],
)
def test_a_filter_that_can_drop_nothing_leaves_the_map(
    trained: Classifier, filtered: dict[str, Any], layers: dict[str, Any]
) -> None:
    plain, same = maps_of(trained, fgbp=False, **layers)[0], maps_of(trained, **filtered, **layers)[0]
    assert torch.equal(plain(pictures(3)).map_BHW, same(pictures(3)).map_BHW)


@pytest.mark.parametrize("kind", ["slic", "grid", "components"])
def test_regions_never_raise_a_map_and_keep_its_best_region(trained: Classifier, kind: str) -> None:
    before, after = (maps_of(trained, region=r)[0](pictures(3)).map_BHW for r in ("off", kind))
    assert (after <= before).all()
    assert not torch.equal(after, before)
    assert (after.flatten(1) > 0).any(dim=1).all()


def test_the_maps_on_the_way_are_named_in_order_and_end_with_the_heatmap(trained: Classifier) -> None:
    maps = maps_of(trained, region="slic")[0]
    raw = maps(pictures(3))
    steps = maps.steps(pictures(3), raw)
    assert list(steps) == ["cam", "layer_cam", "fgbp", "region"]
    assert all(0 <= step.min() <= step.max() <= 1 for step in steps.values())
    assert torch.equal(steps["region"], raw.scaled_by(maps.scale).map_BHW)
    plain = maps_of(trained, fgbp=False)[0]
    assert torch.equal(steps["layer_cam"], plain(pictures(3)).scaled_by(plain.scale).map_BHW)


def rank_after_forgetting(trained: Classifier, changes: dict[str, Any]) -> float:
    """Mean rank correlation of maps with those of a net whose last stage and head were drawn anew."""
    before = maps_of(trained, **changes, recentre=False)[0]
    kept = {k: v for k, v in trained.state_dict().items() if not k.startswith(("backbone.layer2", "head"))}
    ranks: list[float] = []

    def flat(net: Classifier) -> Tensor:
        return RegionMaps(net, before.settings).to(CPU)(pictures(10)).map_BHW.flatten(1)

    for seed in range(4):
        net = Classifier(trained.config).eval()
        initialise(net, seed)
        net.load_state_dict(kept, strict=False)
        # A random head may find nothing for a defect in an image: then there is nothing to compare.
        pairs = zip(flat(trained), flat(net), strict=True)
        ranks += [spearmanr(a, b).statistic for a, b in pairs if a.any() and b.any()]
    assert len(ranks) >= 10
    return float(np.mean(ranks))


def test_weighed_maps_forget_when_the_last_stage_and_the_head_do(trained: Classifier) -> None:
    """As those that are not weighed do (``tests/nn/test_cam_sanity.py``)."""
    assert abs(rank_after_forgetting(trained, {"fgbp": False, "region": "slic"})) < 0.5


@pytest.mark.parametrize("changes", [{"fgbp_q": 0.0}, {}])
def test_guided_maps_forget_less(
    trained: Classifier, changes: dict[str, Any], record_property: Callable[[str, object], None]
) -> None:
    """Reported, since guided maps are known to hold on to edges; only a map that forgets nothing fails."""
    rank = rank_after_forgetting(trained, changes)
    record_property("rank correlation after forgetting", rank)
    assert rank < 0.95
