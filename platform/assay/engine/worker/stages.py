"""Stages on a worker: found on storage, or made and kept there before they are used, and evaluated once.

Each worker of a trial asks. Rank 0 looks and writes, and tells the others. Stages that several trials need
come first, as batches of their own (:class:`~assay.engine.trial_batch.StageTask`), so that no two trials wait
for each other. Where that went wrong, a trial makes what it lacks itself.

Scores and pictures of a stage lie beside its files::

    stages/<key>/judged-<hash>.parquet

The key says what the stage is made of, the hash on which images it was evaluated: that is all that maps,
pictures and baseline maps depend on. A trial reads what others have written, shows the rest, and writes that.
Two who evaluate a stage at once write the same. The seconds count for the trial that did it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from assay.engine.worker.ranks import from_rank_0
from assay.engine.worker.trial_log import StageSpace, StoredLog
from assay.engine.worker.worker import BatchWorker
from assay.storage import Attempt, Store
from assay.storage.files.checksum import table_checksum, table_with_checksum
from assay.storage.files.files import read_parquet
from assay.storage.record import StageUse
from assay.storage.stage_store import (
    STAGE_CURVE,
    StageRecord,
    begin_stage,
    end_stage,
    fetch_stage,
    read_stage,
    stage_folder,
)
from assay.study import Trial
from assay.study.planning.stage_graph import Need, stages_of
from trainables.data.samples import ImageSet
from trainables.evaluation.evaluate import Evaluation
from trainables.evaluation.stage_maps import CAM, STAGE_MAPS_SCHEMA, StageScores
from trainables.stages import Stage

__all__ = ["StageScoreCache", "TrialStages"]

_FORM = 1  # raised when the evaluation changes
_FACTS = b"assay"  # names and scores, in the table's metadata


class _Making(NamedTuple):
    """A stage that was begun."""

    need: Need
    attempt: Attempt
    space: StageSpace
    trial_log: StoredLog
    start: float


class TrialStages:
    """The stages of one trial, by name, in the order in which they are asked for."""

    def __init__(self, trial: Trial, worker: BatchWorker, scratch: Path) -> None:
        """``scratch``: folder for the files of those that are being made."""
        self.uses: list[StageUse] = []
        self._trial, self._worker, self._scratch = trial, worker, scratch
        self.folders: dict[str, Path] = {}  # of those that were asked for, by name
        self._making: _Making | None = None

    @cached_property
    def needs(self) -> dict[str, Need]:
        """The stages that the method names, by name."""
        return {need.stage.name: need for need in stages_of(self._trial)}

    def find(self, stage: Stage, trial_log: StoredLog) -> Path | None:
        """The folder of a stage that was made before.

        Raises:
            ValueError: If the method asks for a stage that it did not name, or before one that it reads.
        """
        worker, need = self._worker, self.needs.get(stage.name)
        if need is None or not self.folders.keys() >= set(need.stage.after):
            raise ValueError(f"{self._trial.trainable} asks for stage {stage.name} out of its own order")
        record = from_rank_0(
            read_stage(worker.store, need.key) if worker.rank == 0 else None, worker.world_size
        )
        return None if record is None else self._use(record, trial_log, reused=True)

    def begin(self, stage: Stage) -> StageSpace:
        """Room for the files of a stage that was not found, and its own log."""
        worker, need = self._worker, self.needs[stage.name]
        attempt = from_rank_0(begin_stage(need.key) if worker.rank == 0 else None, worker.world_size)
        assert attempt is not None, "rank 0 has begun one"
        trial_log = StoredLog(
            self._trial,
            worker.store,
            attempt,
            rank=worker.rank,
            world_size=worker.world_size,
            stage=need,
            draining=worker.draining,
        )
        folder = self._scratch / attempt.name
        folder.mkdir()
        space = StageSpace(folder, {name: self.folders[name] for name in need.stage.after}, trial_log)
        self._making = _Making(need, attempt, space, trial_log, time.monotonic())
        return space

    def end(self, stage: Stage, trial_log: StoredLog) -> Path:
        """Keep the files of the stage that was begun."""
        making, worker = self._making, self._worker
        assert making is not None, "a stage is begun before it is ended"
        assert making.need.stage.name == stage.name, "one stage is made at a time"
        record = None
        if worker.rank == 0:
            if making.trial_log.history:
                pq.write_table(
                    making.trial_log.curve(), making.space.folder / STAGE_CURVE, compression="zstd"
                )
            earlier = sum(row["seconds"] for row in making.trial_log.history)  # of killed attempts, too
            record = end_stage(
                worker.store,
                making.attempt,
                making.space.folder,
                key=making.need.key,
                name=stage.name,
                trainable=self._trial.trainable,
                seconds=max(time.monotonic() - making.start, earlier),
                environment=worker.environment(),
            )

        # The other ranks wait here until the files are there.
        record = from_rank_0(record, worker.world_size)
        assert record is not None, "rank 0 has written it"
        self._making = None
        return self._use(record, trial_log, reused=False)

    def fail(self, text: str) -> None:
        """Say in the log of the stage that is being made why it was not: whoever needs it says so, too."""
        if self._making is not None:
            self._making.trial_log.note(f"not made:\n{text}".rstrip())

    def _use(self, record: StageRecord, trial_log: StoredLog, *, reused: bool) -> Path:
        folder = fetch_stage(self._worker.store, record, Path(self._worker.batch.run.cache))
        self.folders[record.name] = folder
        self.uses.append(StageUse(name=record.name, key=record.key, seconds=record.seconds, reused=reused))
        state = "found" if reused else "made"
        trial_log.note(f"stage {record.name} {record.key}: {state}, {record.seconds:.1f} s")
        return folder


class _Shown(NamedTuple):
    """Scores and pictures of some stages."""

    names: tuple[str, ...]  # in the order of the chain; a picture without probes has nothing else
    scores: tuple[StageScores, ...]  # of maps, and the baseline maps beside the CAM
    rows: list[dict[str, Any]]  # of STAGE_MAPS_SCHEMA

    def part(self, names: Sequence[str]) -> _Shown:
        """Select what is about ``names``."""
        kept = tuple(name for name in self.names if name in names)
        baselines = CAM in kept
        return _Shown(
            kept,
            tuple(s for s in self.scores if (baselines if s.of == "floor" else s.stage in kept)),
            [row for row in self.rows if row["stage"] in kept],
        )


class StageScoreCache:
    """Scores and pictures of one trial's stages on its test images."""

    def __init__(self, store: Store, needs: Iterable[Need], test: ImageSet, probes: int) -> None:
        """``probes``: of how many images pictures are kept (seed and fold, in the key, say which)."""
        images = json.dumps([_FORM, test.ids, sorted(test.masks), probes])
        name = f"judged-{hashlib.sha256(images.encode()).hexdigest()[:16]}.parquet"
        self._store = store
        self._paths = {n.stage.shows: f"{stage_folder(n.key)}/{name}" for n in needs if n.stage.shows}
        self._found = {shows: self._read(path) for shows, path in self._paths.items()}

    @property
    def known(self) -> frozenset[str]:
        """Names of what others have shown."""
        return frozenset(name for kept in self._found.values() if kept is not None for name in kept.names)

    def complete(self, report: Evaluation) -> Evaluation:
        """Add what is ``known`` to a report of the other stages, and keep what it shows of these."""
        if report.stage_maps is None:
            return report
        shown_here = _Shown(report.shown, report.stages, report.stage_maps.to_pylist())

        # What nobody has shown yet is written for the trials to come. This one's report gets what all have
        # shown.
        for shows, path in self._paths.items():
            if self._found[shows] is None:
                self._store.write_table(path, _to_table(shown_here.part(shows)))
        parts = [kept for kept in self._found.values() if kept is not None]
        return _with(report, shown_here, parts, order=[name for shows in self._paths for name in shows])

    def _read(self, path: str) -> _Shown | None:
        """Read a stage's file; None where there is none that can be read: the stage is evaluated anew."""
        try:
            data = self._store.read_bytes(path)
        except FileNotFoundError:
            return None
        try:
            table = read_parquet(data)
            if table_checksum(table) != "right":
                return None
            facts = json.loads(table.schema.metadata[_FACTS])
            scores = tuple(StageScores(**scores) for scores in facts["scores"])
            return _Shown(tuple(facts["names"]), scores, table.to_pylist())
        except (OSError, KeyError, TypeError, ValueError):  # Arrow's own errors are among them
            return None


