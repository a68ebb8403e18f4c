"""MLflow's view of a study: experiment = study, parent run = cell (or point), child run = trial.

Records are the truth, MLflow a copy of them, written from the head only. Runs are found by their tag
``assay.trial``, so a replay makes no second run, and a replaced record replaces its run. When the server is
away nothing is lost and nobody waits: :meth:`MlflowSync.sync` says so and a later call catches up.

While a trial trains, its run grows with its heartbeats (:meth:`MlflowSync.follow`), and the record
completes it. A run that says anything else than the record is written anew.

mlflow is imported when it is used, and not before (1.6 s). Its telemetry is off.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from assay.analysis.names import variant_name
from assay.analysis.results.results import StudyResults
from assay.analysis.summary import CellSummary, cell_summaries
from assay.report.page.markdown import markdown_table
from assay.report.tables.cells import ablation_table
from assay.storage import Record, Store
from assay.storage.mlflow_sync_state import VIEW, SyncState, read_sync_state, write_sync_state
from assay.storage.plans import is_left_out, left_out
from assay.storage.progress import Progress
from assay.storage.redaction import redact
from assay.study import Trial
from assay.tracking.addresses import as_opened, in_short
from assay.tracking.content import (
    Point,
    curve_points,
    epoch_points,
    experiment_note,
    experiment_tags,
    final_points,
    milliseconds,
    objective_mean,
    parameters,
    record_hash,
    source_tags,
    tags,
    view_tag,
)
from assay.tracking.database_file import complete_file, quiet_mlflow
from assay.tracking.inputs import dataset_inputs
from assay.tracking.overlays import write_overlays

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run
    from mlflow.tracking import MlflowClient

__all__ = ["MlflowSync", "SyncReport"]

_CLIENT_ENVIRONMENT: Mapping[str, str] = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds; a study does not wait two minutes for MLflow
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines for each run of a server
}
_NOTE = "mlflow.note.content"
_OWN_NOTES = "assay.descriptions"  # hashes of the descriptions that assay wrote last
_BATCH = 1000  # metrics per request, runs per page: MLflow's limits
_PARAMETERS = 100  # per request, MLflow's limit
_STATE_SECONDS = 5.0
_STATUS: Mapping[str, Literal["FINISHED", "FAILED", "KILLED"]] = {
    "finished": "FINISHED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "pruned": "KILLED",
}


@dataclass(frozen=True)
class SyncReport:
    """Summary of one :meth:`MlflowSync.sync`."""

    new: int = 0  # trials written, those of replaced records among them
    already: int = 0  # trials that MLflow had seen
    failed: tuple[str, ...] = ()  # trials that could not be synced, with the reason
    away: str | None = None  # why MLflow could not be reached; the rest is synced by the next call
    notes: tuple[str, ...] = ()  # what a user should know of the store itself; said once

    @property
    def complete(self) -> bool:
        """True where MLflow now has every record that was asked for."""
        return self.away is None and not self.failed


class MlflowSync:
    """Writes the records of studies into one MLflow store or server.

    Args:
        uri: A tracking URI; see :func:`default_uri`.
        store: Where the records and their files lie.
    """

    def __init__(self, uri: str, store: Store) -> None:
        self._uri, self._store = uri, store
        self._notes: list[str] = []  # yet to be said
        self._growing: dict[str, _GrowingRun] = {}  # of trials that train, by their ids
        self._experiment_now: _Experiment | None = None  # as the last sync left it

    @property
    def uri(self) -> str:
        """The tracking URI without its credentials."""
        return redact(self._uri)

    def sync(self, results: StudyResults) -> SyncReport:
        """Bring MLflow up to date with a study.

        No exception of MLflow, its database, the network or the storage leaves this method. Not for two
        threads at once, nor for two processes: the head calls it.
        """
        report, study = SyncReport(), results.name
        try:
            self._store.refuse_if_gone()  # its place would be made anew, for MLflow's file alone
            experiment, restored = self._experiment(study)
            state_of = f"{experiment.experiment_id} {experiment.creation_time}"
            state = read_sync_state(self._store, study, self._uri, state_of)
            if restored:  # and with it the runs that replaced records had left behind
                state = SyncState(experiment=state_of)
            self._note_others(experiment)
            self._tag(experiment, experiment_tags(study, self._store.uri) | view_tag(results.primary.name))
            state.view = VIEW
            target = _Experiment(
                self._api, self._store, results, experiment.experiment_id, state, growing=self._growing
            )
            self._experiment_now = target

            # The state is saved now and then. Runs that were written after the last time are found in MLflow
            # by their tags, so that a crash makes nothing twice.
            def save() -> None:
                write_sync_state(self._store, study, self._uri, state)

            report = target.add(save)
            if report.away is None:
                target.update_stale_cells()
            save()
        except _trouble() as error:
            _raise_interrupt(error)
            report = replace(report, away=in_short(error))
        report = replace(report, notes=tuple(self._notes))
        self._notes.clear()
        return report

    def follow(self, beats: Iterable[Progress]) -> bool:
        """Log the epochs of trials that are training, after a :meth:`sync` of their study.

        What MLflow does not take is not said: it comes with the trial's record. The last epoch comes with it
        too. For the thread that calls :meth:`sync`.

        Returns:
            False if there was a trial that the last sync did not know, as of a point that was drawn since.
        """
        if self._experiment_now is None:
            return True
        try:
            unknown = [beat for beat in beats if not self._experiment_now.grow(beat)]
        except _trouble() as error:
            _raise_interrupt(error)
            return True
        return not unknown

    def leave(self) -> None:
        """End the runs of trials that were cut short: nothing trains them any more."""
        try:
            for run in self._growing.values():
                self._api.set_tag(run.id, "assay.status", "interrupted")
                self._api.set_terminated(run.id, "KILLED")
        except _trouble() as error:
            _raise_interrupt(error)
        self._growing.clear()

    @cached_property
    def _api(self) -> MlflowClient:
        """MLflow's client, connected when it is first asked for."""
        for name, value in _CLIENT_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        quiet_mlflow()
        self._notes += filter(None, [complete_file(self._uri)])
        return MlflowClient(as_opened(self._uri))

    def _experiment(self, study: str) -> tuple[Experiment, bool]:
        """The study's experiment, made if need be, and whether it was brought back from MLflow's trash."""
        api = self._api
        experiment = api.get_experiment_by_name(study)
        if experiment is None:
            api.create_experiment(study, artifact_location=self._artifact_location(study))
            experiment = api.get_experiment_by_name(study)
        assert experiment is not None, "it was just made"

        # MLflow keeps what was deleted in a trash and gives its name to no other: the study's experiment
        # comes back from there.
        restored = experiment.lifecycle_stage == "deleted"
        if restored:
            api.restore_experiment(experiment.experiment_id)
        return experiment, restored

    def _note_others(self, experiment: Experiment) -> None:
        """Say of an experiment that somebody else made, or that is told from another storage as well."""
        tags, named = experiment.tags, f"the experiment {experiment.name} in {self.uri}"
        storage = redact(self._store.uri)
        before = tags.get("assay.storage", storage)
        if before != storage:
            self._notes.append(
                f"{named} was told from {before} before: its tag assay.storage names {storage} now, and each "
                "run the storage that it was told from"
            )

        # With this tag the experiment is the study's own. Any other may hold runs of somebody else, which a
        # user should know.
        if "assay.study" in tags:
            return
        note = tags.get(_NOTE, "")
        if note or self._api.search_runs([experiment.experiment_id], max_results=1):
            self._notes.append(
                f"{named} was there before, and assay has not made it: the study's runs lie beside what it "
                "holds. To keep them apart, rename one of the two and run `assay mlflow --sync`"
            )

    def _tag(self, experiment: Experiment, tags: Mapping[str, str]) -> None:
        """Set the tags that the experiment has not."""
        for name, value in tags.items():
            if experiment.tags.get(name) != value:
                self._api.set_experiment_tag(experiment.experiment_id, name, value)

    def _artifact_location(self, study: str) -> str | None:
        """Place for pictures: beside the results, not in the working folder; a server decides for itself.

        Of results in an object store they go beside an SQLite file.
        """
        scheme = urlsplit(self._uri).scheme.partition("+")[0]
        root = self._store.local_path
        if root is None and scheme == "sqlite":
            from sqlalchemy import make_url

            root = Path(make_url(self._uri).database or "").resolve().parent
        if root is None or scheme in {"http", "https"}:
            return None
        return (root / "mlflow-artifacts" / study).as_uri()


