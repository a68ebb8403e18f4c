"""Settings: bounds, presets, and what the plan makes of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from assay.study import Plan, parse_study, plan_study
from assay.study.search.points import make_point
from tests.supervised.surfaces import tiny_config
from trainables.data.spec import DataSpec, Supervision
from trainables.errors import InputError
from trainables.nn.choices import ResNetShape
from trainables.nn.layers.resnet import ResNet18s
from trainables.supervised import TRAINABLE, SupervisedConfig
from trainables.supervised.presets import PRESETS, footnotes

SHA = "a" * 64
PRETRAINED = {"width": 64, "stem": "tv", "stages": 4, "blocks": 2, "norm": "bn", "weights_sha256": SHA}


@pytest.mark.parametrize("name", ["classifier_pretrained", "unet_pretrained"])
def test_pretrained_presets_have_the_published_layout(name: str) -> None:
    file = {"weights_file": "resnet18.pth", "weights_sha256": SHA}
    config = SupervisedConfig.model_validate({**PRESETS[name], **file, "image_size": (128, 128)})
    with torch.device("meta"):
        published = ResNet18s(ResNetShape(output_stride=32)).state_dict()
        ours = ResNet18s(config.resnet).state_dict()
    assert list(ours) == list(published)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 5}, "batch_size is even"),
        ({"stem": "tv", "output_stride": 2}, "output_stride of 4"),
        ({"model": "unet", "encoder": "plain", "levels": 6}, "sides of at least 64"),
        ({"weights_file": "a.pth"}, "come together"),
        ({"weights_sha256": SHA}, "come together"),
        ({"weights_sha256": "abc", "weights_file": "a.pth"}, "pattern"),
        ({"weights_file": "../a.pth", "weights_sha256": SHA}, "below the folder"),
        ({"weights_file": "a.pth", "weights_sha256": SHA}, "width: 64, stem: tv, stages: 4, blocks: 2"),
        ({**PRETRAINED, "weights_file": "a.pth", "norm": "gn"}, "set norm: bn"),
        ({**PRETRAINED, "weights_file": "a.pth", "model": "unet", "encoder": "plain"}, "encoder: resnet18s"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_a_way_out(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        tiny_config(**changes)


def test_footnotes_say_where_weights_come_from_and_what_the_classifier_reads() -> None:
    assert not footnotes(tiny_config(model="unet"))
    pretrained = tiny_config(**PRETRAINED, weights_file="a.pth", output_stride=16)
    weights, labels = footnotes(pretrained)
    assert "aaaaaaaaaaaa…" in weights
    assert "image labels only" in labels


STUDY = """
study: baselines
trainable: supervised
data: {{reader: synthetic}}
supervision: {supervision}
config: {{preset: {preset}, image_size: [64, 64]{more}}}
"""


def trial_id(**settings: str) -> str:
    text = STUDY.format(**{"supervision": "full", "more": "", **settings})
    return plan_study(parse_study(text, "baselines.yaml"), None, "cpu").trials[0].id


@pytest.mark.parametrize("supervision", ["weak", "{mixed: 0}"])
def test_a_unet_without_masks_is_refused_in_the_plan(supervision: str) -> None:
    with pytest.raises(InputError, match=r"(?s)baselines\.yaml:5.*unet learns from masks"):
        trial_id(preset="unet_small", supervision=supervision)
    assert trial_id(preset="unet_small", supervision="{mixed: 1}")
    assert trial_id(preset="classifier_small", supervision=supervision)


@pytest.mark.parametrize(
    ("name", "sha256", "same"),
    [("models/b.pth", SHA, True), ("a.pth", "b" * 64, False)],
    ids=["another name", "another hash"],
)
def test_the_files_hash_decides_a_trials_id_and_its_name_does_not(name: str, sha256: str, same: bool) -> None:
    first, second = (
        trial_id(
            preset="classifier_pretrained", more=f", weights_file: {file}, weights_sha256: {file_sha256}"
        )
        for file, file_sha256 in (("a.pth", SHA), (name, sha256))
    )
    assert (first == second) is same


@pytest.mark.parametrize(("model", "needs"), [("classifier", False), ("unet", True)])
def test_only_the_unet_needs_masks(model: str, needs: bool) -> None:
    weak, data = Supervision.model_validate("weak"), DataSpec(reader="synthetic")
    assert bool(TRAINABLE.objections(tiny_config(model=model), weak, data)) is needs


HEAD = "study: s\ntrainable: supervised\ndata: {reader: synthetic}\nrepeats: {seeds: [0, 1]}\n"
CONFIG = "preset: classifier_small, image_size: [32, 32]"


@pytest.mark.parametrize(
    "settings",
    [
        CONFIG,
        f"{CONFIG}, width: 64, stem: tv, stages: 4, blocks: 2, weights_file: a.pt, weights_sha256: {SHA}",
    ],
    ids=["random weights", "published weights"],
)
def test_a_point_of_a_search_has_the_trial_ids_of_its_settings_in_a_plain_study(settings: str) -> None:
    plain = plan_study(parse_study(f"{HEAD}config: {{{settings}, lr: 0.02}}\n"), None, "cpu")
    assert [trial.id for trial in _drawn(settings).trials] == [trial.id for trial in plain.trials]


def _drawn(settings: str) -> Plan:
    """A search of one point, whose learning rate is 0.02."""
    text = (
        f"{HEAD}config: {{{settings}}}\n"
        "search: {points: 2, sampler: random, objective: {max: validation.image_ap}}\n"
        "space: {config.lr: {float: [0.01, 0.1]}}\n"
    )
    plan = plan_study(parse_study(text), None, "cpu")
    values = {"config.lr": 0.02}
    point = make_point(
        plan.study, TRAINABLE, plan.searched[0], "cpu", index=0, source="random", values=values
    )
    return plan.with_points([point])
