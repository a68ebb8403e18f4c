"""Scores and maps of somebody's own loop as records of a study: evaluated as any model is, and marked."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.analysis.results.results import StudyResults
from assay.api.running import begin_study, end_study
from assay.engine import EngineOptions, hold_study
from assay.engine.versions import source_version
from assay.engine.worker.trial import TrialData, trial_result
from assay.extras.elsewhere.folders import Place, blind_names
from assay.storage import Environment, Record, Store
from assay.study import Plan
from trainables.data.samples import EvaluationData, ImageSet
from trainables.elsewhere import TRAINED_ELSEWHERE
from trainables.errors import InputError
from trainables.evaluation.evaluate import evaluate_scorer
from trainables.evaluation.scorer import IMAGES_AT_ONCE, Scores
from trainables.program.exchange import Answers, Scale, read_answers, thinned

__all__ = ["score_split"]

_SCALED = "scores and maps of any numbers, brought into [0, 1] by median and quartiles of validation"


class Answered(NamedTuple):
    """What a loop predicted for a trial's images."""

    parts: dict[str, Answers]  # validation, calibration (where there are such) and test
    hash: str  # sha256 of the answers: there are no weights here


class _Predictions:
    """Predictions that are known, as an :class:`~trainables.evaluation.scorer.ImageScorer`.

    The evaluation asks for validation images first, then for those of the threshold alone, then for test
    images, each once and in their order.
    """

    shows_stages = measures_erasure = False
    images_at_once = IMAGES_AT_ONCE

    def __init__(self, parts: Sequence[Answers]) -> None:
        self._scores = np.concatenate([part.scores for part in parts])
        self._maps = [heatmap for part in parts for heatmap in part.maps]
        self._next = 0

    def score(self, images: Sequence[NDArray[np.uint8]], known: Collection[str] | None = None) -> Scores:
        assert known is None, "nothing is known of stages"
        first, self._next = self._next, self._next + len(images)
        heatmaps = np.stack(self._maps[first : self._next])
        assert len(heatmaps) == len(images), "answers were held against images"
        return Scores(self._scores[first : self._next], heatmaps, {}, 0.0)

    def erasure_drops(self, images: Sequence[NDArray[np.uint8]]) -> list[float]:
        raise AssertionError(f"asked of models that measure it, found {len(images)} images")

    def reference_seconds(self) -> float:
        raise AssertionError("nothing is timed that is not here")


def score_split(
    folder: Path,
    plan: Plan,
    places: Sequence[Place],
    store: Store,
    *,
    data_root: Path | None,
    cache: Path,
    say: Callable[[str], None],
    unbounded: bool = False,
) -> StudyResults:
    """Evaluate all answers of a split, and record them.

    Everything is read before anything is written: with a fault nothing is recorded.

    Args:
        folder: Of the split.
        plan: Of its study.
        places: Its trials and their folders.
        store: Where results are kept.
        data_root: Where the data lie; None: where the reader says.
        cache: Folder for decoded images.
        say: Takes sentences on what is going on.
        unbounded: Scores and maps are any numbers, scaled by each trial's validation.

    Raises:
        InputError: If an answer is missing, is none, or differs from one that is recorded; another run holds
            the study.
        StorageError: If the storage is full, read-only or away.
    """
    # First everything is read and held against what is recorded, so that nothing is refused halfway.
    for place in places:
        say(f"reading {place.answers}")
        data = TrialData.find(place.trial, data_root, cache)
        read = _read(folder, place, data.evaluation(), unbounded=unbounded)
        recorded = store.record(place.trial.id)
        known = (
            recorded.result.weights_hash if isinstance(recorded, Record) and recorded.result else read.hash
        )
        if known != read.hash:
            raise InputError(
                f"a result that is recorded stays, found other answers in {folder / place.answers} than "
                f"those of trial {place.trial.id}. Name another --storage, or give the cell a setting that "
                "tells the two apart."
            )
    options = EngineOptions(data_root=data_root, cache=cache, on_message=say)
    with hold_study(store, plan.study.study, options, say) as held:
        begin_study(held.store, plan)
        for place in places:
            if not isinstance(held.store.record(place.trial.id), Record):
                say(f"scoring {place.answers}")
                data = TrialData.find(place.trial, data_root, cache)
                _record(folder, place, data, held.store, plan, unbounded=unbounded)
        return end_study(held.store, plan)


