"""The one evaluation loop: validation chooses the thresholds, test reports.

The evaluation treats every method in the same way. It reads validation first and fixes both thresholds before
the first test image is looked at:

* image threshold: best F1 of image scores on validation labels, or as `data.threshold` says: a promise on
  new parts or the least cost (:mod:`trainables.evaluation.operating_point`), or a number. Where the study
  holds out a part for it (`data.calibration`), that part chooses it instead of validation;
* pixel threshold: best micro IoU where validation has masks (full supervision). Elsewhere labels only: best
  F1 of "the image is defective when the maximum of its heatmap reaches the threshold";
* without validation, or with one class only in it: 0.5, and a note says so.

A model of several stages is asked for all of them on test images (``stage_maps``), and pseudo labels of
training images can be compared with masks when training is over (:func:`measure_labels`). Both choose
nothing.

Trade-off: heatmaps are evaluated at the network's input resolution, to which masks are brought by area, not
at the original size: two cells of one study are compared at what the network can resolve, and nothing in the
number is interpolation. A model that is given images as stored brings its maps there by area, too. Heatmaps
of images in tiles (``data.tiles``) are as large as the images are at that scale: their scores are binned, so
that memory does not grow with them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat

from trainables.data.inspect.findings import counted
from trainables.data.samples import EvaluationData, ImageSet
from trainables.data.threshold import Cost, Escapes, FalseAlarms, ThresholdRule, threshold_text
from trainables.evaluation.heatmaps import Probe, choose_probes, maps_table, shrunken
from trainables.evaluation.metrics import (
    LABEL_FREE_METRICS,
    METRICS,
    DefectMetric,
    Erasure,
    PixelCounts,
    PixelScores,
    Undefined,
    best_f1_threshold,
    count_metrics,
    image_metrics,
)
from trainables.evaluation.metrics.histogram import BinnedPixelScores, bin_scores
from trainables.evaluation.metrics.inputs import SINGLE_VIEWS, ImageScores, missing_class
from trainables.evaluation.metrics.pixels import ignored_of, truth_of
from trainables.evaluation.metrics.regions import REGIONS_SCHEMA, DefectScore, defect_scores, regions_of
from trainables.evaluation.operating_point import choose_by_cost, choose_by_promise
from trainables.evaluation.pseudo_labels import PseudoLabels
from trainables.evaluation.scorer import (
    ImageScorer,
    KeptPromise,
    Scores,
    Thresholds,
    TiledScorer,
    refuse_outside,
)
from trainables.evaluation.stage_maps import PIXELS_AT_ONCE, StageMapScores, StageScores

if TYPE_CHECKING:
    import torch

    from trainables.contract import Predictor

__all__ = [
    "FIXED_THRESHOLD",
    "PREDICTIONS_SCHEMA",
    "ChosenThresholds",
    "Evaluation",
    "evaluate",
    "evaluate_again",
    "evaluate_scorer",
    "image_scores",
    "measure_labels",
]

_T = TypeVar("_T")

FIXED_THRESHOLD = 0.5  # where validation cannot choose
_TIMED = 3  # batches, of which the first does not count

PREDICTIONS_SCHEMA = pa.schema(
    [
        pa.field("sample", pa.string(), nullable=False),
        pa.field("item", pa.string()),
        pa.field("defect_class", pa.string()),
        pa.field("label", pa.bool_(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("decision", pa.bool_(), nullable=False),
        # Pixels that count, at the pixel threshold and the network's input size; null without a known mask.
        pa.field("tp", pa.int64()),
        pa.field("fp", pa.int64()),
        pa.field("fn", pa.int64()),
        pa.field("tn", pa.int64()),
    ]
)


class ChosenThresholds(Thresholds, frozen=True, extra="forbid"):
    """Thresholds as validation chose them."""

    image_range: tuple[FiniteFloat, FiniteFloat] | None = Field(
        default=None, description="5 % and 95 % quantiles over bootstrap draws of one chosen by cost."
    )


_FIXED = ChosenThresholds(
    image=FIXED_THRESHOLD, image_source="fixed 0.5", pixel=FIXED_THRESHOLD, pixel_source="fixed 0.5"
)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Worth of a trained model on one split."""

    metrics: dict[str, float]  # on test, by the names of METRICS; an undefined one is absent
    undefined: dict[str, str]  # why, by the names of METRICS
    validation: dict[
        str, float
    ]  # the same on validation, at the thresholds chosen on it, and the label-free ones
    thresholds: ChosenThresholds
    predictions: pa.Table  # PREDICTIONS_SCHEMA, one row per test image
    regions: (
        pa.Table
    )  # trainables.evaluation.metrics.regions.REGIONS_SCHEMA, one row per defect in a known test mask
    defects: tuple[DefectScore, ...]  # of all regions, by class and by size
    maps: pa.Table  # trainables.evaluation.heatmaps.MAPS_SCHEMA, the probe images
    notes: tuple[str, ...]  # footnotes: sources of thresholds, metrics left out and why
    seconds_per_image: float  # prediction alone, without stages and metrics
    stages: tuple[
        StageScores, ...
    ] = ()  # of a model that shows them: each on test, and baseline maps beside them
    stage_maps: pa.Table | None = (
        None  # STAGE_MAPS_SCHEMA of trainables.evaluation.stage_maps, of the probe images
    )
    shown: tuple[str, ...] = ()  # names of the stages in ``stage_maps``, in the order of the chain


