"""One trial on one worker: load its data, train, evaluate, write its files."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assay.engine.errors import Stopped, trace_of
from assay.engine.process.fit import MODEL_FOLDER, FitJob
from assay.engine.process.process import Trained
from assay.engine.trial_batch import StageTask
from assay.engine.worker.conditions import results_under
from assay.engine.worker.ranks import gather_from_ranks
from assay.engine.worker.stages import StageScoreCache, TrialStages
from assay.engine.worker.trial_log import StageLog, StoredLog
from assay.engine.worker.worker import BatchWorker
from assay.storage import Attempt, Result
from assay.storage.conditions import write_condition
from assay.study import Trial
from trainables.data import (
    Manifest,
    Split,
    Supervision,
    load_evaluation,
    load_training,
    load_truth,
    make_split,
    open_images,
    open_manifest,
)
from trainables.data.cache import ArrowImages
from trainables.data.samples import EvaluationData, ImageSet, TrainingData
from trainables.data.stored import StoredImages, keep_stored
from trainables.data.tiles import image_of
from trainables.errors import InputError
from trainables.evaluation.evaluate import Evaluation, evaluate_scorer, measure_labels
from trainables.evaluation.latency import measure_latency
from trainables.evaluation.metrics import Undefined
from trainables.evaluation.pseudo_labels import PseudoLabels
from trainables.evaluation.same_scores import pictures_to_compare, refuse_changing_scores
from trainables.evaluation.scorer import TiledScorer
from trainables.evaluation.size_only import size_only_ap
from trainables.evaluation.stage_maps import StageScores
from trainables.plugins.catalogue import find_trainable

__all__ = ["Timer", "TrialData", "fit_and_evaluate", "make_stage", "trial_result"]


@dataclass(frozen=True)
class TrialData:
    """Images and labels of one trial on this node: each part is read when it is asked for.

    Only masks that training may read are opened for it.
    """

    manifest: Manifest
    split: Split
    supervision: Supervision
    images: ArrowImages
    by_class: bool  # training reads which class a mask shows
    stored: StoredImages | None  # what the model is given in place of `images`

    @classmethod
    def open(cls, trial: Trial, worker: BatchWorker) -> TrialData:
        """Find the data where the worker's run has them."""
        run = worker.batch.run
        return cls.find(trial, Path(run.data_root) if run.data_root else None, Path(run.cache))

    @classmethod
    def find(cls, trial: Trial, root: Path | None, cache: Path) -> TrialData:
        """Find the data, which must be those that the plan was made from."""
        manifest = open_manifest(trial.data, root, cache)

        # A node may have other files under the same path. The plan's hash says which ones were meant.
        if manifest.hash != trial.manifest:
            raise InputError(
                f"the data under {root} on {socket.gethostname()} are not those of the plan: manifest "
                f"{manifest.hash[:12]}, planned {trial.manifest[:12]}. Put the same files "
                "on every node, or plan anew."
            )
        split = make_split(manifest, trial.data, trial.supervision, trial.seed, trial.fold)
        height, width = trial.config["image_size"]
        images = open_images(manifest, (height, width), trial.config["channels"], cache, tiles=split.tiles)
        trainable = find_trainable(trial.trainable)
        config = trainable.Config.model_validate(trial.config)
        stored = StoredImages(manifest, config.channels) if trainable.gives_stored(config) else None
        return cls(manifest, split, trial.supervision, images, trainable.reads_classes, stored)

    def training(self) -> TrainingData:
        return load_training(
            self.manifest,
            self.split,
            self.supervision,
            self.images,
            by_class=self.by_class,
            stored=self.stored,
        )

    def evaluation(self) -> EvaluationData:
        return load_evaluation(self.manifest, self.split, self.supervision, self.images, stored=self.stored)

    def truth(self) -> ImageSet:
        """Training images with all masks: asked for when training is over, and never by what trains."""
        return load_truth(self.manifest, self.split, self.images)


