"""What the repeats of a study say: comparisons, effects, test luck. Tables in, plain answers out.

>>> answers = compare(table, [comparison("stop: off → on", "off", "on")], metric="image_ap", resolve=0.01)
>>> print(sentence(answers[0], decimals=3))
suggested: +0.021 [0.008, 0.034], better in 5 of 5, p = .0625. With 5 repeats the exact test cannot go …

``table`` is a study's ``summary.parquet``: one row per trial and metric. Nothing here reads or writes files.
"""

from assay.results.statistics.best import Best, best_cells
from assay.results.statistics.compare import Answer, Verdict, answers_table, compare, compare_families
from assay.results.statistics.contrasts import Contrast, comparison, interactions, main_effects
from assay.results.statistics.luck import ItemBootstrap, Luck
from assay.results.statistics.means import MeanInterval, mean_intervals
from assay.results.statistics.scores import Claim, Splits
from assay.results.statistics.settle import More
from assay.results.statistics.words import sentence

__all__ = [
    "Answer",
    "Best",
    "Claim",
    "Contrast",
    "ItemBootstrap",
    "Luck",
    "MeanInterval",
    "More",
    "Splits",
    "Verdict",
    "answers_table",
    "best_cells",
    "compare",
    "compare_families",
    "comparison",
    "interactions",
    "main_effects",
    "mean_intervals",
    "sentence",
]