@dataclass
class _Pass:
    """Scores and pixel counts of one pass over a set of images."""

    images: ImageSet
    scores: NDArray[np.float64]
    maxima: NDArray[np.float64]  # of each heatmap
    with_truth: list[int] = field(default_factory=list)  # indices of the images in ``pixels``, in its order
    pixels: PixelScores = field(default_factory=PixelScores)
    kept: dict[int, Probe] = field(default_factory=dict)
    regions: list[dict[str, Any]] = field(default_factory=list)  # rows of REGIONS_SCHEMA, where asked for
    seconds_per_image: float = 0.0

    @property
    def left_out(self) -> int:
        """Number of defective images whose mask is unknown."""
        return len(self.images) - len(self.with_truth)

    def add_regions(self, index: int, heatmap: NDArray[np.float32], threshold: float) -> None:
        """Look for each defect of an image with a known mask."""
        images = self.images
        sample, defect_class = images.ids[index], images.classes[index] if images.classes else None
        if images.labels[index]:
            names = images.mask_classes or (defect_class,)
            self.regions += regions_of(sample, heatmap, images.masks[sample], names, threshold)

    def metrics(self, thresholds: ChosenThresholds) -> dict[str, float | Undefined]:
        images = self.images
        of_images = image_metrics(images.labels, self.scores, thresholds.image, images.items)
        return of_images | self.pixels.metrics(thresholds.pixel)


class _Batch(NamedTuple):
    start: int
    images: Sequence[NDArray[np.uint8]]
    answer: Scores


def evaluate(
    predictor: Predictor,
    data: EvaluationData,
    *,
    device: torch.device,
    batch: int,
    probes: int,
    seed: int,
    known: Collection[str] = (),
    threshold: ThresholdRule = "f1",
) -> Evaluation:
    """Evaluate a model of this process, which lies on ``device``: see :func:`evaluate_scorer`."""
    from trainables.evaluation.model_scorer import ModelScorer  # loads torch

    model = ModelScorer(predictor, device)
    return evaluate_scorer(
        model, data, batch=batch, probes=probes, seed=seed, known=known, threshold=threshold
    )


