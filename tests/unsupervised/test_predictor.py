"""A trained baseline: what it says, what led there, and how it is kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.study import parse_study, plan_study
from tests.helpers.predictors import assert_saved_says_the_same
from tests.unsupervised.normal_images import CPU, MODELS, SIZE, fitted, made_data, pictures, tiny_config
from trainables.contract import LocalRun
from trainables.data.samples import EvaluationData
from trainables.errors import InputError
from trainables.evaluation.evaluate import evaluate
from trainables.stages import stage_keys
from trainables.unsupervised import TRAINABLE, UnsupervisedConfig
from trainables.unsupervised.predictor import UnsupervisedPredictor


@pytest.fixture(scope="module")
def trained() -> Callable[[str], UnsupervisedPredictor]:
    return cache(lambda model: fitted(tiny_config(model), made_data(), LocalRun()))


Trained = Callable[[str], UnsupervisedPredictor]


@pytest.mark.parametrize("model", MODELS)
def test_saved_predictor_predicts_the_same(model: str, trained: Trained, tmp_path: Path) -> None:
    assert_saved_says_the_same(trained(model), TRAINABLE.load, pictures(3), tmp_path)
    assert trained(model).to(CPU) is trained(model)


@pytest.mark.parametrize("model", MODELS)
def test_a_score_per_image_and_a_heatmap_of_its_size(model: str, trained: Trained) -> None:
    found = trained(model).predict(pictures(3))
    assert (found.score.shape, found.heatmap.shape) == ((3,), (3, *SIZE))
    assert (found.score.dtype, found.heatmap.dtype) == (torch.float64, torch.float32)
    assert all(((part >= 0) & (part <= 1)).all() for part in found)
    alone = [trained(model).predict(image[None]) for image in pictures(3)]
    torch.testing.assert_close(torch.cat([one.heatmap for one in alone]), found.heatmap)


@pytest.mark.parametrize("model", MODELS)
def test_a_test_image_that_is_no_surface_scores_higher(model: str, trained: Trained) -> None:
    strange = pictures(1).clone()
    strange[:, :, 8:24, 8:24] = (torch.arange(16) % 4 > 1).float()  # stripes
    normal, odd = trained(model).predict(pictures(1)), trained(model).predict(strange)
    assert odd.heatmap[0, 12:20, 12:20].mean() > normal.heatmap[0, 12:20, 12:20].mean()


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("f_anogan", ["reconstruction", "residual", "anomaly"]),
        ("students", ["error 17", "variance 17", "anomaly"]),
    ],
)
def test_the_stages_can_be_looked_at(model: str, names: list[str], trained: Trained) -> None:
    data = made_data().validation
    assert data is not None
    found = evaluate(trained(model), EvaluationData(data, data), device=CPU, batch=4, probes=2, seed=0)
    assert found.stage_maps is not None
    assert list(dict.fromkeys(found.stage_maps["stage"].to_pylist())) == names
    prediction, stages = trained(model).predict_stages(pictures(2))
    assert stages["anomaly"] is prediction.heatmap
    assert all(((part >= 0) & (part <= 1)).all() for part in stages.values())


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("f_anogan", {}),
        ("f_anogan", {"patch_stride": 8, "patch_placing": "overlap"}),  # patches of the stages' own grid
        ("students", {}),
        ("students", {"use_variance": False}),
    ],
)
def test_the_answer_beside_the_stages_is_that_of_predict(model: str, changes: dict[str, Any]) -> None:
    predictor = fitted(tiny_config(model, **changes), made_data(), LocalRun())
    beside, alone = predictor.predict_stages(pictures(3)).prediction, predictor.predict(pictures(3))
    assert torch.equal(beside.score, alone.score)
    assert torch.equal(beside.heatmap, alone.heatmap)


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("f_anogan", {"score_norm": False, "patch_stride": 8}),
        ("f_anogan", {"kappa": 0.5}),
        ("students", {"score_norm": False}),
        ("students", {"use_variance": False}),
        ("students", {"dense_stride": 1}),
        ("students", {"student_lr": 1e-2}),
    ],
)
def test_what_a_stage_shows_depends_on_nothing_but_its_key(
    model: str, changes: dict[str, Any], trained: Trained
) -> None:
    one, other = trained(model), fitted(tiny_config(model, **changes), made_data(), LocalRun())
    mine, theirs = map(shown, (one, other))
    for name in mine.keys() & theirs.keys():
        assert torch.equal(mine[name], theirs[name])
    shared = set(changes) <= {"score_norm", "patch_stride", "use_variance"}
    assert bool(mine.keys() & theirs.keys()) == shared
    prediction, rest = one.predict_stages(pictures(2), one.config.step_names)
    assert rest == {"anomaly": prediction.heatmap}


def shown(predictor: UnsupervisedPredictor) -> dict[tuple[str, str], torch.Tensor]:
    """What each stage shows, by its key and the name of the map or picture."""
    told = predictor.predict_stages(pictures(2)).stages
    named, keys = TRAINABLE.stages(predictor.config), stage_keys(TRAINABLE.stages(predictor.config), {})
    return {(keys[stage.name], name): told[name] for stage in named for name in stage.shows}


@pytest.mark.parametrize("model", MODELS)
def test_bfloat16_gives_nearly_the_same_map(model: str, trained: Trained) -> None:
    wide = trained(model)
    config = wide.config.model_copy(update={"precision": "bfloat16"})
    narrow = UnsupervisedPredictor(type(wide.network).of(config), config)
    narrow.network.load_state_dict(wide.network.state_dict())
    maps = [each.predict(pictures(2)).heatmap for each in (wide, narrow)]
    torch.testing.assert_close(*maps, rtol=0, atol=0.1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"score_pool": 20}, "odd"),
        ({"score_pool": 33}, "score_pool: 33 is a window in the image"),
        ({"patch_size": 64}, "patch_size: 64 needs sides"),
        ({"patch_stride": 17}, "unseen"),
        ({"model": "students", "scales": (65,)}, "scale 65 is larger"),
        ({"model": "students", "scales": (17, 17)}, "teacher and students of its own"),
        ({"model": "students", "teacher": "distill"}, "Name it, or use teacher: metric"),
        ({"weights_file": "r.pth", "weights_sha256": "0" * 64}, "teacher: distill only"),
        ({"weights_file": "r.pth", "teacher": "distill"}, "come together"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tiny_config(**{"model": "f_anogan", **changes})


@pytest.mark.parametrize("supervision", ["weak", "full"])
def test_a_plan_with_labels_is_refused(supervision: str) -> None:
    text = (
        "study: s\ntrainable: unsupervised\ndata: {reader: synthetic, splits: per_seed}\n"
        f"supervision: {supervision}\nconfig: {{preset: students_small, image_size: [64, 64]}}\n"
    )
    with pytest.raises(InputError, match=f"unsupervised trains with supervision none; found {supervision}"):
        plan_study(parse_study(text, "s.yaml"), None, "cpu")


@pytest.mark.parametrize("name", TRAINABLE.presets)
def test_presets_are_whole_and_their_footnotes_say_whose_settings_they_are(name: str) -> None:
    config = UnsupervisedConfig.model_validate({**TRAINABLE.presets[name], "image_size": (128, 128)})
    notes = " ".join(TRAINABLE.footnotes(config))
    assert "our choice" in notes or "teacher: metric" in notes


def test_a_random_teacher_is_called_a_floor() -> None:
    assert "floor" in " ".join(TRAINABLE.footnotes(tiny_config("students", teacher="random")))
