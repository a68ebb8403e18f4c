"""Statistics of a study's repeats: comparisons, effects, intervals over test items. Tables in, results out.

>>> results = compare(table, [comparison("stop: off → on", "off", "on")], metric="image_ap", resolve=0.01)
>>> print(sentence(results[0]))
suggested: +0.021 [0.008, 0.034], better in 5 of 5, p = .0625. With 5 repeats the exact test cannot go …

``table`` is a study's ``summary.parquet``: one row per trial and metric. Nothing here reads or writes files.
The names below load with pandas and SciPy, each when it is first asked for: `assay plan` needs neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.analysis.statistics.best_cells import Best
    from assay.analysis.statistics.contrasts import Contrast, comparison, interactions, main_effects
    from assay.analysis.statistics.families import (
        ComparisonResult,
        Verdict,
        compare,
        compare_families,
        results_table,
    )
    from assay.analysis.statistics.item_bootstrap import ItemBootstrap, ItemInterval
    from assay.analysis.statistics.mean_interval import MeanInterval, mean_intervals
    from assay.analysis.statistics.more_repeats import More
    from assay.analysis.statistics.score_table import Claim, Splits
    from assay.analysis.statistics.wording import sentence

__all__ = [
    "Best",
    "Claim",
    "ComparisonResult",
    "Contrast",
    "ItemBootstrap",
    "ItemInterval",
    "MeanInterval",
    "More",
    "Splits",
    "Verdict",
    "compare",
    "compare_families",
    "comparison",
    "interactions",
    "main_effects",
    "mean_intervals",
    "results_table",
    "sentence",
]

_PLACES = {
    "best_cells": ["Best"],
    "contrasts": ["Contrast", "comparison", "interactions", "main_effects"],
    "families": ["ComparisonResult", "Verdict", "compare", "compare_families", "results_table"],
    "item_bootstrap": ["ItemBootstrap", "ItemInterval"],
    "mean_interval": ["MeanInterval", "mean_intervals"],
    "more_repeats": ["More"],
    "score_table": ["Claim", "Splits"],
    "wording": ["sentence"],
}


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
