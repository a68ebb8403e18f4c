"""Searches whose trials share stages: each is handed out once at a time."""

from __future__ import annotations

from pathlib import Path

from assay.engine.packs import StageTask
from assay.engine.search.search_packs import search_packs
from assay.engine.worker.train_pack import train_trials
from assay.engine.worker.worker import PackWorker
from assay.study import Trial
from tests.engine.made_packs import make_pack
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
    packs = search_packs(search.plan, search.store, in_flight)
    at_once: list[list[Trial | StageTask]] = []
    while (pack := next(packs)) is not None:
        at_once.append([*pack])
        in_flight |= {task.id for task in pack}
    assert [task.name for pack in at_once for task in pack if isinstance(task, StageTask)] == ["base", "maps"]
    assert not any(isinstance(task, Trial) for pack in at_once for task in pack)
    for tasks in at_once:
        stages = [task for task in tasks if isinstance(task, StageTask)]
        made = make_pack(search.plan, stages=stages, cache=cache_root)
        train_trials(PackWorker(made, search.store, 0, 1, "here", 0, "cpu"))
        in_flight -= {task.id for task in tasks}
    following: list[Trial | StageTask] = []
    while (pack := next(packs)) is not None:
        following += pack
        in_flight |= {task.id for task in pack}
    stages_left = [task for task in following if isinstance(task, StageTask)]
    assert [(task.name, task.trial.levels) for task in stages_left] == [("maps", {"maps": "sharp"})]
    assert any(isinstance(task, Trial) for task in following)
