"""What a trained trial is worth under other conditions: files beside its record, one for each condition.

``trials/<id>/under/<key>.json`` opens with a checksum, as a record does. A file counts for the weights and
thresholds that it names: of a trial that was trained anew it is evaluated again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, Field, FiniteFloat

from assay.storage.files.checksum import read_checksummed, write_checksummed
from assay.storage.record import Record
from assay.storage.store import Store
from trainables.data.conditions import Condition
from trainables.evaluation.scorer import Thresholds

__all__ = [
    "UNDER",
    "ConditionResult",
    "lacking_conditions",
    "read_condition",
    "without_model",
    "write_condition",
]

UNDER = "under"  # folder below a trial's


class ConditionResult(BaseModel, frozen=True, extra="forbid"):
    """Test metrics of a trial under one condition, at the thresholds of its record."""

    condition: Condition
    weights_hash: str = Field(description="Of the model that was asked.")
    image_threshold: FiniteFloat
    pixel_threshold: FiniteFloat
    metrics: dict[str, FiniteFloat] = Field(description="An undefined metric is absent.")
    undefined: dict[str, str] = Field(default_factory=dict, description="Why a metric is absent.")
    n_test: int = Field(description="Images; of a choice or a shift maybe fewer than the record's.")

    def is_of(self, weights_hash: str, thresholds: Thresholds) -> bool:
        """True of a result of this model and these thresholds."""
        mine = self.weights_hash, self.image_threshold, self.pixel_threshold
        return mine == (weights_hash, thresholds.image, thresholds.pixel)


def read_condition(store: Store, record: Record, condition: Condition) -> ConditionResult | None:
    """The result of a finished trial under a condition; None where it was not evaluated under it.

    Raises:
        InputError: If the file is damaged.
    """
    result = record.result
    if record.status != "finished" or result is None or result.thresholds is None:
        return None
    found = read_checksummed(
        store,
        _path(record.id, condition),
        ConditionResult,
        says="says what the trial is worth under another condition",
        way_out="Remove it: the next `assay run` evaluates the trial's model again.",
    )
    return found if found is not None and found.is_of(result.weights_hash, result.thresholds) else None


def write_condition(store: Store, trial_id: str, result: ConditionResult) -> None:
    """Write the result of a trial under a condition, over what is there."""
    write_checksummed(store, _path(trial_id, result.condition), result)


def lacking_conditions(
    store: Store, conditions: Sequence[Condition], records: Iterable[Record]
) -> dict[str, tuple[Condition, ...]]:
    """Finished trial → conditions that it was not evaluated under; of complete ones nothing.

    Raises:
        InputError: If a result is damaged.
    """
    finished = [record for record in records if record.status == "finished"]

    def lacking(record: Record) -> tuple[Condition, ...]:
        return tuple(each for each in conditions if read_condition(store, record, each) is None)

    found = store.each(lacking, finished) if conditions else []
    return {record.id: each for record, each in zip(finished, found, strict=False) if each}


def without_model(records: Iterable[Record]) -> list[Record]:
    """The records whose model was not kept: nothing can be evaluated again."""
    return [record for record in records if not any("/model/" in path for path in record.files)]


def _path(trial_id: str, condition: Condition) -> str:
    return f"{Store.trial(trial_id)}/{UNDER}/{condition.key}.json"