def evaluate_scorer(
    model: ImageScorer,
    data: EvaluationData,
    *,
    batch: int,
    probes: int,
    seed: int,
    known: Collection[str] = (),
    threshold: ThresholdRule = "f1",
) -> Evaluation:
    """Evaluate a model: thresholds from ``data.validation``, everything else from ``data.test``.

    Args:
        model: The trained model, in this process (a ``ModelScorer``) or another.
        data: Validation (or None) and test images.
        batch: Images per prediction.
        probes: Number of test images whose heatmap is kept.
        seed: Seed of the repeat: it alone decides which test images are probes.
        known: Stages of the model that need not be shown.
        threshold: How the image threshold is chosen.

    Raises:
        FloatingPointError: If a score or heatmap is no finite number: the model has diverged.
        InputError: If one is not within [0, 1].
    """
    # Thresholds first: they may read validation and calibration only, and no test image has been looked at.
    if data.test.tiles is not None:
        model, batch = TiledScorer(model, data.test.tiles, batch), 1
    validation = None
    if data.validation is not None and len(data.validation):
        validation = _evaluate_images(model, data.validation, batch)
    chosen_by = None
    if data.calibration is not None:
        scores = [part.answer.scores for part in _predict(model, data.calibration, batch)]
        chosen_by = ImageScores(data.calibration.labels, np.concatenate(scores), 0.0, data.calibration.items)
    thresholds, notes = _choose_thresholds(validation, chosen_by, threshold)

    # Then the test images, once: scores, pixel counts, regions, probes and stages all come from this one
    # pass.
    stage_maps = StageMapScores(seed, known) if model.shows_stages else None
    keep = choose_probes(data.test, probes, seed)
    test = _evaluate_images(
        model, data.test, batch, keep=keep, stage_maps=stage_maps, threshold=thresholds.pixel
    )

    # Showing stages takes longer than predicting, so a model that shows them is timed on other passes.
    timed = test
    if stage_maps is not None:  # asked for as well: test images do not tell what a prediction takes
        first = range(min(len(data.test), _TIMED * batch))
        timed = validation or _evaluate_images(model, data.test.without_masks(first), batch)

    regions, defects, metrics = _measured(test, thresholds)
    return Evaluation(
        metrics=_defined(metrics),
        undefined={name: value.reason for name, value in metrics.items() if isinstance(value, Undefined)},
        validation=_chosen_by(model, validation, thresholds, batch) if validation else {},
        thresholds=thresholds,
        predictions=_predictions(test, thresholds),
        regions=regions,
        defects=defects,
        maps=maps_table(list(test.kept.values()), thresholds.pixel),
        notes=(*notes, *_omissions(test, metrics)),
        seconds_per_image=timed.seconds_per_image,
        stages=stage_maps.scores() if stage_maps is not None else (),
        stage_maps=stage_maps.table() if stage_maps is not None else None,
        shown=stage_maps.names if stage_maps is not None else (),
    )


def evaluate_again(
    model: ImageScorer, images: ImageSet, thresholds: ChosenThresholds, *, batch: int
) -> dict[str, float | Undefined]:
    """Metrics on images under another condition, at thresholds that were chosen before.

    Args:
        model: The trained model.
        images: Test images, of :func:`trainables.evaluation.conditions.images_under`.
        thresholds: Of the trial; nothing is chosen here.
        batch: Images per prediction.

    Returns:
        By the names of METRICS, as the evaluation has them.

    Raises:
        FloatingPointError: If a score or heatmap is no finite number.
        InputError: If one is not within [0, 1].
    """
    if not len(images):
        return {name: Undefined("no test image") for name in METRICS}
    if images.tiles is not None:
        model, batch = TiledScorer(model, images.tiles, batch), 1
    test = _evaluate_images(model, images, batch, threshold=thresholds.pixel)
    return _measured(test, thresholds)[2]


def _measured(
    test: _Pass, thresholds: ChosenThresholds
) -> tuple[pa.Table, tuple[DefectScore, ...], dict[str, float | Undefined]]:
    """Regions, scores of defects and all metrics of a pass over test images."""
    # Metrics of defects need the decisions on images as well, hence the threshold.
    regions = pa.Table.from_pylist(test.regions, schema=REGIONS_SCHEMA)
    defects = defect_scores(regions, _decisions(test, thresholds.image))
    of_defects = {m.name: m.value(defects) for m in METRICS.values() if isinstance(m, DefectMetric)}
    return regions, defects, test.metrics(thresholds) | of_defects


def image_scores(
    predictor: Predictor, images: ImageSet, device: torch.device, batch: int
) -> NDArray[np.float64]:
    """Score of every image in ``images``, in its order, in [0, 1].

    The predictor's networks are in evaluation mode while they are asked, also in the middle of a training.

    Raises:
        FloatingPointError: If a score or heatmap is no finite number: the model has diverged.
        InputError: If one is not within [0, 1].
    """
    from trainables.evaluation.model_scorer import ModelScorer
    from trainables.nn.evaluation_mode import evaluation_mode

    with evaluation_mode(predictor):
        scores = [part.answer.scores for part in _predict(ModelScorer(predictor, device), images, batch)]
    return np.concatenate(scores) if scores else np.empty(0)


