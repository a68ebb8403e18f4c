"""Storages with made-up results: real plans, records and files, of models that never were.

A made model knows the truth and spoils it: the weaker it is, the more it blurs, misses and sees things. It is
evaluated by ``trainables.evaluation.evaluate`` like any other, so its metrics, counts and maps agree.
:func:`make_study` writes a study with surfaces that are good to look at, :func:`make_large_study` one of
thousands of trials whose files are links to a few.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.analysis.results.reading import results_of_plan
from assay.analysis.summary import write_summary
from assay.storage import Environment, Record, Result, Store
from assay.storage.plans import write_plan
from assay.storage.record import Status
from assay.study import Plan, Trial, parse_study, plan_study
from tests.analysis.made_studies import START, make_record
from trainables.contract import Prediction, StageMaps, seed_for
from trainables.data.samples import EvaluationData, ImageSet
from trainables.data.synthesis import DEFECTS, Surface, add_defect, paint_surface
from trainables.evaluation.evaluate import Evaluation, evaluate
from trainables.evaluation.metrics import defect_regions

__all__ = [
    "ADDITIONS",
    "Scene",
    "finish_trial",
    "large_study_text",
    "make_large_study",
    "make_scene",
    "make_study",
]

ADDITIONS = """
study: {name}
question: Which of SegDecNet's three additions pays on small synthetic surfaces?
trainable: segdec
data: {{reader: synthetic, splits: published, validation: {{share: 0.2, by: item}}}}
config: {{preset: dagm, image_size: [128, 128], epochs: {epochs}}}
factors:
  balance: {{off: {{config: {{balance: none}}}}, on: {{config: {{balance: linear}}}}}}
  stop: {{off: {{config: {{gradient_stop: false}}}}, on: {{config: {{gradient_stop: true}}}}}}
  distance: {{off: {{config: {{distance_weights: false}}}}, on: {{config: {{distance_weights: true}}}}}}
design:
  rows:
    - {{balance: off, stop: off, distance: off}}
    - {{balance: on, stop: off, distance: off}}
    - {{balance: off, stop: on, distance: off}}
    - {{balance: off, stop: off, distance: on}}
    - {{balance: on, stop: on, distance: off}}
    - {{balance: on, stop: on, distance: on}}
