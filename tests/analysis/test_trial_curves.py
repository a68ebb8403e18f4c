"""Curves of a trial as they are drawn."""

from __future__ import annotations

import math

import pandas as pd

from assay.analysis.trials import curves_of


def test_what_is_no_finite_number_is_not_drawn() -> None:
    curve = pd.DataFrame({"epoch": [0.0, 1.0, 2.0], "loss": [0.5, math.inf, math.nan]})
    (_, drawn) = curves_of(curve)["Loss"]
    assert list(drawn["value"]) == [0.5]