def measure_labels(labels: PseudoLabels, images: ImageSet) -> StageScores | None:
    """Compare pseudo labels of training images with masks that training did not see.

    A pixel that a label leaves open counts as background: leaving a defect open finds none of it.

    Args:
        labels: Of some of ``images``.
        images: The training images with every mask there is.

    Returns:
        IoU of all pixels, and its mean over defective images; None where no mask of a defect is known.

    Raises:
        KeyError: If a label is about an image that is not in ``images``.
    """
    positions = {sample: index for index, sample in enumerate(images.ids)}
    counts: list[list[int]] = []
    for sample, label in zip(labels.ids, labels.labels, strict=True):
        # The mask is brought to the label's size by the rule that also makes the test's truth.
        truth = truth_of(images, positions[sample], (label.shape[0], label.shape[1]))
        if truth is not None:
            claim = label == 1
            pairs = ((claim, truth), (claim, ~truth), (~claim, truth), (~claim, ~truth))
            counts.append([int(np.sum(ours & theirs)) for ours, theirs in pairs])
    of_images = PixelCounts(*np.array(counts, dtype=np.int64).reshape(-1, 4).T)
    if not (of_images.tp + of_images.fn).any():
        return None
    return StageScores(stage=labels.name, of="train", metrics=_defined(count_metrics(of_images)))


def _predict(
    model: ImageScorer, images: ImageSet, batch: int, known: Collection[str] | None = None
) -> Iterator[_Batch]:
    hook = "predict" if known is None else "predict_stages"
    for start in range(0, len(images), batch):
        ids = images.ids[start : start + batch]
        arrays = [images.images[i] for i in ids]
        given = arrays if images.stored is None else [images.stored[i] for i in ids]
        answer = model.score(given, known)
        for sample, score, heatmap in zip(ids, answer.scores, answer.heatmaps, strict=True):
            refuse_outside("score", sample, score, hook)
            refuse_outside("heatmap", sample, heatmap, hook)
        yield _Batch(start, arrays, answer)


