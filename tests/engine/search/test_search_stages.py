"""Searches whose trials share stages: each is handed out once at a time."""

from __future__ import annotations

from pathlib import Path

from assay.engine.search.search_batches import search_batches
from assay.engine.trial_batch import StageTask
from assay.engine.worker.train_trials import train_trials
from assay.engine.worker.worker import BatchWorker
from assay.study import Trial
from tests.engine.made_batches import make_batch
from tests.engine.search.search_study import ToySearch

SEARCH = """
study: stages
trainable: staged
data: {{reader: synthetic, options: {{images: 48, positives: 24, items: 24, size: [32, 32]}}}}
supervision: weak
config: {{epochs: 2}}
search: {{within: cell, sampler: random, points: 2, batch: 2, objective: {{max: validation.image_ap}}}}
factors: {{maps: {{plain: {{}}, sharp: {{config: {{sharpen: true}}}}}}}}
design: {{full: all}}
space: {{config.last: {{float: [0.0, 0.2]}}}}
repeats: {{seeds: [0]}}
metrics: {{primary: image_ap}}
resources: {{workers: 1, cpus: 1, pack: 1}}
keep: {{models: none, probes: 0}}
"""


def test_a_stage_that_the_searches_of_two_cells_share_is_handed_out_to_one_and_the_other_waits(
    tmp_path: Path, cache_root: Path
) -> None:
    search = ToySearch(tmp_path, cache_root, SEARCH)
    in_flight: set[str] = set()
    batches = search_batches(search.plan, search.store, in_flight)
    at_once: list[list[Trial | StageTask]] = []
    while (batch := next(batches)) is not None:
        at_once.append([*batch])
        in_flight |= {task.id for task in batch}
    assert [task.name for batch in at_once for task in batch if isinstance(task, StageTask)] == [
        "base",
        "maps",
    ]
    assert not any(isinstance(task, Trial) for batch in at_once for task in batch)
    for tasks in at_once:
        stages = [task for task in tasks if isinstance(task, StageTask)]
        made = make_batch(search.plan, stages=stages, cache=cache_root)
        train_trials(BatchWorker(made, search.store, 0, 1, "here", 0, "cpu"))
        in_flight -= {task.id for task in tasks}
    following: list[Trial | StageTask] = []
    while (batch := next(batches)) is not None:
        following += batch
        in_flight |= {task.id for task in batch}
    stages_left = [task for task in following if isinstance(task, StageTask)]
    assert [(task.name, task.trial.levels) for task in stages_left] == [("maps", {"maps": "sharp"})]
    assert any(isinstance(task, Trial) for task in following)
