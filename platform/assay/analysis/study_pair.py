"""Two studies side by side: which of their cells match, and what their common repeats say.

Cells are matched by their levels, points of searches also by the values that were drawn for them, never by
their numbers. A study of one cell is matched with another of one cell whatever its name. Two trials are
compared where the test images are the same: same data, same partition, same seed, same split or fold.
:mod:`assay.report.pages` makes a page of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from assay.analysis.results.results import StudyResults
from assay.analysis.scores.score_analysis import ScoreTables
from assay.analysis.study_analysis import until_planned
from assay.analysis.summary import metric_table
from assay.statistics.contrasts import comparison
from assay.statistics.families import ComparisonResult, Rules
from assay.statistics.scores import Splits
from assay.study import Cell, PointCell, ReportedPlan, Trial
from trainables.data.inspect.findings import summarise
from trainables.errors import InputError
from trainables.evaluation.metrics import METRICS, Metric

__all__ = ["CellPair", "StudyPair", "listed", "match_cells", "pair_studies", "paired_scores"]

_Place = tuple[object, ...]  # what decides the test images of a trial
_SEPARATOR = ": "  # between study and cell


@dataclass(frozen=True)
class CellPair:
    """A cell of each study; the trials of both are those on the same test images."""

    name: str
    left: Cell
    right: Cell


@dataclass(frozen=True)
class StudyPair:
    """Two studies and the differences of their common repeats, right minus left."""

    left: StudyResults
    right: StudyResults
    metric: Metric  # the primary one of the left study
    cells: tuple[CellPair, ...]
    compared: tuple[CellPair, ...]  # those of which a repeat has the same test images in both,
    shared: tuple[CellPair, ...]  # but not these, whose common repeats are the same trainings
    comparisons: tuple[ComparisonResult, ...]

    @property
    def sides(self) -> tuple[StudyResults, StudyResults]:
        """Both studies."""
        return self.left, self.right


def pair_studies(left: StudyResults, right: StudyResults) -> StudyPair:
    """Match the cells of two studies, and compare their common repeats; no verdict while one of them goes on.

    Raises:
        InputError: If they are one, have no cell in common, or the second does not report the primary metric
            of the first.
    """
    if left.name == right.name:
        raise InputError(f"two studies are put side by side, found {left.name} twice. Name another one.")
    # Cells whose common repeats are the very same trainings stay out of the tests: their difference is zero
    # by construction, and it would count as evidence that nothing differs.
    metric = _common_metric(left, right)
    cells = match_cells(left.reported, right.reported)
    shared = _shared(left, right, cells)
    others = [match for match in cells if match not in shared]
    compared, scores = paired_scores(left, right, others, metric, (left.name, right.name))
    comparisons = scores.tested(metric, "studies", scores.contrasts)

    # Both studies have their one look when all has ended; before, a page may show differences and no verdict.
    if not (left.all_ended and right.all_ended):
        comparisons = tuple(map(until_planned, comparisons))
    return StudyPair(
        left=left,
        right=right,
        metric=metric,
        cells=tuple(cells),
        compared=compared,
        shared=shared,
        comparisons=comparisons,
    )


def listed(names: Sequence[str]) -> str:
    """``a, b, c, d and 3 more``; ``none yet``."""
    return summarise(names, 4) or "none yet"


def _common_metric(left: StudyResults, right: StudyResults) -> Metric:
    name, theirs = left.primary.name, right.plan.study.metrics
    if name not in (theirs.primary, *theirs.report):
        raise InputError(
            f"two studies are compared by the primary metric of the first, {name}, and {right.name} "
            f"reports {', '.join(dict.fromkeys((theirs.primary, *theirs.report)))}. Name them the other way "
            f"round, or add {name} to its metrics.report and run it again: nothing is trained anew."
        )
    return METRICS[name]


def match_cells(left: ReportedPlan, right: ReportedPlan) -> list[CellPair]:
    """The cells that two studies have in common.

    Raises:
        InputError: If they have none.
    """
    # Where each side has one cell there is nothing to match: a study made from a best point has another
    # name for it.
    if len(left.cells) == len(right.cells) == 1:
        first, second = left.cells[0], right.cells[0]
        return [CellPair(_common_name(first, second), first, second)]
    # Numbers of points differ between searches, so a point is known by the values that were drawn for it.
    theirs = {cell.match: cell for cell in right.cells}
    matches = [
        CellPair(_common_name(cell, other) if isinstance(cell, PointCell) else cell.name, cell, other)
        for cell in left.cells
        if (other := theirs.get(cell.match)) is not None
    ]
    if not matches:
        raise InputError(
            "cells of two studies are matched by their levels, points of searches also by what was drawn; "
            f"{left.study.study} has {listed([cell.name for cell in left.cells])}, {right.study.study} has "
            f"{listed([cell.name for cell in right.cells])}. Give both the same factors and levels; a point "
            "becomes a study by `assay best`, and two such studies match."
        )
    return matches


def _common_name(first: Cell, second: Cell) -> str:
    return first.name if first.name == second.name else f"{first.name}, {second.name}"


def paired_scores(
    left: StudyResults,
    right: StudyResults,
    matches: Sequence[CellPair],
    metric: Metric,
    names: tuple[str, str],
) -> tuple[tuple[CellPair, ...], ScoreTables]:
    """The matches of which a repeat has the same test images on both sides, and scores as of one study.

    ``names``: of the sides, which differ.
    """
    tables = [metric_table(side, metric.name) for side in (left, right)]
    frames: list[pd.DataFrame] = []
    compared: list[CellPair] = []
    splits: dict[str, Splits] = {}

    # The rows of both sides go into one table, as cells of one study, so the tests are those of any study.
    # Names of cells are those of both studies, because the same cell stands on each side.
    for match, common in _common_trials(left, right, matches):
        compared.append(match)
        cells = (match.left, match.right)
        for side, name, table, cell, trials in zip(
            (left, right), names, tables, cells, zip(*common, strict=True), strict=True
        ):
            ids = [trial.id for trial in trials]
            chosen = table[table["trial"].isin(ids) & (table["cell"] == cell.name)]
            frames.append(chosen.assign(study="both", cell=_key(name, cell)))
            splits[_key(name, cell)] = side.splits[cell.name]
    together = pd.concat(frames or [tables[0].iloc[:0]])
    return tuple(compared), ScoreTables(
        metrics=[metric],
        table=lambda _: together,
        contrasts=[
            comparison(" → ".join(names), _key(names[0], m.left), _key(names[1], m.right), m.name)
            for m in compared
        ],
        rules=Rules(splits, left.plan.study.resolve, test=left.plan.study.exact_test, seed=left.sign_seed),
        smallest_step=lambda _: None,
    )


def _shared(left: StudyResults, right: StudyResults, matches: Sequence[CellPair]) -> tuple[CellPair, ...]:
    """The matches whose common repeats are trainings of both studies: against itself none says anything."""
    pairs = _common_trials(left, right, matches)
    return tuple(match for match, common in pairs if all(here.id == there.id for here, there in common))


def _common_trials(
    left: StudyResults, right: StudyResults, matches: Sequence[CellPair]
) -> Iterator[tuple[CellPair, list[tuple[Trial, Trial]]]]:
    """The matches of which a repeat has the same test images on both sides, and the trials of each such."""
    of_left, of_right = _by_cell(left), _by_cell(right)
    for match in matches:
        here, there = of_left[match.left.name], of_right[match.right.name]
        common = [(trial, there[place]) for place, trial in here.items() if place in there]
        if common:
            yield match, common


def _by_cell(side: StudyResults) -> dict[str, dict[_Place, Trial]]:
    """Cell → what decides the test images → its trial."""
    # As planned: a row of several searches has no fold, which named the split that a winner is tested on.
    split = {trial.id: trial.seed if trial.fold is None else trial.fold for trial in side.plan.trials}
    trials: dict[str, dict[_Place, Trial]] = {cell.name: {} for cell in side.reported.cells}
    for trial in side.reported.trials:
        # Where each seed draws its split, the rule of the hold-out decides it with the seed or the fold;
        # where splits are prescribed, the fold does alone. The seed stands in both: it is what pairs two
        # trainings.
        per_seed = trial.data.splits == "per_seed"
        tested = (trial.data.test, split[trial.id]) if per_seed else (None, trial.fold)
        trials[trial.cell][trial.manifest, per_seed, *tested, trial.seed] = trial
    return trials


def _key(study: str, cell: Cell) -> str:
    return f"{study}{_SEPARATOR}{cell.name}"
