"""Test luck of a study: its trials' predictions, resampled by physical item.

The only part of a report that reads more than records: one file per trial.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from assay.analysis.statistics import ItemBootstrap, ItemInterval
from assay.storage.record import Record
from assay.storage.store import DamagedFileError
from assay.study import Plan

__all__ = ["RESAMPLED_METRIC", "ItemIntervals", "ReadPart", "read_item_intervals"]

RESAMPLED_METRIC = "image_ap"
ReadPart = Callable[[Record, str], pa.Table | None]  # `Store.read_part`
_NO_PREDICTIONS = ItemInterval(None, None, "no predictions")
_OTHER_DATA = ItemInterval(None, None, "the cells are on other data")


@dataclass(frozen=True, eq=False)
class ItemIntervals:
    """Intervals over test items, for cells and for differences of cells."""

    trials: Mapping[str, Sequence[str]]  # cell → its trials with predictions
    data: Mapping[str, str]  # cell → manifest
    bootstraps: Mapping[str, ItemBootstrap]  # manifest → its items, resampled
    smallest_step: float  # 1 / (fewest defective images of a test part)
    problems: tuple[str, ...] = ()  # predictions that could not be read

    def cell(self, name: str) -> ItemInterval:
        """Of a cell's mean score."""
        trials = self.trials.get(name)
        return self.bootstraps[self.data[name]].cell(trials) if trials else _NO_PREDICTIONS

    def difference(self, first: str, second: str) -> ItemInterval:
        """Of the mean score of ``first`` minus that of ``second``."""
        one, other = self.trials.get(first), self.trials.get(second)
        if not one or not other:
            return _NO_PREDICTIONS
        if self.data[first] != self.data[second]:
            return _OTHER_DATA
        return self.bootstraps[self.data[first]].difference(one, other)


def read_item_intervals(
    plan: Plan, records: Mapping[str, Record], read_part: ReadPart
) -> ItemIntervals | None:
    """Read the predictions of all finished trials of the answer.

    Args:
        plan: All that was to be trained; of a search, its replicated points answer.
        records: By trial id.
        read_part: Reads a file of a record: the store's, or one that remembers.

    Returns:
        None if the primary metric is not the one that is resampled (image AP), or nothing is finished.
    """
    plan = plan.answer()
    if plan.study.metrics.primary != RESAMPLED_METRIC:
        return None
    frames: dict[str, list[pd.DataFrame]] = {}
    trials: dict[str, list[str]] = {}
    data: dict[str, str] = {}
    problems: list[str] = []
    for trial in plan.trials:
        record = records.get(trial.id)
        if record is None or record.result is None:
            continue
        try:
            table = read_part(record, "predictions.parquet")
        except (FileNotFoundError, DamagedFileError) as error:  # the record's scores stand all the same
            problems.append(f"test luck leaves out trial {trial.id}: {error}")
            continue
        if table is not None:
            frame = table.select(["sample", "item", "label", "score"]).to_pandas()
            frames.setdefault(trial.manifest, []).append(frame.assign(trial=trial.id))
            trials.setdefault(trial.cell, []).append(trial.id)
            data[trial.cell] = trial.manifest
    if not frames:
        return None
    defective = min(
        int(frame["label"].to_numpy(bool).sum()) for of_data in frames.values() for frame in of_data
    )
    return ItemIntervals(
        trials=trials,
        data=data,
        bootstraps={name: ItemBootstrap(pd.concat(of_data)) for name, of_data in frames.items()},
        smallest_step=1 / max(1, defective),
        problems=tuple(problems),
    )
