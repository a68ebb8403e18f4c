"""Curves of a trial's page are those of scikit-learn, and marked where the trial decided."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from assay_dashboard.scores import precision_recall, roc


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
