"""Studies that vary labels, with made-up records: counts as the data would have them, scores as a formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from assay.storage import Record
from assay.study import Plan, Trial, parse_study, plan_study
from assay.study.settings.settings import AnyTrainable
from tests.analysis.made_studies import make_plan, make_record
from trainables.plugins.catalogue import find_trainable

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
LADDER = """
study: ladder
data: {reader: synthetic, splits: per_seed}
config: {image_size: [128, 64]}
factors:
  method:
    f_anogan: {trainable: normals, supervision: none}
    students: {trainable: normals, supervision: none, config: {epochs: 7}}
    cam: {trainable: cam, supervision: weak, config: {preset: small}}
    cropping: {trainable: focus, supervision: weak, config: {preset: reduced}}
    region_cam: {trainable: regions, supervision: weak}
    segdec_n0: {trainable: segdec, supervision: weak, config: {preset: ksdd_weak}}
    segdec_n5: {trainable: segdec, supervision: {mixed: 5}, config: {preset: ksdd}}
    segdec_all: {trainable: segdec, supervision: full, config: {preset: ksdd}}
    unet_all: {trainable: supervised, supervision: full, config: {preset: unet_small}}
design: {full: all}
labelling: {image_label_seconds: 1, mask_seconds: 79}
repeats: {seeds: [0, 1, 2]}
resolve: 0.02
metrics: {primary: image_ap, report: []}
"""
RUNGS = {
    "f_anogan": 0.34, "students": 0.47, "cam": 0.71, "cropping": 0.73, "region_cam": 0.72, "segdec_n0": 0.66,
    "segdec_n5": 0.79, "segdec_all": 0.88, "unet_all": 0.87,
}  # fmt: skip
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


def ladder(noise: float = 0.01, rungs: Mapping[str, float] = RUNGS) -> tuple[Plan, dict[str, Record]]:
    """A study of several methods, two of them made up, with scores by cell."""

    def find(name: str) -> AnyTrainable:
        if name not in ("normals", "regions"):
            return find_trainable(name)
        learns = {"normals": "none", "regions": "weak"}[name]
        return replace(find_trainable("segdec"), name=name, supervisions=frozenset({learns}))

    plan = plan_study(parse_study(LADDER), None, "cpu", find=find)
    return plan, {
        trial.id: record_of(trial, lambda images, masks, at=rungs[trial.cell]: at, noise)
        for trial in plan.trials
    }


def trained(text: str, score: Score, noise: float = 0.0) -> tuple[Plan, dict[str, Record]]:
    """A plan, and a record of every trial."""
    plan = make_plan(text)
    return plan, {trial.id: record_of(trial, score, noise) for trial in plan.trials}
