"""What each switch changes in the answer, and what of a step's map it must not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.regioncam.chains import WHOLE, answer_of, pictures, shared_fit, tiny
from trainables.regioncam.config import RegionCamConfig
from trainables.regioncam.stages import stages
from trainables.stages import stage_keys

SWITCHES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"method": "cam"}),
    ({}, {"method": "grad_cam"}),
    ({}, {"layers": [2]}),
    ({}, {"layers": [1, 2]}),
    ({"layers": [1, 2]}, {"fusion": "max"}),
    ({}, {"recentre": False}),
    ({}, {"gate_by_score": False}),
    ({}, {"fgbp": False}),
    ({}, {"fgbp_guided": False}),
    ({}, {"fgbp_q": 0.0}),
    ({}, {"fgbp_q": 0.8}),
    ({}, {"fgbp_by": "activation_x_gradient"}),
    ({}, {"fgbp_mode": "share_of_max"}),
    ({}, {"fgbp_sign": "negative"}),
    ({}, {"region": "slic"}),
    ({}, {"region": "grid"}),
    ({}, {"region": "components"}),
    ({"region": "grid"}, {"region_size": 6}),
    ({"region": "grid"}, {"region_gamma": 2.0}),
    ({"region": "grid"}, {"region_score": "occlusion"}),
    ({"region": "grid", "region_score": "occlusion"}, {"region_count": 2}),
    ({}, {"rounds": 1}),
    ({"rounds": 1}, {"threshold": "area_prior"}),
    ({"rounds": 1}, {"crf": True}),
    ({"rounds": 1, "crf": True}, {"crf_kind": "guided"}),
    ({"rounds": 1}, {"pos_weight": 7.0}),
    ({"rounds": 1}, {"dice_weight": 0.3}),
    ({"rounds": 1}, {"rounds": 2}),
    ({"rounds": 2}, {"round_foreground": 0.6}),
    ({"rounds": 2}, {"round_background": 0.1}),
    ({"rounds": 2}, {"round_change": 1.001}),
    ({"rounds": 3}, {"round_blend": 0.0}),
]


@pytest.mark.parametrize(("base", "switch"), SWITCHES, ids=lambda part: "-".join(map(str, part.items())))
def test_every_switch_changes_the_answer(base: dict[str, Any], switch: dict[str, Any], shared: Path) -> None:
    assert answer_of(base, shared) != answer_of({**base, **switch}, shared)


@pytest.mark.parametrize(("base", "switch"), SWITCHES, ids=lambda part: "-".join(map(str, part.items())))
def test_what_a_stage_shows_depends_on_nothing_but_its_key(
    base: dict[str, Any], switch: dict[str, Any], shared: Path
) -> None:
    one, other = (shown_by_stage(tiny(**settings), shared) for settings in (base, {**base, **switch}))
    for name in one.keys() & other.keys():
        assert torch.equal(one[name], other[name]), name


def shown_by_stage(config: RegionCamConfig, shared: Path) -> dict[tuple[str, str], Tensor]:
    """What each stage shows, by its key and the name of the map."""
    predictor = shared_fit(config, shared)
    told = predictor.predict_stages(pictures(2)).stages
    keys = stage_keys(stages(config), {})
    found = [(keys[stage.name], name) for stage in stages(config) for name in stage.shows]
    assert {name for _, name in found} == told.keys()
    return {(key, name): told[name] for key, name in found}


@pytest.mark.parametrize("changes", [{}, WHOLE])
def test_steps_that_are_known_are_left_out(changes: dict[str, Any], shared: Path) -> None:
    config = tiny(**changes)
    predictor = shared_fit(config, shared)
    prediction, told = predictor.predict_stages(pictures(2))
    assert all(torch.equal(*both) for both in zip(prediction, predictor.predict(pictures(2)), strict=True))
    *maps, rounds = [stage.shows for stage in stages(config) if stage.shows] if config.rounds else [(), ()]
    some = predictor.predict_stages(pictures(2), {name for shows in maps for name in shows}).stages
    assert list(some) == list(rounds) if config.rounds else list(told)
    assert all(torch.equal(values, told[name]) for name, values in some.items())
    assert not set(predictor.predict_stages(pictures(2), told).stages) - set(rounds)