comparisons: [{{factor: balance}}, {{factor: stop}}, {{factor: distance}}]
repeats: {{seeds: [{seeds}]}}
metrics: {{primary: pixel_iou, report: [image_ap, fp, fn]}}
keep: {{probes: {probes}}}
"""
_WORTH = {"balance": 0.3, "stop": 0.18, "distance": 0.08}  # in skill, of a level `on`
_CPU = torch.device("cpu")


class Scene(NamedTuple):
    """Images of surfaces with exact masks."""

    validation: ImageSet
    test: ImageSet

    @property
    def truths(self) -> dict[bytes, NDArray[np.uint8]]:
        """Bytes of an image → its mask."""
        return {
            part.images[sample].tobytes(): part.masks.get(
                sample, np.zeros(part.images[sample].shape[:2], np.uint8)
            )
            for part in self
            for sample in part.ids
        }


def make_scene(
    test: int = 24,
    size: tuple[int, int] = (192, 288),
    *,
    seed: int = 0,
    name: Callable[[int], str] = "{:05d}.png".format,
) -> Scene:
    """Surfaces of three materials, two in three with a defect of one of six kinds, some with two.

    Args:
        test: Number of test images; half as many are validation's.
        size: Height and width, pixels.
        seed: Of all random numbers.
        name: Sample id of an image by its number.
    """
    return Scene(
        _surfaces(range(test, test + test // 2), size, seed, "{:05d}.png".format),
        _surfaces(range(test), size, seed, name),
    )


def _surfaces(numbers: range, size: tuple[int, int], seed: int, name: Callable[[int], str]) -> ImageSet:
    images: dict[str, NDArray[np.uint8]] = {}
    masks: dict[str, NDArray[np.uint8]] = {}
    classes: list[str | None] = []
    kinds = sorted(DEFECTS)
    for k in numbers:
        rng = np.random.default_rng(seed_for(seed, None, "made surface", k))
        surface = Surface.draw(("ground", "cast", "coated")[k % 3], rng)
        grey, texture = paint_surface(size, surface, rng)
        kind = kinds[k // 3 % len(kinds)] if k % 3 else None
        sample = name(k)
        if kind is not None:
            mask = np.zeros(size, np.uint8)
            for _ in range(1 + (k % 4 == 1)):
                grey, more = add_defect(grey, texture, surface, kind=kind, difficulty=0.25, rng=rng)
                mask |= more
            masks[sample] = (mask > 0).astype(np.uint8)
        images[sample] = np.clip(np.rint(grey), 0, 255).astype(np.uint8)[:, :, None]
        classes.append(kind)
    ids = tuple(images)
    labels = np.array([kind is not None for kind in classes])
    return ImageSet(ids, labels, images, masks, tuple(f"item{k // 2}" for k in numbers), tuple(classes))


@dataclass
class _MadeModel:
    """Scores pixels by a spoiled truth. ``skill``: 0 (hardly any use) to 1."""

    truths: Mapping[bytes, NDArray[np.uint8]]
    skill: float
    seed: int

    def predict(self, images: Tensor) -> Prediction:
        heat = torch.from_numpy(np.stack([self._heat(image) for image in _bytes_of(images)]))
        pooled = torch.nn.functional.avg_pool2d(heat[:, None], 9, 4).amax(dim=(1, 2, 3))
        return Prediction(pooled.double().clamp(0, 1), heat)

    def save(self, folder: Path) -> None:
        raise AssertionError("made models are evaluated and not kept")

    def to(self, device: torch.device) -> Self:
        return self

    def _heat(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        truth = self.truths[image.tobytes()]
        height, width = truth.shape
        rng = np.random.default_rng([self.seed, int(image.sum())])
        weak = 1 - self.skill
        count, defects = defect_regions(truth > 0)
        strength = np.append(0.0, 1.25 - 1.3 * weak * rng.random(count)).astype(np.float32)
        blur = height * (0.008 + 0.035 * weak)
        seen = cv2.GaussianBlur(strength[defects], (0, 0), blur)
        seen /= max(1e-6, float(seen.max())) / max(float(strength.max()), 1e-6)  # thin defects stay visible
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        for _ in range(rng.poisson(2.2 * weak)):
            y, x, radius = rng.random() * height, rng.random() * width, height * rng.uniform(0.02, 0.06)
            far = (rows - y) ** 2 + ((columns - x) * rng.uniform(0.5, 1)) ** 2
            seen = np.maximum(seen, np.exp(-far / radius**2) * rng.uniform(0.3, 0.3 + 0.8 * weak))
        noise = cv2.GaussianBlur(rng.standard_normal(truth.shape).astype(np.float32), (0, 0), height * 0.025)
        noise *= 0.05 / float(noise.std())
        return np.clip(0.06 + 0.8 * seen + noise, 0, 1).astype(np.float32)


@dataclass
class _StagedModel(_MadeModel):
    """The same, with the chain of a weakly supervised method before it."""

    def predict_stages(self, images: Tensor, known: Collection[str] = ()) -> StageMaps:
        prediction = self.predict(images)
        heat = prediction.heatmap.numpy()
        side = heat.shape[1]
        cam = np.stack([cv2.GaussianBlur(one, (0, 0), 0.07 * side) for one in heat])
        final = np.stack([cv2.GaussianBlur(one, (0, 0), 0.02 * side) for one in heat])
        crf = np.stack([cv2.medianBlur((one > 0.45).astype(np.uint8), 5) for one in final])
        chain = {"cam": 1.4 * cam, "final cam": 1.1 * final, "pseudo": final > 0.4, "crf": crf}
        stages = {
            stage: torch.from_numpy(np.clip(maps, 0, 1).astype(np.float32)) for stage, maps in chain.items()
        }
        return StageMaps(prediction, stages)


def _bytes_of(images: Tensor) -> NDArray[np.uint8]:
    """B × H × W: the grey levels that the tensor was made of."""
    return np.rint(images[:, 0].numpy() * 255).astype(np.uint8)


# Studies --------------------------------------------------------------------------------------------------


def make_study(
    store: Store,
    scene: Scene,
    *,
    name: str = "additions",
    seeds: int = 3,
    probes: int = 12,
    staged: bool = False,
    epochs: int = 10,
) -> Plan:
    """A finished study of six cells: SegDecNet's additions, each worth something.

    Studies of equal ``epochs`` share their trials.

    Returns:
        Its plan; records, files, summary and plan are in ``store``.
    """
    text = ADDITIONS.format(name=name, seeds=", ".join(map(str, range(seeds))), probes=probes, epochs=epochs)
    plan = plan_study(parse_study(text, f"{name}.yaml"), None, "cpu")
    for trial in plan.trials:
        noise = np.random.default_rng([trial.seed, 7]).normal(0, 0.03)
        skill = 0.3 + noise + sum(_WORTH[factor] for factor, level in trial.levels.items() if level == "on")
        finish_trial(store, plan, trial, scene, skill, probes=probes, staged=staged)
    _finish(store, plan)
    return plan


def finish_trial(
    store: Store,
    plan: Plan,
    trial: Trial,
    scene: Scene,
    skill: float,
    *,
    probes: int = 12,
    staged: bool = False,
) -> None:
    """Write the record of a trial and its files: what a model of that skill (0 to 1) finds in the scene."""
    kind = _StagedModel if staged else _MadeModel
    model = kind(scene.truths, min(0.98, skill), seed_for(trial.seed, None, trial.cell))
    report = evaluate(model, EvaluationData(*scene), device=_CPU, batch=8, probes=probes, seed=trial.seed)
    store.write_record(_write(store, trial, report, plan.study.study))


def _write(store: Store, trial: Trial, report: Evaluation, study: str) -> Record:
    attempt = store.begin_attempt(trial.id, Environment())
    tables = {
        "maps": report.maps,
        "predictions": report.predictions,
        "lineage": report.stage_maps,
        "curve": _curve(trial),
    }
    files = {
        f"{attempt.name}/{part}.parquet": store.write_table(f"{attempt.prefix}/{part}.parquet", table)
        for part, table in tables.items()
        if table is not None
    }
    return _record(trial, study, files=files, attempt=attempt.name, result=_result(trial, report))


def _record(trial: Trial, study: str, **changes: Any) -> Record:
    began = START + timedelta(minutes=5 * trial.seed)
    record = make_record(trial, started=began, ended=began + timedelta(seconds=95), **changes)
    return record.model_copy(update={"study": study})


def _result(trial: Trial, report: Evaluation) -> Result:
    return Result(
        metrics=report.metrics,
        validation=report.validation,
        stages=report.stages,
        thresholds=report.thresholds,
        notes=report.notes,
        epochs=10,
        weights_hash=trial.id,
        n_train=115,
        n_positives=46,
        n_masks=46,
        n_validation=29,
        n_test=report.predictions.num_rows,
    )


def _curve(trial: Trial) -> pa.Table:
    epochs = np.arange(1, 11)
    rng = np.random.default_rng(trial.seed)
    loss = np.exp(-epochs / 4) + 0.1 + 0.02 * rng.random(10)
    return pa.table({"epoch": epochs, "loss": loss, "loss_seg": 0.7 * loss, "loss_cls": 0.3 * loss})


def _finish(store: Store, plan: Plan) -> None:
    write_plan(store, plan)
    write_summary(results_of_plan(plan, store), store)


# Thousands of trials --------------------------------------------------------------------------------------


def large_study_text(name: str = "large", factors: int = 3, seeds: int = 10) -> str:
    """A factorial of ten levels for each factor, at most three: ``10**factors × seeds`` trials."""
    settings = {"lr": 0.01, "w_pos": 1.0, "delta": 0.1}
    lines: list[str] = []
    for setting, step in list(settings.items())[:factors]:
        levels = (f"l{i}: {{config: {{{setting}: {step * (i + 1):g}}}}}" for i in range(10))
        lines.append(f"  {setting}: {{{', '.join(levels)}}}")
    return f"""
