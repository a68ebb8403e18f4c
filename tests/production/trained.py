"""Trials trained in this process, without Ray, into a storage as the engine leaves it."""

from __future__ import annotations

from pathlib import Path

from assay.engine.worker.train_trials import train_trials
from assay.engine.worker.worker import BatchWorker
from assay.storage import Record, Store
from assay.storage.plans import write_plan
from assay.study import parse_study, plan_study
from tests.engine.made_batches import make_batch
from trainables.data import Manifest, open_manifest
from trainables.data.spec import DataSpec

__all__ = ["STUDIES", "train"]

_STUDY = """\
study: {name}
question: Can it be shipped?
trainable: {trainable}
data: {data}
supervision: {supervision}
config: {config}
repeats: {{seeds: [0]}}
metrics: {{primary: image_ap, report: [fp, fn]}}
keep: {{models: all, probes: 4}}
"""
_SYNTHETIC = (
    "{reader: synthetic, splits: per_seed, options: {images: 40, positives: 16, items: 20, size: [64, 96]}}"
)
_SUPERVISED = "width: 8, stages: 2, output_stride: 4, base: 4, levels: 2, norm: gn, epochs: 2, batch_size: 4"

# By name: trainable and config. All read images of 64 × 96 at another size.
STUDIES = {
    "segdec": (
        "segdec",
        "{image_size: [64, 128], channel_scale: 0.0625, epochs: 2, lr: 0.05, batch_size: 2}",
    ),
    "classifier": ("supervised", f"{{image_size: [48, 64], model: classifier, {_SUPERVISED}}}"),
    "classifier_bfloat16": (
        "supervised",
        f"{{image_size: [48, 64], model: classifier, precision: bfloat16, {_SUPERVISED}}}",
    ),
    "unet": ("supervised", f"{{image_size: [48, 64], model: unet, channels: 3, {_SUPERVISED}}}"),
    "f_anogan": (
        "unsupervised",
        "{image_size: [32, 40], model: f_anogan, epoch_steps: 2, patches_per_image: 20, patch_size: 16, "
        "patch_stride: 8, gan_latent: 4, gan_width: 2, gan_norm: gn, gan_steps: 4, gan_batch: 4, "
        "gan_critic_steps: 2, encoder_steps: 4, encoder_batch: 4}",
    ),
    "students": (
        "unsupervised",
        "{image_size: [32, 40], model: students, epoch_steps: 2, scales: [17], descriptor: 4, "
        "descriptor_width: 3, dense_stride: 2, teacher_steps: 4, teacher_batch: 6, students: 2, "
        "student_batch: 3, student_max_steps: 4}",
    ),
    "memory_bank": (
        "memory_bank",
        "{image_size: [32, 40], random_trunk: true, layers: [4, 8], reweight: 3, neighbours: 2}",
    ),
    "supersimple": (
        "supersimple",
        "{image_size: [32, 40], width: 4, stages: 2, output_stride: 4, norm: gn, epochs: 1, min_steps: 0, "
        "map_width: 8, decision_width: 4, head_epochs: 2, head_batch: 4}",
    ),
    "unet_in_tiles": ("supervised", f"{{image_size: [32, 40], model: unet, {_SUPERVISED}}}"),
    "toy": ("toy", "{image_size: [32, 40]}"),
    "chaotic_toy": ("toy", "{image_size: [32, 40], x: 0.9}"),  # its noise is no continuous function
}


def train(name: str, store: Store, cache: Path, data: str = _SYNTHETIC, root: Path | None = None) -> Record:
    """Train the one trial of a study in :data:`STUDIES`, on other data if they are named."""
    trainable, config = STUDIES[name]

    def opener(spec: DataSpec) -> Manifest:
        return open_manifest(spec, root, cache)

    supervision = "none" if trainable in {"unsupervised", "memory_bank"} else "full"
    if name.endswith("_in_tiles"):
        data = data.replace(
            "reader: synthetic", "reader: synthetic, tiles: {height: 32, width: 40, overlap: 8}"
        )
    text = _STUDY.format(name=name, trainable=trainable, supervision=supervision, config=config, data=data)
    plan = plan_study(parse_study(text, f"{name}.yaml"), opener, "cpu")
    store.write_bytes(f"studies/{name}/study.yaml", text.encode())
    write_plan(store, plan)
    batch = make_batch(plan, plan.trials, data_root=None if root is None else str(root), cache=cache)
    train_trials(BatchWorker(batch, store, 0, 1, "here", 0, "cpu"))
    record = store.record(plan.trials[0].id)
    assert isinstance(record, Record)
    assert record.status == "finished", record.reason
    return record
