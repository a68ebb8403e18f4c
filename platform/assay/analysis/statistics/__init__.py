"""Statistics of a study's repeats: comparisons, effects, intervals over test items. Tables in, results out.

>>> results = compare(table, [comparison("stop: off → on", "off", "on")], metric="image_ap", resolve=0.01)
>>> print(sentence(results[0], decimals=3))
suggested: +0.021 [0.008, 0.034], better in 5 of 5, p = .0625. With 5 repeats the exact test cannot go …

``table`` is a study's ``summary.parquet``: one row per trial and metric. Nothing here reads or writes files.
"""

from assay.analysis.statistics.best_cells import Best, best_cells
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
    "best_cells",
    "compare",
    "compare_families",
    "comparison",
    "interactions",
    "main_effects",
    "mean_intervals",
    "results_table",
    "sentence",
]
