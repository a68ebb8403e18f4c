"""Studies that vary labels, with made-up records: counts as the data would have them, scores as a formula."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from assay.results import Record
from assay.study import Plan, Trial
from tests.results.made_studies import make_plan, make_record

ALL = 40  # defective training images where nothing limits them
NORMAL = 60

LINE = """
study: labels
trainable: segdec
data: {reader: synthetic, splits: per_seed}
config: {preset: ksdd, image_size: [128, 64]}
factors:
  masks:
    n0: {supervision: weak, config: {balance: none}}
    n5: {supervision: {mixed: 5}}
    n15: {supervision: {mixed: 15}}
    all: {supervision: full}
design: {full: all}
labelling: {image_label_seconds: 3, mask_seconds: 90}
repeats: {seeds: [0, 1, 2, 3, 4]}
resolve: 0.01
metrics: {primary: image_ap, report: []}
"""
GRID = LINE.replace(
    "    n0: {supervision: weak, config: {balance: none}}\n", "    n2: {supervision: {mixed: 2}}\n"
).replace(
    "    all: {supervision: full}\n",
    "  images: {p20: {data: {positives: 20}}, p30: {data: {positives: 30}}, p40: {data: {positives: 40}}}\n",
)
Score = Callable[[int, int], float]  # image labels, masks


def counts(trial: Trial) -> tuple[int, int, int]:
    """Training images, defective ones among them, and masks of a trial; all of seed 1 are one more."""
    defective = 0 if trial.supervision.kind == "none" else trial.data.positives or ALL + (trial.seed == 1)
    masks = {"full": defective, "mixed": trial.supervision.masks or 0}.get(trial.supervision.kind, 0)
    return NORMAL + defective, defective, masks


def record_of(trial: Trial, score: Score, noise: float = 0.0) -> Record:
    """A finished record; noise is the trial's own, drawn from its id."""
    images, defective, masks = counts(trial)
    own = np.random.default_rng(int(trial.id, 16)).normal(0, noise) if noise else 0.0
    record = make_record(trial, lambda t: {"image_ap": score(images, masks) + 0.01 * t.seed + own})
    assert record.result is not None
    counted = {"n_train": images, "n_positives": defective, "n_masks": masks}
    return record.model_copy(update={"result": record.result.model_copy(update=counted)})


def trained(text: str, score: Score, noise: float = 0.0) -> tuple[Plan, dict[str, Record]]:
    """A plan, and a record of every trial."""
    plan = make_plan(text)
    return plan, {trial.id: record_of(trial, score, noise) for trial in plan.trials}