def _evaluate_images(
    model: ImageScorer,
    images: ImageSet,
    batch: int,
    *,
    keep: tuple[int, ...] = (),
    stage_maps: StageMapScores | None = None,
    threshold: float | None = None,
) -> _Pass:
    """Predict some images and count; with a pixel ``threshold`` also look for each defect."""
    # Images in tiles are large: their scores go into bins, and of a model's stages fewer images are held at
    # once.
    images_pass = _Pass(images, np.empty(len(images)), np.empty(len(images)))
    in_tiles = images.tiles is not None
    if in_tiles:
        images_pass.pixels = BinnedPixelScores()
    if stage_maps is not None and len(images):
        height, width = images.images[images.ids[0]].shape[:2]
        batch = min(batch, max(1, PIXELS_AT_ONCE // (height * width)))

    def count(part: _Batch) -> None:
        scores, heatmaps = part.answer.scores, part.answer.heatmaps
        # Truth and ignored pixels at the network's size. Where a mask is unknown the image counts by its
        # score alone.
        indices = range(part.start, part.start + len(scores))
        truths = [truth_of(images, i, (heatmaps.shape[1], heatmaps.shape[2])) for i in indices]
        ignored = [ignored_of(images, i, truth) for i, truth in zip(indices, truths, strict=True)]
        for i, score, heatmap, truth, other in zip(indices, scores, heatmaps, truths, ignored, strict=True):
            if in_tiles:
                bin_scores(heatmap)
            images_pass.scores[i], images_pass.maxima[i] = score, heatmap.max()
            if truth is not None:
                images_pass.with_truth.append(i)
                if other is not None:
                    heatmap[other] = 0  # no piece that is found reaches over it
                images_pass.pixels.add(heatmap, truth, other)
                if threshold is not None:
                    images_pass.add_regions(i, heatmap, threshold)
            if i in keep:
                defect_class = images.classes[i] if images.classes else None
                probe = Probe(
                    images.ids[i],
                    bool(images.labels[i]),
                    defect_class,
                    float(score),
                    part.images[i - part.start],
                    heatmap if in_tiles else heatmap.copy(),  # a view would keep the whole batch alive
                    truth,
                )
                images_pass.kept[i] = shrunken(probe) if in_tiles else probe
        if stage_maps is not None:
            samples = [images.ids[i] for i in indices]
            kept = [i in keep for i in indices]
            stage_maps.add(part.images, part.answer.stages, samples, truths, kept, ignored=ignored)

    parts = _predict(model, images, batch, None if stage_maps is None else stage_maps.known)
    # The first few batches are counted in this thread so that their time is undisturbed; from then on
    # counting runs beside the next prediction.
    timed: list[Scores] = []
    # Nothing runs beside predictions that are timed, nor are two images held that may be large.
    for part in parts if in_tiles else islice(parts, _TIMED):
        count(part)
        timed.append(part.answer)
    consume_in_thread(count, parts)
    warm = timed[1:] or timed  # the first batch pays for allocation and kernel selection
    images_pass.seconds_per_image = sum(a.seconds for a in warm) / max(1, sum(len(a.scores) for a in warm))
    return images_pass


class _ImageThreshold(NamedTuple):
    """The image threshold, what chose it, and what it promises."""

    value: float
    source: str
    range: tuple[float, float] | None = None
    promise: KeptPromise | None = None


def _choose_thresholds(
    validation: _Pass | None, calibration: ImageScores | None, rule: ThresholdRule
) -> tuple[ChosenThresholds, list[str]]:
    """Both thresholds and the footnotes on where they come from."""
    notes: list[str] = []
    if validation is None and calibration is None and rule == "f1":
        notes.append(f"thresholds: no validation images, both fixed at {FIXED_THRESHOLD}")
        return _FIXED, notes

    # Where validation cannot choose, 0.5 stands in, and a note says so: a threshold chosen on test images
    # would flatter.
    image = _choose_image_threshold(validation, calibration, rule)
    if isinstance(image, Undefined):
        part = "validation" if calibration is None else "calibration"
        notes.append(f"image threshold: {image.reason} in {part}, fixed at {FIXED_THRESHOLD}")
        image = _ImageThreshold(FIXED_THRESHOLD, "fixed 0.5")
    pixel, pixel_source = _choose_pixel_threshold(validation, notes)
    chosen = ChosenThresholds(
        image=image.value,
        image_source=image.source,
        pixel=pixel,
        pixel_source=pixel_source,
        image_range=image.range,
        promise=image.promise,
    )
    return chosen, notes


def _choose_image_threshold(
    validation: _Pass | None, calibration: ImageScores | None, rule: ThresholdRule
) -> _ImageThreshold | Undefined:
    """The image threshold by calibration where the study holds it out, else by validation."""
    if isinstance(rule, float):
        return _ImageThreshold(rule, threshold_text(rule))
    part: Literal["validation", "calibration"] = "calibration"
    images = calibration
    if images is None and validation is not None:
        part = "validation"
        images = ImageScores(validation.images.labels, validation.scores, 0.0, validation.images.items)
    assert images is not None, "the border refuses a study in which nothing could choose"

    # A promise needs one kind of part only; F1 and cost weigh both kinds and need both.
    if isinstance(rule, (FalseAlarms, Escapes)):
        point = choose_by_promise(images, rule, part)
        promise = KeptPromise(rule=rule, wrong=point.wrong, parts=point.parts, source=part)
        return _ImageThreshold(point.threshold, f"{part}: {threshold_text(rule)}", promise=promise)
    missing = missing_class(images.labels)
    if missing is not None:
        return missing
    if isinstance(rule, Cost):
        threshold, draws = choose_by_cost(images, rule)
        return _ImageThreshold(threshold, f"{part}: {threshold_text(rule)}", range=draws)
    best = best_f1_threshold(images.labels, images.scores)
    return best if isinstance(best, Undefined) else _ImageThreshold(best, f"{part} F1")


def _choose_pixel_threshold(validation: _Pass | None, notes: list[str]) -> tuple[float, str]:
    """The pixel threshold and what chose it; adds footnotes to ``notes``."""
    if validation is None:
        notes.append(f"pixel threshold: no validation images, fixed at {FIXED_THRESHOLD}")
        return FIXED_THRESHOLD, "fixed 0.5"
    pixel = validation.pixels.best_iou_threshold()
    if not isinstance(pixel, Undefined):
        # Where validation has masks they choose; a note says how many were missing.
        if validation.left_out:
            images = counted(validation.left_out, "defective validation image")
            notes.append(f"pixel threshold: {images} {'has' if validation.left_out == 1 else 'have'} no mask")
        return pixel, "validation IoU"

    # Without masks labels must do: an image is defective when the highest value of its map reaches the
    # threshold.
    pixel = best_f1_threshold(validation.images.labels, validation.maxima, np.float32)
    if isinstance(pixel, Undefined):
        notes.append(f"pixel threshold: {pixel.reason} in validation, fixed at {FIXED_THRESHOLD}")
        return FIXED_THRESHOLD, "fixed 0.5"
    notes.append("pixel threshold: best F1 of heatmap maxima on validation labels, no mask read")
    return pixel, "validation F1 of heatmap maxima"


def _chosen_by(
    model: ImageScorer, validation: _Pass, thresholds: ChosenThresholds, batch: int
) -> dict[str, float]:
    """Metrics on validation, with the label-free ones that a model offers: what a search may choose by."""
    metrics = _defined(validation.metrics(thresholds))
    images = validation.images
    positives = np.flatnonzero(images.labels).tolist()
    if not model.measures_erasure or not positives or "image_ap" not in metrics:
        return metrics
    # A search under weak supervision may not choose by masks; the erasure measures localisation without any.
    drops: list[float] = []
    for start in range(0, len(positives), batch):
        arrays = [images.images[images.ids[i]] for i in positives[start : start + batch]]
        drops += model.erasure_drops(arrays)
    erasure = Erasure(np.array(drops), metrics["image_ap"])
    return metrics | {name: metric.compute(erasure) for name, metric in LABEL_FREE_METRICS.items()}


def _defined(metrics: dict[str, float | Undefined]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not isinstance(value, Undefined)}


def _omissions(test: _Pass, metrics: dict[str, float | Undefined]) -> list[str]:
    """One footnote per reason why something is missing on test."""
    missing: dict[str, list[str]] = {}
    for name, value in metrics.items():
        # Single views are those of most data.
        if isinstance(value, Undefined) and value is not SINGLE_VIEWS and METRICS[name].noted:
            missing.setdefault(value.reason, []).append(METRICS[name].title)
    notes = [f"{', '.join(titles)} undefined on test: {reason}" for reason, titles in missing.items()]
    if test.left_out and test.pixels.has_defects:
        notes.append(f"pixel metrics leave out {counted(test.left_out, 'defective test image')} without mask")
    return notes


def _decisions(test: _Pass, threshold: float) -> Iterator[tuple[str | None, bool]]:
    """Class and decision of each defective image."""
    for index in np.flatnonzero(test.images.labels).tolist():
        defect_class = test.images.classes[index] if test.images.classes else None
        yield defect_class, bool(test.scores[index] >= threshold)


def _predictions(test: _Pass, thresholds: ChosenThresholds) -> pa.Table:
    images, count = test.images, len(test.images)
    columns = {
        "sample": list(images.ids),
        "item": list(images.items) or [None] * count,
        "defect_class": list(images.classes) or [None] * count,
        "label": images.labels.tolist(),
        "score": test.scores.tolist(),
        "decision": (test.scores >= thresholds.image).tolist(),
    }
    counts = test.pixels.counts(thresholds.pixel)._asdict()
    for name, values in counts.items():
        of_image = dict(zip(test.with_truth, values.tolist(), strict=True))
        columns[name] = [of_image.get(i) for i in range(count)]
    return pa.table(columns, schema=PREDICTIONS_SCHEMA)


def consume_in_thread(work: Callable[[_T], None], items: Iterable[_T]) -> None:
    """Do ``work`` on each item in its order, in one thread, while the caller's thread makes the next item.

    One item waits at most, and one is worked on. An error of ``items`` or of ``work``, or Ctrl-C, ends both:
    the item that is worked on is finished first.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="consume") as thread:
        before: Future[None] | None = None
        for item in items:
            if before is not None:
                before.result()
            before = thread.submit(work, item)
        if before is not None:
            before.result()
