"""Settings: what is refused, what a classifier depends on, and what the switches are for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.cam.surfaces import tiny_config
from trainables.cam import TRAINABLE
from trainables.cam.config import classifier_settings
from trainables.cam.stages import stages
from trainables.stages import stage_keys


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layers": [3]}, "1 to 2 or -1 for the last: found 3"),
        ({"layers": [0]}, "found 0"),
        ({"layers": [-1, 2]}, "explained once"),
        ({"layers": []}, "at least 1 item"),
        ({"output_stride": 16}, "output_stride of 2 to 4"),
        ({"weights_file": "resnet18.pth", "weights_sha256": "0" * 64}, "stem: tv"),
        ({"trunk": "lite0", "output_stride": 2}, "maps of 4, 8, 16 or 32 pixels"),
        ({"trunk": "lite0", "norm": "gn"}, "norm: bn, found output_stride: 4 and norm: gn"),
        ({"trunk": "lite0", "trunk_lr_ratio": 0}, "neither learns"),
        ({"trunk": "lite0", "layers": [2]}, "stages of lite0, 1 to 1"),
        ({"method": "gradcam"}, "grad_cam"),
        ({"masks": True}, "not permitted"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_a_way_out(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        tiny_config(**changes)


def test_masks_are_for_no_one() -> None:
    assert TRAINABLE.supervisions == {"weak"}


def keys(**changes: Any) -> tuple[str, str]:
    found = stage_keys(stages(tiny_config(**changes)), {})
    return found["classifier"], found["maps"]


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "grad_cam"},
        {"method": "grad_cam++"},
        {"method": "layer_cam"},
        {"method": "layer_cam", "layers": [1]},
        {"method": "layer_cam", "layers": [1, 2]},
        {"method": "layer_cam", "layers": [1, 2], "fusion": "max"},
        {"recentre": False},
    ],
)
def test_ways_to_read_a_map_share_one_classifier(changes: dict[str, Any]) -> None:
    classifier, maps = keys()
    assert keys(**changes)[0] == classifier
    assert keys(**changes)[1] != maps


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": [1]},  # the CAM knows one layer only
        {"fusion": "max"},
        {"gate_by_score": False},  # belongs to the prediction
    ],
)
def test_what_a_stage_does_not_read_does_not_make_another(changes: dict[str, Any]) -> None:
    assert keys(**changes) == keys()


@pytest.mark.parametrize("changes", [{"pool": "gap"}, {"lr": 0.02}, {"width": 4}, {"input": "standardised"}])
def test_what_training_depends_on_makes_another_classifier(changes: dict[str, Any]) -> None:
    assert keys(**changes)[0] != keys()[0]


def test_where_the_weights_file_lies_is_no_setting_of_the_classifier() -> None:
    fits = {**TRAINABLE.presets["pretrained"], "weights_sha256": "0" * 64, "stages": 4, "output_stride": 16}
    one, other = (tiny_config(**fits, weights_file=name) for name in ("a.pth", "b/c.pth"))
    assert classifier_settings(one) == classifier_settings(other)
    assert classifier_settings(one)["weights_sha256"] == "0" * 64


def test_footnotes_name_what_is_our_reading() -> None:
    notes = " ".join(TRAINABLE.footnotes(tiny_config(method="layer_cam", layers=[1, 2])))
    assert notes.count("(our reading)") == 2
    assert "layers: 1, 2" in notes
    assert TRAINABLE.footnotes(tiny_config(pool="gap", recentre=False)) == []


@pytest.mark.parametrize(("layer", "noted"), [(-1, False), (1, True)])
def test_a_footnote_on_inner_stages_counts_those_of_a_published_trunk(layer: int, noted: bool) -> None:
    config = tiny_config(trunk="lite0", output_stride=16, method="layer_cam", layers=[layer])
    assert ("at inner stages" in " ".join(TRAINABLE.footnotes(config))) == noted
