"""A storage with one of everything: trained stages, models and the code of a method, a search."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch

from assay.analysis.results.reading import read_results
from assay.analysis.summary import write_summary
from assay.storage import Environment, Progress, Store
from assay.storage.lease import Lease
from assay.storage.method_store import keep_methods
from assay.storage.plans import stored_plan, write_plan
from assay.storage.preregistration import preregister, record_interim_look
from assay.study import Trial, parse_study, plan_study
from tests.cli.small_search import SEARCH, write_search
from tests.engine.process.file_method import plan_of, write
from tests.engine.staged_study import StagedStudy
from tests.engine.worker.worker_alone import train_here

__all__ = ["UNTRAINED_SEED", "make_storage", "untrained"]

UNTRAINED_SEED = 1


def make_storage(root: Path, cache: Path, sources: Path) -> Store:
    """Three studies: `staged` with a trial that is under way, `own`, `hunt`."""
    store = Store(root)
    staged = StagedStudy.of(root, cache, seeds=(0, UNTRAINED_SEED))
    write_plan(store, staged.plan)
    trained = [trial for trial in staged.plan.trials if trial.seed != UNTRAINED_SEED]
    staged.train(trained, [task for batch in staged.stages() for task in batch if task.trial in trained])
    _begin(store, untrained(store))
    write_plan(store, own := plan_of(write(sources), cache))
    keep_methods(store, own.trainables)
    train_here(own, store, cache)
    write_plan(store, hunt := plan_study(parse_study(SEARCH, "hunt.yaml"), None, "cpu"))
    write_search(store, hunt)
    for name in ("staged", "own", "hunt"):
        results = read_results(store, name)
        record_interim_look(store, results.plan)
        preregister(store, results.plan)
        write_summary(results, store)
        with Lease(store, name):
            pass  # leaves a note
    return store


def untrained(store: Store) -> Trial:
    """The trial that has a checkpoint and a heartbeat, and no record yet."""
    return next(trial for trial in stored_plan(store, "staged").trials if trial.seed == UNTRAINED_SEED)


def _begin(store: Store, trial: Trial) -> None:
    attempt = store.begin_attempt(trial.id, Environment(host="here"))
    store.write_progress(Progress.now(trial.id, 1, 3, {"loss": 0.5}, 2.0, attempt.name))
    header = {"epoch": "1", "meta": "{}", "history": "[]"}
    state = safetensors.torch.save({"weight": torch.zeros(400)}, metadata=header)
    store.write_bytes(f"{store.trial(trial.id)}/checkpoint.safetensors", state)