def _to_table(shown: _Shown) -> pa.Table:
    facts = {"names": shown.names, "scores": [scores.model_dump() for scores in shown.scores]}
    table = pa.Table.from_pylist(shown.rows, schema=STAGE_MAPS_SCHEMA)
    return table_with_checksum(table.replace_schema_metadata({_FACTS: json.dumps(facts)}))


def _with(
    report: Evaluation, shown_here: _Shown, others: Sequence[_Shown], order: Sequence[str]
) -> Evaluation:
    """Add to ``report`` what others have shown: stages in the order of the chain, then baseline maps."""
    everything = [shown_here, *others]

    # Maps come in the order of the method's chain, and what only this trial's model shows comes last.
    present = {name for part in everything for name in part.names}
    last = [name for name in shown_here.names if name not in order]
    names = tuple(name for name in (*order, *last) if name in present)
    place = {name: index for index, name in enumerate(names)}
    scores = sorted(
        (stage_scores for part in everything for stage_scores in part.scores),
        key=lambda scores: len(names) if scores.of == "floor" else place[scores.stage],
    )

    # The maps of an image stand side by side, in the order in which one was made from the other.
    rows = [{**row, "order": place[row["stage"]]} for part in everything for row in part.rows]
    samples = dict.fromkeys(row["sample"] for row in rows)  # in the order of the test images
    at = {sample: index for index, sample in enumerate(samples)}
    rows.sort(key=lambda row: (at[row["sample"]], row["order"]))
    return replace(
        report,
        stages=tuple(scores),
        stage_maps=pa.Table.from_pylist(rows, schema=STAGE_MAPS_SCHEMA),
        shown=names,
    )
