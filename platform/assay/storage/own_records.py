"""Records that are results of a study, among those of its trials: searches prune trials that others share."""

from __future__ import annotations

from assay.storage.record import Record
from assay.storage.store import Store
from assay.study import Plan, Study
from assay.study.search_rules import pruned_by

__all__ = ["is_foreign", "own_records"]


def is_foreign(record: Record, study: Study) -> bool:
    """True of a trial that a pruner stopped, for a study that has none: it has no result of it yet."""
    return record.status == "pruned" and pruned_by(study) is None


def own_records(plan: Plan, store: Store) -> dict[str, Record]:
    """Records of a plan's trials that are results of its study, by id."""
    records = store.records(trial.id for trial in plan.trials)
    return {id_: record for id_, record in records.items() if not is_foreign(record, plan.study)}
