"""Settings: bounds, presets and what a table must say of them."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import Any

import pytest
from pydantic import ValidationError

from assay.study import parse_study, plan_study
from tests.segdec.surfaces import tiny_config
from trainables.errors import InputError
from trainables.segdec import SegDecConfig
from trainables.segdec.presets import PRESETS, footnotes


@pytest.mark.parametrize(
    "size", [(100, 128), (64, 64), (128, 70), (60, 70), (70, 60), (8, 8), (8, 16384), (16383, 9), (120, 120)]
)
def test_size_the_network_cannot_take_is_refused_with_one_that_it_can(size: tuple[int, int]) -> None:
    with pytest.raises(ValidationError, match="found image_size") as refused:
        SegDecConfig(image_size=size)
    suggested = re.search(r"Use \[(\d+), (\d+)\]", str(refused.value))
    assert suggested is not None
    SegDecConfig(image_size=(int(suggested[1]), int(suggested[2])))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_is_a_whole_config(name: str) -> None:
    config = SegDecConfig.model_validate(PRESETS[name])
    assert config.model_dump(include=set(PRESETS[name])) == dict(PRESETS[name])


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("ksdd", {"lr": 1, "delta": 0.01, "epochs": 50, "dilation": 7, "p": 2, "w_pos": 1, "batch_size": 1}),
        ("ksdd_weak", {"lr": 0.01, "delta": 1, "balance": "none", "gradient_stop": True}),
        ("ksdd2", {"lr": 0.01, "delta": 1, "epochs": 50, "dilation": 15, "p": 2, "w_pos": 3, "channels": 3}),
        ("ksdd2_demo", {"lr": 0.01, "delta": 1, "epochs": 50, "batch_size": 10, "balance": "linear"}),
        ("dagm", {"lr": 0.05, "delta": 1, "epochs": 70, "dilation": 7, "p": 1, "w_pos": 10}),
        ("severstal", {"lr": 0.1, "delta": 0.1, "epochs": 40, "dilation": 1, "batch_size": 10}),
        ("severstal_300", {"epochs": 90, "checkpoint": "best"}),
        ("severstal_ablation_weak", {"epochs": 50, "balance": "none"}),
    ],
)
def test_presets_are_the_published_settings(name: str, published: dict[str, Any]) -> None:
    config = SegDecConfig.model_validate(PRESETS[name]).model_dump()
    assert {key: config[key] for key in published} == published


def test_a_rate_of_one_is_warmed_up_to_unless_all_is_to_be_as_published() -> None:
    configs = {name: SegDecConfig.model_validate(settings) for name, settings in PRESETS.items()}
    warm = {name for name, config in configs.items() if config.lr_warmup_epochs}
    assert warm == {name for name, config in configs.items() if config.lr == 1} - {"ksdd_as_published"}
    assert warm
    assert "lr_warmup_epochs: 2. The published training has" in " ".join(footnotes(configs["ksdd"]))


def test_as_published_adds_the_accidents_of_the_released_code() -> None:
    plain = SegDecConfig.model_validate(PRESETS["dagm"]).model_dump()
    published = SegDecConfig.model_validate(PRESETS["dagm_as_published"]).model_dump()
    changed = {key: published[key] for key in plain if plain[key] != published[key]}
    assert changed == {
        "image_label": "soft",
        "forced_stop_epochs": 10,
        "drop_last": True,
        "redraw": "counter",
    }


def test_the_method_without_accidents_owes_no_footnote() -> None:
    assert not footnotes(SegDecConfig(image_size=(512, 512)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_label": "soft"}, "scores are not defect probabilities"),
        ({"forced_stop_epochs": 10, "gradient_stop": False}, "although this row has it off"),
        ({"drop_last": True, "redraw": "counter", "batch_size": 10}, "drifts"),
        ({"sf_kernel": 5}, "Table 1"),
        ({"feature_norm": "std"}, "square root"),
        ({"batch_gradient": "mean", "batch_size": 10}, "mean gradient of its 10 images"),
        ({"dilation": 7}, "original masks"),
        (
            {"flips": "both", "schedule": "cosine"},
            "flips: both, schedule: cosine. The published training has",
        ),
        ({"channel_scale": 0.25}, "another width"),
        ({"distance_scope": "component"}, "image-wide"),
        ({"balance": "power", "balance_power": 2}, "linear"),
        ({"clip_norm": 1, "weight_average": 0.99}, "clip_norm: 1.0, weight_average: 0.99. The published"),
    ],
)
def test_footnotes_name_each_departure(changes: dict[str, Any], words: str) -> None:
    notes = footnotes(SegDecConfig.model_validate({"image_size": (512, 512)} | changes))
    assert len(notes) == 1
    assert words in notes[0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"clip_norm": 1.0, "flips": "both"},
        {"lr_warmup_epochs": 2, "schedule": "cosine", "weight_average": 0.9},
    ],
)
def test_settings_that_came_later_are_part_of_an_id_only_where_they_are_set(changes: dict[str, Any]) -> None:
    config = tiny_config(**changes)
    assert {name: value for name, value in config.identity().items() if name in config.added_later} == changes


@pytest.mark.parametrize(
    ("scale", "device", "layout"),
    [(1, "cpu", "contiguous"), (0.25, "cpu", "channels_last"), (1, "cuda", "channels_last")],
)
def test_auto_layout_is_the_faster_one(scale: float, device: Any, layout: str) -> None:
    assert tiny_config(channel_scale=scale).resolved(device).memory_format == layout
    assert tiny_config(memory_format="contiguous").resolved(device).memory_format == "contiguous"


@pytest.mark.parametrize("config", ["{preset: ksdd, checkpoint: best}", "{preset: severstal}"])
def test_the_best_epoch_without_validation_is_refused_in_the_plan(config: str) -> None:
    study = f"study: s\ntrainable: segdec\nconfig: {config}\ndata:\n  reader: synthetic\n  validation: {{}}\n"
    with pytest.raises(InputError, match=r"study\.yaml:6:3: data\.validation: checkpoint: best chooses"):
        plan_study(parse_study(study.replace("{}", "none"), "study.yaml"), None, "cpu")
    assert plan_study(parse_study(study.replace("{}", "{share: 0.2}")), None, "cpu").trials


@pytest.mark.parametrize(("supervision", "is_refused"), [("{mixed: 2}", True), ("full", False)])
def test_the_best_epoch_on_tiles_needs_all_masks(supervision: str, is_refused: bool) -> None:
    study = parse_study(
        f"study: s\ntrainable: segdec\nsupervision: {supervision}\n"
        "config: {preset: ksdd, checkpoint: best}\n"
        "data:\n  reader: synthetic\n  tiles: {height: 64, width: 64, overlap: 8}\n",
        "study.yaml",
    )
    refusal = pytest.raises(InputError, match=r"study\.yaml:4:\d+: config\.checkpoint: checkpoint: best")
    with refusal if is_refused else nullcontext():
        assert plan_study(study, None, "cpu").trials