@dataclass
class _GrowingRun:
    """The run of a trial that trains, and what it was given: (metric, epoch) → value."""

    id: str
    values: dict[tuple[str, int], float] = field(default_factory=dict[tuple[str, int], float])
    contradicts: bool = False  # an epoch was trained twice, with another value

    def add(self, points: Sequence[Point]) -> list[Point]:
        """Take note of points; returns those that the run has not."""
        new = [point for point in points if (point.name, point.step) not in self.values]
        known = {(point.name, point.step): point.value for point in points}
        self.contradicts |= any(self.values.get(key, value) != value for key, value in known.items())
        self.values |= known
        return new

    def is_part_of(self, points: Sequence[Point]) -> bool:
        """Tell whether the run says nothing that ``points`` do not say."""
        truth = {(point.name, point.step): point.value for point in points}
        return not self.contradicts and self.values.items() <= truth.items()


class _Experiment:
    """One study in MLflow, while it is brought up to date."""

    def __init__(
        self,
        api: MlflowClient,
        store: Store,
        results: StudyResults,
        experiment: str,
        state: SyncState,
        *,
        growing: dict[str, _GrowingRun],
    ) -> None:
        self._api, self._store, self._results = api, store, results
        self._experiment, self._state, self._growing = experiment, state, growing
        self._trials = {trial.id: trial for trial in results.plan.trials}
        self._cells = {cell.name: cell for cell in results.plan.cells}
        self._parents: dict[str, str] | None = None  # cell → run id; None: nobody has asked for one

    def add(self, save: Callable[[], None]) -> SyncReport:
        """Write each record that MLflow has not; ``save`` keeps the sync state now and then."""
        new = already = 0
        failed: list[str] = []
        saved = time.monotonic()
        for record in self._results.records.values():
            # A record is known by the hash of its content, so that one which a retry has replaced is written
            # anew.
            digest = record_hash(record)
            if record.id not in self._trials or self._state.records.get(record.id) == digest:
                already += 1
                continue
            try:
                added = self._write_run(record, digest)
            except Exception as error:  # noqa: BLE001 - named, and the other records are told all the same
                _raise_interrupt(error)

                # Where MLflow is away, each of the other records would wait and fail, too: they are left for
                # the next time.
                away = self._why_away()
                if away is not None:
                    return SyncReport(new, already, tuple(failed), away)
                failed.append(f"{record.id}: {in_short(error)}")
                continue
            new, already = new + added, already + (not added)
            self._state.records[record.id] = digest
            self._state.stale.add(self._trials[record.id].cell)
            if time.monotonic() - saved > _STATE_SECONDS:
                save()
                saved = time.monotonic()
        return SyncReport(new, already, tuple(failed))

    def grow(self, beat: Progress) -> bool:
        """Log the epoch of a heartbeat into the run of its trial, which is made for the first one.

        Returns:
            False if the trial is not known.
        """
        trial = self._trials.get(beat.trial)
        if trial is None or beat.trial in self._results.records:
            return trial is not None

        # The run is made with the first epoch, so that curves can be watched, and completed when its record
        # is there.
        run = self._growing.get(beat.trial)
        if run is None:
            for other in self._runs(f"tags.`assay.trial` = '{beat.trial}'"):  # of a process that was killed
                self._api.delete_run(other.info.run_id)
            labels = {"assay.kind": "trial", "assay.study": self._results.name, "assay.cell": trial.cell}
            labels |= {"assay.trial": trial.id, "assay.status": "running"}
            settings = parameters(trial.model_dump(mode="json"), trial.levels)
            run = _GrowingRun(self._new_run(trial, round(beat.time * 1000), labels, settings))
            self._growing[beat.trial] = run
        # The epochs of a stage are its own; the last epoch comes with the record, a moment later.
        if not beat.stage and 0 < beat.epoch < beat.epochs:
            values = {name: value for name, value in beat.metrics.items() if value is not None}
            self._log(run.id, run.add(epoch_points(values, beat.epoch - 1, round(beat.time * 1000))))
        return True

    def _write_run(self, record: Record, digest: str) -> bool:
        """Write the run of one record; False if it is there, whole and of this record."""
        # Files are read first: a damaged one leaves no half a run.
        points = [*self._curve(record, milliseconds(record.ended)), *final_points(record)]
        growing = self._growing.pop(record.id, None)
        if growing is not None and not growing.is_part_of(points):
            growing = None

        # One run of a trial may stay: whole, and of this record. Others were cut short, or belong to a record
        # that was replaced.
        whole = False
        for run in self._runs(f"tags.`assay.trial` = '{record.id}'"):
            complete = run.data.tags.get("assay.record") == digest and run.info.status in _STATUS.values()
            if complete and not whole:
                whole = True
                self._state.runs[record.id] = run.info.run_id
            elif growing is None or growing.id != run.info.run_id:
                self._api.delete_run(run.info.run_id)  # of a record that was replaced, or cut short
        if not whole:
            with tempfile.TemporaryDirectory(prefix="assay-") as name:
                folder = Path(name)
                (folder / "record.json").write_bytes(
                    self._store.read_bytes(f"{self._store.trial(record.id)}/record.json")
                )
                maps = f"{self._store.trial(record.id)}/{record.attempt}/maps.parquet"
                if not is_left_out(self._store, maps, left_out(self._store)):
                    write_overlays(self._store, record, folder / "overlays")
                self._send(record, points, folder, growing)
        return not whole

    def _send(
        self, record: Record, points: Sequence[Point], artifacts: Path, growing: _GrowingRun | None
    ) -> None:
        """Write the run of a record, or complete the one that grew with the training."""
        from mlflow.entities import RunTag

        trial = self._trials[record.id]
        labels = tags(record, self._results.name, trial.cell)
        labels |= source_tags(self._results.name, self._store.uri, record.environment.commit)
        if growing is None:
            settings = parameters(record.trial, trial.levels)
            run_id = self._new_run(trial, milliseconds(record.started), labels, settings)
        else:
            run_id, points = growing.id, growing.add(points)
            self._api.log_batch(run_id, tags=[RunTag(name, value) for name, value in labels.items()])
        self._log(run_id, points)
        self._api.log_artifacts(run_id, str(artifacts))
        # Last of all: a run that is still RUNNING was cut short, and is written anew.
        self._api.set_terminated(run_id, _STATUS[record.status], milliseconds(record.ended) or None)
        self._state.runs[record.id] = run_id

    def _new_run(
        self, trial: Trial, started: int, labels: Mapping[str, str], settings: Mapping[str, str]
    ) -> str:
        """Make the run of a trial below that of its cell; returns its id."""
        from mlflow.entities import Param

        repeat = f"seed {trial.seed}" + ("" if trial.fold is None else f", fold {trial.fold}")
        run = self._api.create_run(
            self._experiment,
            start_time=started,
            tags={
                **source_tags(self._results.name, self._store.uri),
                **labels,
                "mlflow.parentRunId": self._parent(trial.cell, started),
            },
            run_name=f"{variant_name(self._results, trial.cell)} · {repeat}",
        )
        run_id = run.info.run_id
        self._api.log_inputs(run_id, dataset_inputs(self._results.plan, trial))
        given = [Param(name, value) for name, value in settings.items()]

        # MLflow takes so many parameters in a request and no more.
        for part in range(0, len(given), _PARAMETERS):
            self._api.log_batch(run_id, params=given[part : part + _PARAMETERS])
        return run_id

    def _log(self, run_id: str, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        for part in range(0, len(points), _BATCH):
            self._api.log_batch(run_id, metrics=[Metric(*_fields(p)) for p in points[part : part + _BATCH]])

    def _curve(self, record: Record, ended: int) -> list[Point]:
        curve = self._store.read_part(record, "curve.parquet")
        return [] if curve is None else curve_points(curve, ended)

    def _parent(self, cell: str, started: int) -> str:
        """The run of a cell; made when its first trial comes."""
        if self._parents is None:
            self._parents = self._known_parents()
        if cell not in self._parents:
            self._parents[cell] = self._new_parent(cell, started)
        return self._parents[cell]

    def _known_parents(self) -> dict[str, str]:
        """The runs of cells that are there, by the cells' names."""
        parents: dict[str, str] = {}
        for run in self._runs("tags.`assay.kind` = 'cell'"):
            parents.setdefault(run.data.tags["assay.cell"], run.info.run_id)
        return parents

    def _new_parent(self, cell: str, started: int) -> str:
        from mlflow.entities import Param

        labels = {"assay.kind": "cell", "assay.study": self._results.name, "assay.cell": cell}
        variant = variant_name(self._results, cell)
        labels |= {"assay.variant": variant}
        labels |= source_tags(self._results.name, self._store.uri)
        run = self._api.create_run(self._experiment, start_time=started, tags=labels, run_name=variant)
        trial = next(trial for trial in self._trials.values() if trial.cell == cell)
        self._api.log_inputs(run.info.run_id, dataset_inputs(self._results.plan, trial))
        given = [Param(name, value) for name, value in self._cells[cell].labels.items()]
        self._api.log_batch(run.info.run_id, params=given)
        return run.info.run_id

    def update_stale_cells(self) -> None:
        """Tell means of cells that have changed, and the study's table in the experiment's description."""
        if self._state.stale.isdisjoint(self._cells):
            return
        results = self._results
        cells = results.plan.cells  # of a search, those of its points too
        summaries = [cell_summaries(results, cells, metric.name) for metric in results.metrics]
        for index, cell in enumerate(cells):
            if cell.name in self._state.stale:
                self._update_cell([summary[index] for summary in summaries])
        table = markdown_table(ablation_table(results, analysed=False))
        self._describe(experiment_note(results.plan.study.question, table))
        self._state.stale.clear()

    def _describe(self, note: str) -> None:
        """Write the experiment's description, unless somebody else has written it."""
        tags = self._api.get_experiment(self._experiment).tags
        there = _hash(tags.get(_NOTE, ""))
        if _NOTE in tags and there not in tags.get(_OWN_NOTES, "").split():
            return
        # Both, for the process may end in between.
        self._api.set_experiment_tag(self._experiment, _OWN_NOTES, f"{there} {_hash(note)}")
        self._api.set_experiment_tag(self._experiment, _NOTE, note)

    def _update_cell(self, summaries: Sequence[CellSummary]) -> None:
        from mlflow.entities import Metric

        cell, records, plan = summaries[0].cell.name, self._results.records, self._results.plan
        mine = [records[t.id] for t in plan.trials if t.cell == cell and t.id in records]
        run_id = self._parent(cell, min((milliseconds(record.started) for record in mine), default=0))
        now = round(time.time() * 1000)
        values = {"n": float(summaries[0].n), **objective_mean(plan.objectives, mine)}
        for summary in summaries:
            if summary.mean is not None:
                values[f"test/{summary.metric}"] = summary.mean
            if summary.spread is not None:
                values[f"spread/{summary.metric}"] = summary.spread
        self._api.log_batch(run_id, metrics=[Metric(k, v, now, 0) for k, v in values.items()])

        # The run of a cell is over with its last trial; until then MLflow shows it as running.
        if len(mine) == summaries[0].planned:
            ended = max(milliseconds(record.ended) for record in mine)
            self._api.set_terminated(run_id, "FINISHED", ended or None)

    def _runs(self, query: str) -> Iterator[Run]:
        token: str | None = None
        while True:
            page = self._api.search_runs([self._experiment], query, max_results=_BATCH, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _why_away(self) -> str | None:
        """Reason why MLflow does not answer at all; None where the fault was the record's own."""
        try:
            self._api.get_experiment(self._experiment)
        except _trouble() as error:
            return in_short(error)
        return None


def _fields(point: Point) -> tuple[str, float, int, int]:
    return point.name, point.value, point.time, point.step


def _hash(note: str) -> str:
    return hashlib.sha256(note.encode()).hexdigest()[:16]


def _raise_interrupt(error: Exception) -> None:
    """Raise Ctrl-C again where ``error`` came of the clean-up after it, as SQLAlchemy's errors may."""
    before: BaseException | None = error
    while before is not None:
        if isinstance(before, KeyboardInterrupt):
            raise before
        before = before.__context__


def _trouble() -> tuple[type[Exception], ...]:
    """Errors that MLflow, its database and the network raise; a mistake of ours is none of these.

    ImportError: MLflow loads a driver when a URI asks for it (``mysql://``).
    """
    try:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        return ImportError, OSError
    return MlflowException, SQLAlchemyError, ImportError, OSError  # requests' errors are OSErrors