study: {name}
question: How does a page hold thousands of trials?
trainable: segdec
data: {{reader: synthetic, splits: published}}
config: {{preset: ksdd, image_size: [128, 64]}}
factors:
{chr(10).join(lines)}
design: {{full: all}}
comparisons: [{{factor: lr, from: l0}}]
repeats: {{seeds: [{", ".join(map(str, range(seeds)))}]}}
metrics: {{primary: image_ap, report: [fp, pixel_iou]}}
"""


def make_large_study(store: Store, text: str, *, scene: Scene, variants: int = 12) -> Plan:
    """A study whose trials all have records of their own, and files that are links to those of a few.

    One trial in 997 diverged and one in 991 failed, as happens.

    Args:
        store: A local one.
        text: The study file.
        scene: What the few models are evaluated on.
        variants: How many they are.
    """
    plan = plan_study(parse_study(text, "large.yaml"), None, "cpu")
    assert store.local_path is not None, "links are made on a local disk"
    models: list[tuple[Evaluation, dict[str, str], Path]] = []
    for k, trial in enumerate(plan.trials):
        if k < variants:
            model = _MadeModel(scene.truths, 0.3 + 0.6 * k / variants, k)
            report = evaluate(model, EvaluationData(*scene), device=_CPU, batch=8, probes=12, seed=0)
            record = _write(store, trial, report, plan.study.study)
            models.append((report, record.files, store.local_path / store.trial(trial.id) / record.attempt))
            store.write_record(record)
            continue
        report, files, first = models[k % variants]
        status: Status = "diverged" if k % 997 == 0 else "failed" if k % 991 == 0 else "finished"
        folder = store.local_path / store.trial(trial.id)
        folder.mkdir(parents=True)
        if status == "finished":
            _link(first, folder / first.name)
        _write_large_record(folder, trial, plan.study.study, report=report, status=status, files=files)
    _finish(store, plan)
    return plan


def _link(source: Path, target: Path) -> None:
    target.mkdir()
    for file in source.iterdir():
        os.link(file, target / file.name)


def _write_large_record(
    folder: Path, trial: Trial, study: str, *, report: Evaluation, status: Status, files: dict[str, str]
) -> None:
    """Straight into its place: written through the store, 10,000 records take minutes to sync."""
    rng = np.random.default_rng([trial.seed, int(trial.id[:8], 16)])
    metrics = report.metrics | {"image_ap": float(np.clip(0.85 + 0.05 * rng.standard_normal(), 0, 1))}
    result = _result(trial, report).model_copy(update={"metrics": metrics})
    ended = status == "finished"
    reasons = {"diverged": "NaN loss at epoch 3", "failed": "RuntimeError: out of memory"}
    record = _record(
        trial,
        study,
        status=status,
        reason=reasons.get(status),
        result=result if ended else None,
        files=files if ended else {},
        attempt=next(iter(files)).partition("/")[0] if ended else "",
    )
    (folder / "record.json").write_bytes(record.file_bytes())
