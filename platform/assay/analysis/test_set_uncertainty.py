"""Test-set uncertainty of a study: its trials' predictions, resampled by physical item.

The interval says what a score could have been had other test items been photographed. Nothing else of a
report reads more than records: here it is one file per trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from assay.analysis.results.computed import computed
from assay.analysis.results.results import StudyResults
from assay.analysis.summary import Repeat
from assay.statistics.intervals import ItemBootstrap, ItemInterval
from assay.storage.store import DamagedFileError

__all__ = ["MOST_TRIALS_AT_ONCE", "RESAMPLED_METRIC", "ItemIntervals", "item_intervals"]

RESAMPLED_METRIC = "image_ap"
MOST_TRIALS_AT_ONCE = 300  # of more, predictions are read only for who asks for them: it takes minutes
_NO_PREDICTIONS = ItemInterval(None, None, "no predictions")
_OTHER_DATA = ItemInterval(None, None, "the cells are on other data")


@dataclass(frozen=True, eq=False)
class ItemIntervals:
    """Intervals over test items, for cells and for differences of cells."""

    trials: Mapping[str, Mapping[Repeat, str]]  # cell → its trials with predictions
    data: Mapping[str, str]  # cell → manifest
    bootstraps: Mapping[str, ItemBootstrap]  # manifest → its items, resampled
    smallest_step: float | None  # 1 / (fewest defective images of a test part); None: no predictions
    problems: tuple[str, ...] = ()  # predictions that could not be read

    def cell(self, name: str) -> ItemInterval:
        """Interval of a cell's mean score."""
        trials = self.trials.get(name)
        return self.bootstraps[self.data[name]].cell([*trials.values()]) if trials else _NO_PREDICTIONS

    def difference(self, first: str, second: str) -> ItemInterval:
        """Interval of the mean score of ``first`` minus that of ``second``, over the repeats of both."""
        left, right = self.trials.get(first, {}), self.trials.get(second, {})
        # Both sides are resampled over the same repeats and the same items: what a hard item costs both
        # cells cancels.
        common = [repeat for repeat in left if repeat in right]
        if not common:
            return _NO_PREDICTIONS
        if self.data[first] != self.data[second]:
            return _OTHER_DATA
        sides = ([side[repeat] for repeat in common] for side in (left, right))
        return self.bootstraps[self.data[first]].difference(*sides)


def item_intervals(results: StudyResults) -> ItemIntervals | None:
    """Resample the test items of all finished trials that are reported; of a search, its replicated points.

    Returns:
        None if predictions are not to be read, the primary metric is not the one that is resampled (image
        AP), or no record has predictions.
    """
    return None if results.read_part is None else _item_intervals(results)


@computed
def _item_intervals(results: StudyResults) -> ItemIntervals | None:
    read_part = results.read_part
    if read_part is None or results.primary.name != RESAMPLED_METRIC:
        return None
    # One bootstrap for each data set: its trials share their items, so one draw of items serves all of them.
    frames: dict[str, dict[str, pd.DataFrame]] = {}  # manifest → trial, which may stand in two rows
    trials: dict[str, dict[Repeat, str]] = {}
    data: dict[str, str] = {}
    problems: list[str] = []
    for trial, record, _ in results.trained:
        try:
            table = read_part(record, "predictions.parquet")
        except (FileNotFoundError, DamagedFileError) as error:  # the record's scores stand all the same
            why = error if isinstance(error, DamagedFileError) else "its predictions.parquet is gone"
            problems.append(f"intervals over test images leave out trial {trial.id}: {why}")
            continue
        # The frame is kept by trial, because a trial that stands in two rows of a table is read twice and
        # has to be resampled once.
        if table is not None:
            frame = table.select(["sample", "item", "label", "score"]).to_pandas()
            frames.setdefault(trial.manifest, {})[trial.id] = frame.assign(trial=trial.id)
            trials.setdefault(trial.cell, {})[Repeat(trial.seed, trial.fold)] = trial.id
            data[trial.cell] = trial.manifest

    # Where nothing could be read, the problems are still told: without them a page would look like that of
    # a study that keeps no predictions.
    named_once = tuple(dict.fromkeys(problems))
    if not frames:
        return ItemIntervals({}, {}, {}, None, named_once) if named_once else None
    tables = {manifest: list(of_data.values()) for manifest, of_data in frames.items()}

    # One image moves the average precision by most where the fewest are defective: the coarsest test part
    # tells how fine the scores of all can be.
    defective = min(int(frame["label"].to_numpy(bool).sum()) for each in tables.values() for frame in each)
    return ItemIntervals(
        trials=trials,
        data=data,
        bootstraps={manifest: ItemBootstrap(pd.concat(each)) for manifest, each in tables.items()},
        smallest_step=1 / max(1, defective),
        problems=named_once,
    )
