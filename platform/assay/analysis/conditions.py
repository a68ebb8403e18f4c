"""Whether the differences of a study hold under other conditions: of its comparisons, one condition each.

Two questions are put to each comparison and condition, on the same repeats. Is there a difference under the
condition? And is it another one than on the plain test images: the interaction, difference under the
condition minus plain difference, paired by repeat. Each question is a family over all comparisons and
conditions, tested as the comparisons are. From both comes one word:

* ``turns``: the plain difference is shown, the interaction is shown, and under the condition a difference the
  other way is shown;
* ``shrinks``: the plain difference is shown, the interaction is shown, and goes against it;
* ``holds``: the plain difference is shown, and under the condition one the same way, which is not shown to be
  smaller. Or the interaction is ``negligible``: it stays within the study's ``resolve``, whatever was shown;
* ``appears``: no plain difference is shown; under the condition one is, and the interaction is shown;
* ``not decided``: anything else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from assay.analysis.results.computed import computed
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import score_tables, study_analysis
from assay.analysis.summary import condition_results, condition_row, metric_table
from assay.statistics.contrasts import Contrast, comparison
from assay.statistics.families import ComparisonResult, compare_families, first_claims
from trainables.data.conditions import Condition

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ConditionFinding", "Holds", "condition_findings", "holds_word"]

Holds = Literal["holds", "shrinks", "turns", "appears", "not decided"]


@dataclass(frozen=True)
class ConditionFinding:
    """One comparison under one condition."""

    condition: Condition
    plain: ComparisonResult  # on the test images as they are
    under: ComparisonResult  # the same difference under the condition
    interaction: ComparisonResult  # ``under`` minus ``plain``, repeat by repeat

    @property
    def word(self) -> Holds:
        """``holds``, ``shrinks``, ``turns``, ``appears`` or ``not decided``."""
        return holds_word(self.plain, self.under, self.interaction)


def holds_word(plain: ComparisonResult, under: ComparisonResult, interaction: ComparisonResult) -> Holds:
    """What becomes of a plain difference under a condition; the rules stand at the top of this module."""
    if interaction.verdict == "negligible":
        return "holds"
    both = under.verdict == interaction.verdict == "shown"
    if plain.verdict != "shown":
        return (
            "appears"
            if both and (under.difference or 0.0) * (interaction.difference or 0.0) > 0
            else "not decided"
        )
    way = plain.difference or 0.0
    same, against = (under.difference or 0.0) * way > 0, (interaction.difference or 0.0) * way < 0
    if interaction.verdict == "shown" and against:
        return "turns" if under.verdict == "shown" and not same else "shrinks"
    return "holds" if same and under.verdict == "shown" else "not decided"


@computed
def condition_findings(results: StudyResults) -> tuple[ConditionFinding, ...]:
    """Each comparison of the study under each condition, by the primary metric; the first claim speaks.

    Empty for a study without conditions, and where nothing was evaluated under any.
    """
    conditions, primary = results.plan.study.conditions, results.primary
    analysis = study_analysis(results)
    plain = [each for each in first_claims(analysis.comparisons) if each.cell_a and each.cell_b]
    if not plain or not condition_results(results):
        return ()

    # Each cell under a condition is a column of its own in one table, so that the difference of two
    # differences is a contrast of four.
    scores = score_tables(results)
    splits = {
        _under(cell, condition): each
        for cell, each in results.splits.items()
        for condition in (None, *conditions)
    }
    families = compare_families(
        _table(results),
        {
            "conditions": [_difference(each, condition) for each in plain for condition in conditions],
            "interactions with conditions": [
                _interaction(each, condition) for each in plain for condition in conditions
            ],
        },
        metric=primary,
        rules=replace(scores.rules_of(primary), splits=splits),
    )
    under, interactions = (
        {(each.comparison, each.claim): each for each in analysis.as_they_stand(family)}
        for family in families.values()
    )
    return tuple(
        ConditionFinding(condition, each, under[key], interactions[key])
        for each in plain
        for condition in conditions
        if (key := (_name(each, condition), each.claim)) in under and key in interactions
    )


def _table(results: StudyResults) -> pd.DataFrame:
    """The scores of all cells by the primary metric, plain and under each condition."""
    import pandas as pd

    plain = metric_table(results, results.primary.name)
    tables, found = [plain], condition_results(results)
    facts = ["part", "metric", "value", "status", "reason"]
    for condition in results.plan.study.conditions:
        rows = [
            condition_row(found.get((trial, condition.key)), tuple(row))
            for trial, row in zip(plain["trial"], plain[facts].astype(object).to_numpy(), strict=True)
        ]
        under = plain.assign(cell=[_under(cell, condition) for cell in plain["cell"]])
        under[facts] = pd.DataFrame(rows, columns=facts, index=plain.index)
        tables.append(under.assign(part="test").astype({"value": "float64"}))
    return pd.concat(tables, ignore_index=True)


def _under(cell: str, condition: Condition | None) -> str:
    return cell if condition is None else f"{cell} | {condition.name}"


def _name(plain: ComparisonResult, condition: Condition) -> str:
    return f"{plain.cell_b} → {plain.cell_a} | {condition.name}"


def _difference(plain: ComparisonResult, condition: Condition) -> Contrast:
    start, end = str(plain.cell_b), str(plain.cell_a)
    return comparison(_name(plain, condition), _under(start, condition), _under(end, condition))


def _interaction(plain: ComparisonResult, condition: Condition) -> Contrast:
    start, end = str(plain.cell_b), str(plain.cell_a)
    weights = {_under(end, condition): 1.0, _under(start, condition): -1.0, end: -1.0, start: 1.0}
    return Contrast(_name(plain, condition), weights)
