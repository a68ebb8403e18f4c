"""Curves of a trial's page are scikit-learn's, marked where the trial decided. Its histogram is whole."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from assay_dashboard.plots import score_plot
from assay_dashboard.predictions import precision_recall, roc


@pytest.fixture(params=["ties", "no ties"])
def predictions(request: pytest.FixtureRequest) -> pd.DataFrame:
    draws = np.random.default_rng(3)
    label = np.arange(60) < 20
    score = draws.random(60) * 0.7 + 0.3 * label
    score = np.round(score, 1) if request.param == "ties" else score
    return pd.DataFrame({"label": label, "score": score, "decision": score >= 0.6})


def test_the_roc_curve_is_that_of_scikit_learn(predictions: pd.DataFrame) -> None:
    false, true, _ = roc_curve(predictions["label"], predictions["score"], drop_intermediate=False)
    curve = roc(predictions)
    np.testing.assert_array_equal(curve.points[["x", "y"]].to_numpy(), np.column_stack([false, true]))
    assert curve.mark in set(zip(false, true, strict=True))  # the decision is a threshold on the scores


def test_the_curve_of_precision_and_recall_is_that_of_scikit_learn(predictions: pd.DataFrame) -> None:
    precision, recall, _ = precision_recall_curve(predictions["label"], predictions["score"])
    curve = precision_recall(predictions)
    np.testing.assert_array_equal(curve.points[["x", "y"]].to_numpy(), np.column_stack([recall, precision]))
    assert curve.mark in set(zip(recall, precision, strict=True))


def test_the_histogram_counts_every_image_on_an_axis_that_says_what_it_is() -> None:
    score = np.append(np.linspace(0.2, 0.3, 97), [0.25, 0.6, 0.9])
    scores = pd.DataFrame({"score": score, "image": ["normal"] * 97 + ["defective"] * 3})
    chart = score_plot(scores, 0.1, theme="light").to_dict()
    bars, rule = chart["layer"]
    rows = pd.DataFrame(chart["datasets"][bars["data"]["name"]])
    assert rows.groupby("image")["images"].sum().to_dict() == {"defective": 3, "normal": 97}
    for kind, of_kind in scores.groupby("image"):
        for row in rows[rows["image"] == kind].itertuples(index=False):
            low, high = row[rows.columns.get_loc("from")], row.to
            last = "both" if high == rows["to"].max() else "left"
            assert of_kind["score"].between(low, high, inclusive=last).sum() == row.images
    axis = bars["encoding"]["y"]
    assert axis["title"] == "images n, drawn as log(1 + n)"
    assert axis["axis"]["values"] == [0, 1, 2, 5, 10]
    assert axis["scale"]["domain"] == [0, rows["images"].max()]
    assert rule["encoding"]["x"]["field"] == "threshold"


@pytest.mark.parametrize("other", [0.5, np.nextafter(0.5, 1.0)])
def test_scores_that_hardly_differ_have_a_histogram(other: float) -> None:
    scores = pd.DataFrame({"score": [0.5, other], "image": ["normal", "defective"]})
    chart = score_plot(scores, 0.5, theme="light").to_dict()
    bars = [row for rows in chart["datasets"].values() for row in rows if "images" in row]
    assert [(bar["image"], bar["images"]) for bar in bars] == [("normal", 1), ("defective", 1)]
