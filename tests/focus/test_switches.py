"""What each switch of the chain changes, and what of a step's picture it must not change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.focus.chains import fitted, pictures, tiny_chain
from tests.helpers.predictors import digest
from trainables.focus import FocusConfig
from trainables.focus.predictor import FocusPredictor
from trainables.focus.stages import stages
from trainables.stages import stage_keys

SWITCHES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"clm": True}),
    ({}, {"gcm": True}),
    ({}, {"iem": "residual"}),
    ({}, {"iem": "erase"}),
    ({}, {"threshold": "area_prior"}),
    ({}, {"recentre": False}),
    ({}, {"round": True}),
    ({}, {"distill": True}),
    ({}, {"crf": True, "round": True}),
    ({"crf": True, "round": True, "segment_min_steps": 60}, {"crf_kind": "guided"}),
    ({"clm": True}, {"clm_mode": "triplet"}),
    ({"clm": True}, {"clm_pull_defects": False}),
    ({"clm": True, "gcm": True}, {"clm_use_crops": False}),
    ({"gcm": True}, {"gcm_equivariance": 1.0}),
    ({"iem": "both"}, {"iem_fuse": "max"}),
    ({"iem": "both"}, {"iem_residual": "msgms"}),
    ({"iem": "both"}, {"iem_inpainter": "unet"}),
    ({"distill": True}, {"student_soft": 0.0}),
    ({"distill": True}, {"student_start": "teacher"}),
]


SHARING: list[tuple[dict[str, Any], dict[str, Any]]] = [  # the same step, shown last and on the way
    ({"crf": True, "crf_guard": 0.0}, {"round": True}),
    ({"crf": True, "crf_guard": 0.0, "round": True}, {"distill": True}),
    ({"gcm": True, "iem": "both"}, {"crf": True}),
]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of chains that several switches start from."""
    return {"folder": str(tmp_path_factory.mktemp("switches"))}


def digest_of(settings: dict[str, Any], known: dict[str, str]) -> str:
    key = json.dumps(settings, sort_keys=True)
    if key not in known:
        folder = Path(known["folder"]) / str(len(known))
        # Maps of a net that was hardly trained may be empty: enough steps for a map, few for all else.
        config = tiny_chain(min_steps=24, **settings)
        predictor = fitted(config, folder)
        known[key] = digest(predictor, folder / "model")
        save_file(shown_by_stage(config, predictor), folder / "shown.safetensors")
        known[f"shown {key}"] = str(folder / "shown.safetensors")
    return known[key]


def shown_by_stage(config: FocusConfig, predictor: FocusPredictor) -> dict[str, Tensor]:
    """What each stage shows, by its key and the name of the map or picture."""
    told = predictor.predict_stages(pictures(2)).stages
    keys = stage_keys(stages(config), {})
    found = [(keys[stage.name], name) for stage in stages(config) for name in stage.shows if name in told]
    return {f"{key} {name}": told[name].contiguous() for key, name in found}


@pytest.mark.parametrize(("base", "switch"), SWITCHES, ids=lambda part: "-".join(map(str, part.values())))
def test_every_switch_changes_what_comes_out(
    base: dict[str, Any], switch: dict[str, Any], known: dict[str, str]
) -> None:
    assert digest_of(base, known) != digest_of({**base, **switch}, known)


@pytest.mark.parametrize(
    ("base", "switch"), [*SWITCHES, *SHARING], ids=lambda part: "-".join(map(str, part.values()))
)
def test_what_a_stage_shows_depends_on_nothing_but_its_key(
    base: dict[str, Any], switch: dict[str, Any], known: dict[str, str]
) -> None:
    both: list[dict[str, Tensor]] = []
    for settings in (base, {**base, **switch}):
        digest_of(settings, known)
        both.append(load_file(known[f"shown {json.dumps(settings, sort_keys=True)}"]))
    for name in both[0].keys() & both[1].keys():
        assert torch.equal(both[0][name], both[1][name]), name


@pytest.mark.parametrize("switches", [{}, {"crf": True, "crf_guard": 0.0, "round": True, "distill": True}])
def test_steps_that_are_known_are_left_out(switches: dict[str, Any], tmp_path: Path) -> None:
    config = tiny_chain(**switches, gcm=True)
    predictor = fitted(config, tmp_path)
    told = predictor.predict_stages(pictures(2)).stages
    shown = {name for stage in stages(config) for name in stage.shows}
    assert list(predictor.predict_stages(pictures(2), shown).stages) == list(told)[-1:]
    some = predictor.predict_stages(pictures(2), config.map_names).stages
    assert list(some) == [name for name in told if name not in config.map_names]
    assert all(torch.equal(values, told[name]) for name, values in some.items())


@pytest.mark.parametrize(
    ("switches", "steps"),
    [
        ({}, ["cam", "pseudo", "s1"]),
        ({"iem": "residual"}, ["cam", "erased 1", "final_cam", "pseudo", "s1"]),
        ({"crf": True}, ["cam", "pseudo", "s1", "s1_crf"]),
        ({"round": True}, ["cam", "pseudo", "s1", "s2"]),
    ],
)
def test_the_last_step_of_the_lineage_is_the_heatmap(
    switches: dict[str, Any], steps: list[str], tmp_path: Path
) -> None:
    predictor = fitted(tiny_chain(**switches, crf_guard=0.0), tmp_path)
    prediction, told = predictor.predict_stages(pictures(2))
    assert list(told) == steps
    assert told[steps[-1]] is prediction.heatmap
    assert torch.equal(prediction.heatmap, predictor.predict(pictures(2)).heatmap)
