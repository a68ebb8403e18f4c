"""Stored trials under conditions that a study names later: their kept models are asked, nothing trains.

A new trial is evaluated under all conditions by its worker, while its model is there
(:mod:`assay.engine.worker.conditions`). Here one model after the other is read from the storage, in this
process, as `assay predict` does.
"""

from __future__ import annotations

import torch

from assay.engine.options import EngineOptions
from assay.engine.worker.conditions import results_under
from assay.engine.worker.trial import TrialData
from assay.production.model import load_model
from assay.storage import Store
from assay.storage.conditions import lacking_conditions, without_model, write_condition
from assay.storage.plans import own_records
from assay.study import Plan
from trainables.evaluation.model_scorer import ModelScorer

__all__ = ["evaluate_stored"]


def evaluate_stored(plan: Plan, store: Store, options: EngineOptions) -> int:
    """Evaluate kept models under the conditions that their trials lack.

    Args:
        plan: Of the study.
        store: Where its trials lie.
        options: Where the data lie, and who is told.

    Returns:
        Evaluations that were made. Trials without a kept model are left out; the report says so.

    Raises:
        InputError: If the data are not those of the plan, or a model cannot be read.
        StorageError: If the storage is full, read-only or away.
    """
    records = own_records(plan, store)
    lacking = lacking_conditions(store, plan.study.conditions, records.values())
    gone = {record.id for record in without_model(records.values())}
    trials = [trial for trial in plan.trials if trial.id in lacking and trial.id not in gone]
    if trials:
        torch.set_num_threads(plan.study.resources.cpus)  # as the trials were evaluated
    count = 0
    for number, trial in enumerate(trials, 1):
        options.on_message(f"evaluating stored models under other conditions: {number} of {len(trials)}")
        record = records[trial.id]
        assert record.result is not None, "it is finished"
        assert record.result.thresholds is not None, "an evaluation has thresholds"
        data = TrialData.find(trial, options.data_root, options.cache)
        model = load_model(store, record)
        for result in results_under(
            lacking[trial.id],
            ModelScorer(model.predictor, model.device),
            data.manifest,
            data.evaluation().test,
            thresholds=record.result.thresholds,
            weights_hash=record.result.weights_hash,
        ):
            write_condition(store, trial.id, result)
            count += 1
    return count