@dataclass
class Timer:
    """Seconds by part of a trial."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Generator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - start, 4)


def make_stage(task: StageTask, worker: BatchWorker) -> None:
    """Make one stage, and before it those that it reads where nobody has made them."""
    with tempfile.TemporaryDirectory(prefix="assay-") as folder:
        scratch = Path(folder)
        stages = TrialStages(task.trial, worker, scratch)
        wanted = {task.name}
        for need in reversed(stages.needs.values()):  # each comes after those that it reads
            if need.stage.name in wanted:
                wanted |= set(need.stage.after)
        data = TrialData.open(task.trial, worker)
        trial_log = StageLog(task.trial, worker.store, Attempt(1, "", ""), stages=stages)
        try:
            job = _job(task.trial, data.training(), worker, scratch, stages=frozenset(wanted))
            with worker.trainer.train(job, data.images, trial_log):
                pass
        except Stopped:
            raise  # its log says so
        except Exception as error:
            stages.fail(trace_of(error))
            raise


def fit_and_evaluate(
    trial: Trial,
    worker: BatchWorker,
    attempt: Attempt,
    *,
    trial_log: StoredLog,
    stages: TrialStages,
    timer: Timer,
    scratch: Path,
) -> dict[str, Any]:
    """Train, evaluate and write the attempt's files; returns what the record says of it.

    Args:
        trial: Not recorded yet.
        worker: This worker.
        attempt: Under which files are written.
        trial_log: The attempt's.
        stages: Of this trial.
        timer: Takes the seconds of each part.
        scratch: Empty folder, gone afterwards.
    """
    trial_log.note(f"trial {trial.id}: {trial.cell}, seed {trial.seed}, fold {trial.fold}, pid {os.getpid()}")
    with timer.part("data"):
        data = TrialData.open(trial, worker)
        training, evaluation = data.training(), data.evaluation()
        # What trains may open no data, so its images as stored lie in its own folder.
        if data.stored is not None:
            training = keep_stored(training, scratch / "stored")
    job = _job(trial, training, worker, scratch)

    # What trained stays alive until its model is scored, as the model lives there. All ranks say where they
    # ran, and then rank 0 goes on alone.
    with ExitStack() as stack:
        with timer.part("train"):
            trained = stack.enter_context(worker.trainer.train(job, data.images, trial_log))
        with timer.part("finish"):
            workers = tuple(gather_from_ranks(worker.described(trained), worker.world_size))
            if worker.rank:
                return {}
            with timer.part("evaluate"):
                report = _evaluate(trained, evaluation, worker, stages, trial)
                report = _with_size_baseline(report, training, evaluation, trial.seed)
                report = _with_labels(report, stages.folders.values(), data)
            if worker.batch.study.conditions:
                with timer.part("conditions"):
                    _evaluate_under(trained, evaluation, worker, data, trial=trial, report=report)
            if worker.batch.plan.times_models:
                _time(trained, evaluation, timer)
            primary = worker.batch.study.metrics.primary
            trial_log.note(f"{primary} {report.metrics.get(primary, float('nan')):.4f}")
            size = sum(path.stat().st_size for path in (scratch / MODEL_FOLDER).iterdir())
            files = _write_files(worker, attempt, trial_log, report, scratch / MODEL_FOLDER)
    report = replace(report, notes=(*report.notes, *trained.notes))
    timer.seconds["predict_per_image"] = report.seconds_per_image
    result = trial_result(data, training, report, trained.weights, len(trial_log.history))
    return {
        "status": "finished",
        "result": result.model_copy(update={"white": data.manifest.white}),
        "model_mb": size / 1e6,
        "environment": worker.environment(workers, trained, trial.trainable),
        "files": files,
    }


def _job(
    trial: Trial, data: TrainingData, worker: BatchWorker, scratch: Path, stages: frozenset[str] | None = None
) -> FitJob:
    return FitJob(
        trainable=trial.trainable,
        config=trial.config,
        data=data,
        seed=trial.seed,
        fold=trial.fold,
        device=worker.device,
        gpu_share=worker.gpu_share,
        threads=worker.batch.study.resources.cpus,
        rank=worker.rank,
        world_size=worker.world_size,
        scratch=scratch,
        stages=stages,
    )


def _evaluate(
    trained: Trained, evaluation: EvaluationData, worker: BatchWorker, stages: TrialStages, trial: Trial
) -> Evaluation:
    assert trained.model is not None, "a trial trains a model"
    if trained.model.shows_stages:
        import torch  # the baseline maps beside stages are convolutions

        torch.set_num_threads(worker.batch.study.resources.cpus)
    probes = worker.batch.study.keep.probes
    stage_scores = StageScoreCache(worker.store, stages.needs.values(), evaluation.test, probes)
    # A model whose scores change with the batch would be compared by wrong numbers: it is refused first.
    images = evaluation.validation if evaluation.validation else evaluation.test
    refuse_changing_scores(
        trained.model, pictures_to_compare(images), trial.config["precision"], stage_scores.known
    )
    report = evaluate_scorer(
        trained.model,
        evaluation,
        batch=trained.model.images_at_once,
        probes=probes,
        seed=trial.seed,
        known=stage_scores.known,
        threshold=trial.data.threshold,
    )
    return stage_scores.complete(report)


def _evaluate_under(
    trained: Trained,
    evaluation: EvaluationData,
    worker: BatchWorker,
    data: TrialData,
    *,
    trial: Trial,
    report: Evaluation,
) -> None:
    """Write what the model is worth under each condition of the study, before the record is written."""
    assert trained.model is not None, "a trial trains a model"
    for result in results_under(
        worker.batch.study.conditions,
        trained.model,
        data.manifest,
        evaluation.test,
        thresholds=report.thresholds,
        weights_hash=trained.weights,
    ):
        write_condition(worker.store, trial.id, result)


def _time(trained: Trained, evaluation: EvaluationData, timer: Timer) -> None:
    """Time the model on one test image at a time, in turn with the reference network."""
    model, test = trained.model, evaluation.test
    assert model is not None, "a trial trains a model"
    timed = model if test.tiles is None else TiledScorer(model, test.tiles, model.images_at_once)
    latency = measure_latency(timed, test.given[test.ids[0]])
    timer.seconds |= {"predict_one": latency.model, "reference_one": latency.reference}


def _with_size_baseline(
    report: Evaluation, training: TrainingData, evaluation: EvaluationData, seed: int
) -> Evaluation:
    """Add to ``report`` what the mere sizes of photographs tell of labels, for models that show stages."""
    if not report.stages:
        return report
    size_ap = size_only_ap(training.train, evaluation.test, seed)
    if isinstance(size_ap, Undefined):
        return report
    baseline = StageScores(stage="size only", of="floor", metrics={"image_ap": size_ap})
    return replace(report, stages=(*report.stages, baseline))


def _with_labels(report: Evaluation, folders: Iterable[Path], data: TrialData) -> Evaluation:
    """Add to ``report`` what the pseudo labels in the stages' folders are worth.

    Training needed none of these masks, so one that cannot be read costs this measurement, not the trial.
    """
    labels = [label for folder in folders if (label := PseudoLabels.load(folder)) is not None]
    if not labels:
        return report
    names = [label.name for label in labels]
    if len(set(names)) < len(names):
        raise ValueError(f"each stage's pseudo labels have a name of their own, found {', '.join(names)}")
    try:
        truth = data.truth()
    except InputError as error:
        return replace(report, notes=(*report.notes, f"pseudo labels are not measured: {error}"))
    scores = [score for label in labels if (score := measure_labels(label, truth)) is not None]
    return replace(report, stages=(*report.stages, *scores))


def trial_result(
    data: TrialData, training: TrainingData, report: Evaluation, weights: str, epochs: int
) -> Result:
    """The findings of a trial, as its record has them."""
    split, rows = data.split, data.manifest.by_sample
    # Where images are cut, `training` holds tiles. People label images, and seeds draw images.
    masks = training.train.masks if split.tiles is None else {*map(image_of, training.train.masks)}
    return Result(
        metrics=dict(report.metrics),
        undefined=dict(report.undefined),
        validation=dict(report.validation),
        stages=report.stages,
        defects=report.defects,
        thresholds=report.thresholds,
        notes=report.notes,
        epochs=epochs,
        weights_hash=weights,
        n_train=len(split.train),
        n_positives=sum(rows[sample].label for sample in split.train),
        n_masks=len(masks),
        n_validation=len(split.validation),
        n_calibration=len(split.calibration),
        n_test=len(split.test),
    )


def _write_files(
    worker: BatchWorker,
    attempt: Attempt,
    trial_log: StoredLog,
    report: Evaluation,
    model: Path,
) -> dict[str, str]:
    """Write the attempt's files; returns their sha256 by path below the trial's folder."""
    tables = {
        "curve": trial_log.curve(),
        "predictions": report.predictions,
        "regions": report.regions,
        "maps": report.maps,
    }
    if report.stage_maps is not None:
        tables["lineage"] = report.stage_maps
    store, folder = worker.store, attempt.prefix
    written = {
        f"{name}.parquet": store.write_table(f"{folder}/{name}.parquet", table)
        for name, table in tables.items()
    }

    # Which model of a cell is the best is known when all its trials have ended, so that until then each is
    # kept.
    if worker.batch.study.keep.models != "none":
        written |= {
            f"model/{path.name}": store.write_bytes(f"{folder}/model/{path.name}", path.read_bytes())
            for path in sorted(model.iterdir())
        }
    return {f"{attempt.name}/{name}": digest for name, digest in written.items()}
