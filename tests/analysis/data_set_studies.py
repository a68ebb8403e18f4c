"""A ladder of labels on six surfaces, with made-up records."""

from __future__ import annotations

import numpy as np

from assay.analysis.results.results import StudyResults
from assay.analysis.results.search_results import results_of_records
from assay.study import Plan, Trial
from tests.analysis.made_studies import make_plan, make_record

SURFACES = ("steel", "cells", "tiles", "wood", "paper", "glass")
MASKS = ("none", "five", "all")
_SURFACES = "".join(f"    {name}: {{data: {{options: {{seed: {i}}}}}}}\n" for i, name in enumerate(SURFACES))
LADDER = f"""
study: surfaces
question: Do masks pay on surfaces like these?
trainable: segdec
data: {{reader: synthetic, splits: per_seed}}
config: {{preset: ksdd, image_size: [128, 64]}}
factors:
  surface:
{_SURFACES}  supervision:
    {{none: {{supervision: weak}}, five: {{supervision: {{mixed: 5}}}}, all: {{supervision: full}}}}
design: {{full: all}}
comparisons:
  - {{factor: supervision, from: none, to: five, claim: data sets}}
  - {{factor: supervision, from: five, to: all, claim: data sets}}
repeats: {{seeds: [0, 1, 2]}}
metrics: {{primary: image_ap, report: [fp]}}
"""


def ladder_scores(trial: Trial) -> dict[str, float]:
    """Five masks are worth 0.1 and more on harder surfaces, all masks a little more or less than five."""
    surface, masks = SURFACES.index(trial.levels["surface"]), MASKS.index(trial.levels["supervision"])
    rng = np.random.default_rng([surface, masks, trial.seed])
    gain = (0.1 + 0.02 * surface) * (masks > 0) + 0.004 * (masks > 1) * (-1) ** surface
    ap = 0.6 + 0.03 * surface + gain + 0.005 * float(rng.standard_normal())
    return {"image_ap": ap, "fp": float(rng.integers(1, 9)), "pixel_iou": ap / 2}


def on_surfaces(text: str = LADDER) -> Plan:
    """The plan of the ladder as it is with data: each surface has images of its own."""
    plan = make_plan(text)
    trials = tuple(t.model_copy(update={"manifest": t.levels["surface"]}) for t in plan.trials)
    return plan.model_copy(update={"trials": trials})


def results_on_surfaces(text: str = LADDER, *, ended: int | None = None) -> StudyResults:
    """The results of that plan; ``ended``: of so many of its trials."""
    plan = on_surfaces(text)
    return results_of_records(plan, {t.id: make_record(t, ladder_scores) for t in plan.trials[:ended]}, ())
