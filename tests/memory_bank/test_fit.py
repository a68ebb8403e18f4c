"""A memory bank: its view of the data, its switches, its refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors.torch import load_file

from assay.study import parse_study, plan_study
from tests.helpers.predictors import assert_saved_says_the_same
from tests.memory_bank.banks import fitted, tiny_config
from tests.supervised.surfaces import joined
from tests.unsupervised.normal_images import made_data, made_set, pictures, surface
from trainables.contract import LocalRun
from trainables.data import Supervision
from trainables.data.samples import ImageSet
from trainables.data.tensors import images_to_tensor
from trainables.errors import InputError
from trainables.memory_bank import TRAINABLE
from trainables.stages import stage_keys


def tensors(images: ImageSet) -> torch.Tensor:
    return images_to_tensor([sample.image for sample in images], torch.device("cpu"))


def test_defective_images_are_farther_than_normal_ones() -> None:
    predictor = fitted(tiny_config(), made_data())
    scores = predictor.predict(tensors(made_set(range(300, 312), defective=6))).score
    assert scores[:6].min() > scores[6:].max()
    heatmap = predictor.predict(tensors(made_set(range(300, 301), defective=1))).heatmap[0]
    top, left = divmod(int(heatmap.argmax()), heatmap.shape[1])
    assert 8 <= top < 20  # the defect's rows and columns, and a cell
    assert 10 <= left < 22


def test_defective_training_images_are_not_looked_at() -> None:
    data = made_data()
    more = joined(data.train, made_set(range(200, 204), defective=4))
    weak = replace(data, train=more, supervision=Supervision.model_validate("weak"))
    alone, beside = (fitted(tiny_config(), each).predict(pictures(3)) for each in (data, weak))
    assert torch.equal(alone.score, beside.score)
    other = replace(data, train=made_set(range(20, 30)))
    assert not torch.equal(alone.score, fitted(tiny_config(), other).predict(pictures(3)).score)


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": [8]},
        {"patch": 1},
        {"coreset": 0.5},
        {"most_cells": 200},
        {"projection": 0},
        {"neighbours": 3},
        {"reweight": 3},
        {"smoothing": 0},
        {"trunk": "resnet18"},
        {"trunk": "dinov2_vits14", "layers": [14]},
        {"distance": "cosine"},
        {"score_share": 0.2},
        {"coreset": 1},
    ],
    ids=str,
)
def test_every_switch_changes_what_is_said_and_only_memory_is_shared(changes: dict[str, Any]) -> None:
    configs = [tiny_config(), tiny_config(**changes)]
    plain, changed = (fitted(config, made_data()).predict(pictures(3)) for config in configs)
    assert not torch.equal(plain.heatmap, changed.heatmap) or not torch.equal(plain.score, changed.score)
    keys = [stage_keys(TRAINABLE.stages(config), {})["bank"] for config in configs]
    looked_at = {"neighbours", "reweight", "score_share", "smoothing"}
    assert (keys[0] == keys[1]) is bool(changes.keys() & looked_at)


def test_a_saved_model_says_the_same(tmp_path: Path) -> None:
    predictor = fitted(tiny_config(reweight=3), made_data())
    assert_saved_says_the_same(predictor, TRAINABLE.load, pictures(3), tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patch": 4}, "side is odd, found 4. Use 5"),
        ({"reweight": 1}, r"use 0 \(off\) or 2 and more, found 1"),
        ({"layers": [8, 8]}, r"a layer is read once, found \[8, 8\]"),
        ({"layers": [2]}, "layers"),
        ({"layers": [14]}, r"lite0 has maps of \[4, 8, 16, 32\] pixels between cells, found layers: \[14\]"),
        ({"trunk": "dinov2_vits14"}, r"maps of \[14\] pixels between cells, found layers: \[4, 8\]"),
        ({"reweight": 3, "score_share": 0.01}, "found score_share: 0.01 and distance: euclidean"),
        ({"reweight": 3, "distance": "cosine"}, "found score_share: 0 and distance: cosine"),
        ({"weights_file": "a.pth", "weights_sha256": "a" * 64}, "random_trunk: true"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        tiny_config(**changes)


STUDY = """
study: bank
trainable: memory_bank
data: {{reader: synthetic}}
supervision: {supervision}
config: {{preset: small, image_size: [64, 64]{more}}}
"""


@pytest.mark.parametrize(
    ("supervision", "more", "words"),
    [
        ("none", "", r"config\.weights_file|weights_sha256, or set random_trunk: true"),
        ("weak", ", random_trunk: true", "memory_bank"),
    ],
)
def test_a_plan_refuses_what_makes_no_sense(supervision: str, more: str, words: str) -> None:
    text = STUDY.format(supervision=supervision, more=more)
    with pytest.raises(InputError, match=words):
        plan_study(parse_study(text, "bank.yaml"), None, "cpu")


def test_a_notebook_without_weights_is_refused_too() -> None:
    with pytest.raises(InputError, match="weights_file"):
        fitted(tiny_config(random_trunk=False), made_data())


def test_a_bank_of_one_cell_is_refused_where_its_neighbours_weigh() -> None:
    def small(seed: int, /, *, defect: bool = False) -> NDArray[np.uint8]:
        return surface(seed, defect=defect)[:8, :8]

    one, held_out = (made_set(numbers, paint=small) for numbers in (range(1), range(9, 12)))
    data = replace(made_data(), train=one, validation=held_out)
    with pytest.raises(InputError, match=r"reweight: 3 .* \(coreset: 0.1 of 4 cells\). Raise coreset"):
        fitted(tiny_config(image_size=(8, 8), layers=[4], reweight=3), data)


def test_the_stage_logs_what_it_remembers() -> None:
    run = LocalRun()
    predictor = fitted(tiny_config(coreset=0.25, most_cells=300), made_data(), run)
    assert len(predictor.network.bank.cells_MC) == 75
    assert run.history == [{"epoch": 0, "held_out": 7}]


# What a fixed training ends with. When it moves, raise TRAINABLE.revision and note the new numbers.
GOLDEN = {1: [50.1703, 8.12168, 1.61936]}


def test_results_do_not_move_without_a_new_revision(tmp_path: Path) -> None:
    fitted(tiny_config(), made_data()).save(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    names = ("bank.cells_MC", "map_scale.centre", "score_scale.scale")
    found = [saved[name].double().norm().item() for name in names]
    np.testing.assert_allclose(found, GOLDEN[TRAINABLE.revision], rtol=0.01)
