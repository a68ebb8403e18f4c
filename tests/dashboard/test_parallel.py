"""Parallel coordinates: where points lie on their axes, what is sent, and what a brush keeps."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from assay.report.interactive.parallel import objective_axis, parameter_axis, points_payload
from assay.study.search.spec import Choice, FloatRange
from assay_dashboard.search_points import brush_texts, brushes_of, inside

LOG = FloatRange.model_validate({"float": [0.01, 1.0], "log": True})
CHOICE = Choice.model_validate({"choice": ["none", "linear", "power"]})


def test_a_parameter_drawn_on_a_log_scale_lies_on_one() -> None:
    axis = parameter_axis("config.lr", LOG, [0.01, 0.1, 1.0, None])
    np.testing.assert_allclose(axis.positions, [0, 0.5, 1, math.nan], rtol=1e-6)
    assert axis.title == "lr"
    assert [text for _, text in axis.ticks] == ["0.01", "0.0316", "0.1", "0.316", "1"]


def test_choices_lie_evenly() -> None:
    axis = parameter_axis("config.balance", CHOICE, ["power", "none", "linear"])
    np.testing.assert_array_equal(axis.positions, [1, 0, 0.5])


def test_the_better_end_of_the_objective_is_at_the_top() -> None:
    np.testing.assert_array_equal(objective_axis("loss", [0.4, 0.2, None], -1).positions[:2], [0, 1])
    assert objective_axis("loss", [0.4, 0.2], -1).ticks[-1] == (1.0, "0.200")


def test_what_is_sent_can_be_read_back() -> None:
    axes = [parameter_axis("config.lr", LOG, [0.01, 1.0]), objective_axis("ap", [0.5, None], 1)]
    data = points_payload(axes, {"objective": (0.25, 1.0)})
    length = int.from_bytes(data[:4], "little")
    head = json.loads(data[4 : 4 + length])
    positions = np.frombuffer(data[4 + length :], "<f4").reshape(2, 2)
    assert length % 4 == 0
    assert [axis["name"] for axis in head["axes"]] == ["config.lr", "objective"]
    assert (head["count"], head["best"]) == (2, 1)
    assert head["brushes"] == {"objective": [0.25, 1.0]}
    np.testing.assert_array_equal(positions, [[0, 1], [0, math.nan]])


def test_a_brush_keeps_what_lies_within_it_and_has_a_value() -> None:
    axes = [parameter_axis("config.lr", LOG, [0.01, 0.1, 1.0, None])]
    assert inside(axes, {"config.lr": [0.5, 1.0]}).tolist() == [False, True, True, False]
    assert inside(axes, {"config.gone": [0.5, 1.0]}).all()


def test_brushes_are_the_same_after_the_url() -> None:
    axes = [parameter_axis("config.lr", LOG, [0.1]), objective_axis("ap", [0.5], 1)]
    brushes = {"config.lr": (0.0, 0.3333), "objective": (0.95, 1.0)}
    assert brushes_of(brush_texts(brushes), axes) == brushes


@pytest.mark.parametrize(
    "text",
    ["config.gone:0:1", "config.lr:0:1.5", "config.lr:1:0", "config.lr:nan:1", "config.lr:-1:1", "config.lr",
     "config.lr:0:1:1", "config.lr:0:٣", "<script>:0:1", ""],
)  # fmt: skip
def test_a_brush_of_the_url_is_a_part_of_an_axis_or_nothing(text: str) -> None:
    assert brushes_of([text], [parameter_axis("config.lr", LOG, [0.1])]) == {}
