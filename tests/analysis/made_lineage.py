"""Trials that kept the stages of their probe images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from assay.storage import Environment, Record, Store
from assay.study import Trial
from tests.analysis.made_studies import make_record
from trainables.heatmaps import Probe, maps_table
from trainables.stage_maps import StageMapScores

__all__ = ["keep_lineage"]


def _stages(images: Tensor) -> dict[str, Tensor]:
    """A map that rises from left to right, and a picture."""
    ramp = torch.linspace(0, 1, images.shape[3]).expand(len(images), images.shape[2], -1)
    return {"cam": ramp, "crop": images[:, :, :16, :12]}


def keep_lineage(store: Store, trial: Trial, samples: str) -> Record:
    """A record with maps and lineage of a probe image for each letter."""
    heatmap = np.linspace(0, 1, 32 * 24, dtype=np.float32).reshape(32, 24)
    photo = np.full((32, 24, 1), 90, np.uint8)
    probes = [Probe(f"{s}.png", s > "a", "hole", 0.9, photo, heatmap, heatmap > 0.7) for s in samples]
    lineage, count = StageMapScores(0), len(probes)
    photos = torch.full((count, 1, 32, 24), 90 / 255)
    if count:
        unknown, samples = [None] * count, [probe.sample for probe in probes]
        lineage.add(photos, _stages(photos), samples, unknown, [True] * count, ignored=unknown)
    attempt = store.begin_attempt(trial.id, Environment())
    tables = {"maps": maps_table(probes, 0.5), "lineage": lineage.table()}
    files = {
        f"{attempt.name}/{part}.parquet": store.write_table(f"{attempt.prefix}/{part}.parquet", table)
        for part, table in tables.items()
    }
    return make_record(trial, files=files, attempt=attempt.name)
