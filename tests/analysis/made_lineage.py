"""Trials that kept the stages of their probe images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assay.storage import Environment, Record, Store
from assay.study import Trial
from tests.analysis.made_studies import make_record
from trainables.evaluation.heatmaps import Probe, maps_table
from trainables.evaluation.stage_maps import StageMapScores

__all__ = ["keep_lineage"]


def _stages(count: int) -> dict[str, NDArray[np.float32]]:
    """A map that rises from left to right, and a picture."""
    ramp = np.linspace(0, 1, 24, dtype=np.float32)
    return {"cam": np.tile(ramp, (count, 32, 1)), "crop": np.full((count, 1, 16, 12), 90 / 255, np.float32)}


def keep_lineage(store: Store, trial: Trial, samples: str) -> Record:
    """A record with maps and lineage of a probe image for each letter."""
    heatmap = np.linspace(0, 1, 32 * 24, dtype=np.float32).reshape(32, 24)
    photo = np.full((32, 24, 1), 90, np.uint8)
    probes = [Probe(f"{s}.png", s > "a", "hole", 0.9, photo, heatmap, heatmap > 0.7) for s in samples]
    lineage, count = StageMapScores(0), len(probes)
    if count:
        unknown, samples = [None] * count, [probe.sample for probe in probes]
        lineage.add([photo] * count, _stages(count), samples, unknown, [True] * count, ignored=unknown)
    attempt = store.begin_attempt(trial.id, Environment())
    tables = {"maps": maps_table(probes, 0.5), "lineage": lineage.table()}
    files = {
        f"{attempt.name}/{part}.parquet": store.write_table(f"{attempt.prefix}/{part}.parquet", table)
        for part, table in tables.items()
    }
    return make_record(trial, files=files, attempt=attempt.name)