def _read(folder: Path, place: Place, data: EvaluationData, *, unbounded: bool) -> Answered:
    """The answers to a trial's images, in [0, 1].

    Raises:
        InputError: If they are none: which file, image and value is named.
    """
    answers = folder / place.answers
    if not answers.is_dir():
        raise InputError(
            f"every cell has answers for every repeat, found no folder {answers}. Predict its images, "
            "or take the repeat out of the study and write the split anew."
        )
    parts: dict[str, tuple[list[str], ImageSet]] = {}
    if data.validation is not None and len(data.validation):
        parts["validation"] = list(data.validation.ids), data.validation
    if data.calibration is not None:
        parts["calibration"] = blind_names(data.calibration), data.calibration
    parts["test"] = blind_names(data.test), data.test
    read: dict[str, Answers] = {}

    if unbounded and "validation" not in parts:
        raise InputError(
            "numbers of any size are brought into [0, 1] by those of validation, found --unbounded and "
            f"`validation: none` in the study of {folder}. Bring them there by one function of your loop."
        )

    for part, (names, images) in parts.items():
        height, width = images.images[images.ids[0]].shape[:2]
        try:
            stored = None if images.stored is None else _sizes_of(images)
            read[part] = read_answers(answers / part, names, (height, width), bounded=False, stored=stored)
        except (InputError, FloatingPointError) as error:
            raise InputError(f"{answers / part}: {error}") from error
        if not unbounded:
            _refuse_unbounded(answers / part, names, read[part])
    if unbounded:
        # By validation alone: it says what is a large score, and test images have no say in that.
        seen = read["validation"]
        scores, maps = Scale.of(seen.scores), Scale.of(thinned(seen.maps))
        read = {
            part: Answers(scores.apply(one.scores), maps.apply(one.maps).astype(np.float32))
            for part, one in read.items()
        }

    # The hash of all answers stands where the hash of a model's weights would: other answers are another
    # result.
    digest = hashlib.sha256()
    for part in parts:
        for array in read[part]:
            digest.update(np.ascontiguousarray(array).tobytes())
    return Answered(read, digest.hexdigest())


def _sizes_of(images: ImageSet) -> list[tuple[int, int]]:
    assert images.sizes is not None, "images of a data set have sizes"
    return [(int(height), int(width)) for height, width in images.sizes]


def _refuse_unbounded(folder: Path, names: Sequence[str], answers: Answers) -> None:
    """See that scores and maps are in [0, 1].

    Raises:
        InputError: If one is not.
    """
    for name, score, heatmap in zip(names, answers.scores, answers.maps, strict=True):
        for value in (score, heatmap.min(), heatmap.max()):
            if not 0 <= value <= 1:
                raise InputError(
                    f"{folder}: scores and maps are in [0, 1], found {value:g} for the id {name}. Bring all "
                    "numbers of your loop there by one function, or give --unbounded."
                )


def _record(
    folder: Path, place: Place, data: TrialData, store: Store, plan: Plan, *, unbounded: bool
) -> None:
    """Evaluate the answers to a trial's images, write its files and its record."""
    trial, started, start = place.trial, datetime.now(UTC), time.monotonic()
    training, evaluation = data.training(), data.evaluation()
    answered = _read(folder, place, evaluation, unbounded=unbounded)
    report = evaluate_scorer(
        _Predictions(list(answered.parts.values())),
        evaluation,
        batch=IMAGES_AT_ONCE,
        probes=plan.study.keep.probes,
        seed=trial.seed,
        threshold=trial.data.threshold,
    )
    version = source_version()
    environment = Environment(
        host=socket.gethostname(),
        pid=os.getpid(),
        versions=dict(version.packages),
        source_hash=version.source,
        commit=version.commit,
    )

    # The tables come before the record, as those of a trained trial do: what is cut short in between leaves
    # no result.
    attempt = store.begin_attempt(trial.id, environment)
    tables = {"predictions": report.predictions, "regions": report.regions, "maps": report.maps}
    files = {
        f"{attempt.name}/{name}.parquet": store.write_table(f"{attempt.prefix}/{name}.parquet", table)
        for name, table in tables.items()
    }
    scaled = (_SCALED,) if unbounded else ()
    report = replace(report, notes=(*report.notes, TRAINED_ELSEWHERE, *scaled))
    result = trial_result(data, training, report, answered.hash, epochs=0)
    store.end_trial(
        Record(
            id=trial.id,
            status="finished",
            result=result.model_copy(update={"white": data.manifest.white}),
            trial=trial.model_dump(mode="json"),
            study=plan.study.study,
            timings={"finish": round(time.monotonic() - start, 4)},
            environment=environment,
            files=files,
            attempt=attempt.name,
            attempts=attempt.number,
            started=started,
            ended=datetime.now(UTC),
        )
    )
