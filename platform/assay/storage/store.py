"""Results on disk, or in any object store that pyarrow can reach: the only state of a study.

::

    storage.json       the format of all this (:mod:`assay.storage.check.storage_format`)
    studies/<study>/   study.yaml  plan.parquet  summary.parquet  lease.json  forecast.json
    trials/<id>/       record.json  progress.json  checkpoint…  attempts/<attempt>.json
                       <attempt>/{curve,predictions,regions,maps}.parquet  <attempt>/model/
                       under/<condition>.json     metrics under other conditions

Everything of an attempt goes under a fresh prefix; ``record.json`` is one object, written last, and names
the files with their hashes: a trial exists or it does not. A record that has no checksum of its own (see
:mod:`assay.storage.record`) counts as none, and is named. Trials lie beside the studies, so two studies
share equal trials.

Object stores cannot append. Instead of one ``attempts.jsonl``, each start of an attempt is a small object of
its own; an attempt without a record was killed, ran out of memory or lost its node. The engine counts them
and decides on retries (3×).
"""

from __future__ import annotations

import copy
import gc
import hashlib
import re
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import pyarrow as pa
from pyarrow import fs
from pydantic import BaseModel, ValidationError

from assay.storage.check.storage_format import FORMAT_FILE, format_bytes, refuse_other_format
from assay.storage.files.files import Files, LinkError, read_parquet
from assay.storage.progress import Progress
from assay.storage.record import DamagedRecord, Environment, Record, Status, differences, read_record
from assay.study import Trial
from trainables.errors import StorageError

__all__ = [
    "ATTEMPT",
    "READERS",
    "TRIAL_ID",
    "Attempt",
    "AttemptStart",
    "DamagedFileError",
    "Store",
    "collector_paused",
]

TRIAL_ID = re.compile(r"[0-9a-f]{16}")
ATTEMPT = re.compile(r"[0-9]{3,}-[0-9a-f]{8}/")  # its folder, as `Files.list` names it

# Of two endings of one trial the one that says more stays.
_SAYS: Mapping[Status, int] = {"failed": 0, "pruned": 1, "diverged": 2, "finished": 2}
_PAGE = 1000  # names that an object store lists in one request
READERS = 32  # requests in flight to an object store; a local disk is read by one thread (see records_of)

_T = TypeVar("_T")
_R = TypeVar("_R")
_EMPTY = hashlib.sha256(b"").hexdigest()


class DamagedFileError(OSError):
    """A file differs from what its record says of it."""


class Attempt(NamedTuple):
    """A try at training one trial."""

    number: int  # 1, 2, …
    name: str  # `Record.attempt`
    prefix: str  # where its files go: trials/<id>/<name>


class AttemptStart(BaseModel, frozen=True, extra="forbid"):
    """Note of an attempt, written at its start."""

    attempt: str
    started: datetime
    node: str
    host: str
    pid: int
    workers: int = 0  # that trained; 0: of a note that was cut short
    lease: str = ""  # token of the run: clocks of two machines differ, so its start alone does not tell
    drained: bool = False  # its node was to be taken away: it does not count


class Store(Files):
    """The results below one root. See the module's text for the layout, :class:`Files` for bytes."""

    lease = ""  # token of the run that works through this object; empty: of none
    _states_format = False  # known after the first file that was written through this object

    @classmethod
    def open(cls, uri: str | Path) -> Self:
        """The results at ``uri``, for a command: a storage of another format is refused, and nothing written.

        Raises:
            InputError: If it has another format.
        """
        store = cls(uri)
        refuse_other_format(store)
        return store

    def state_format(self) -> None:
        """State the format of a storage that is new, before anything else is written into it.

        Two runs that begin a storage at the same time both state it, with the same bytes.

        Raises:
            InputError: If the storage has another format.
        """
        if self._states_format:
            return
        stated = refuse_other_format(self)
        # This comes before the write, which asks again whether the format is stated.
        self._states_format = True
        if stated is None:
            try:
                self.write_bytes(FORMAT_FILE, format_bytes())
            except BaseException:
                self._states_format = False
                raise

    def write_bytes(self, path: str, data: bytes) -> str:
        """Write a file as :meth:`Files.write_bytes` does; the first of a new storage states its format."""
        self.state_format()
        return super().write_bytes(path, data)

    def create_bytes(self, path: str, data: bytes) -> bool:
        """Create a file as :meth:`Files.create_bytes` does; the first of a new storage states its format."""
        self.state_format()
        return super().create_bytes(path, data)

    def make_root(self) -> None:
        """Make the folder as :meth:`Files.make_root` does, and state the format of a new storage."""
        super().make_root()
        self.state_format()

    def for_run(self, lease: str) -> Self:
        """The same results for a run: its attempts, and requests to stop it, name its ``lease`` (a token)."""
        store = copy.copy(self)
        store.lease = lease
        store._states_format = self._states_format or bool(lease)  # whoever took the lease has seen to it
        return store

    def each(self, ask: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
        """Answers of ``ask`` for each item, in order: of an object store many are asked for at a time."""
        if self.local_path is not None:
            return [ask(item) for item in items]
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(ask, items))

    def below(self, folder: str) -> Iterator[str]:
        """Paths of the files below a folder, without hidden ones: a killed writer leaves such."""
        for name in self.list(folder):
            path = f"{folder}/{name}"
            if name.startswith("."):
                continue
            if name.endswith("/"):
                yield from self.below(path.removesuffix("/"))
            else:
                yield path

    # Layout ------------------------------------------------------------------------------------------

    @staticmethod
    def study(name: str) -> str:
        """Folder of a study."""
        return f"studies/{name}"

    @staticmethod
    def trial(trial_id: str) -> str:
        """Folder of a trial."""
        return f"trials/{trial_id}"

    def studies(self) -> list[str]:
        """Names of the studies that were begun here: their folder has a plan."""
        names = self.study_folders()
        unknown = [name for name in names if name not in self._begun]
        begun = self.each(self._has_plan, unknown)
        self._begun.update(name for name, has_plan in zip(unknown, begun, strict=True) if has_plan)
        return [name for name in names if name in self._begun]

    def study_folders(self) -> list[str]:
        """Names of all folders of studies, also of those that have no plan (yet); a link is none."""
        names = self.folders("studies")
        if not names:
            self.require_root()
        return names

    def stamps_of_studies(self) -> dict[str, tuple[int, int]]:
        """Stamps of what studies registered and of their last summaries: of an object store one listing."""
        names = ("registered.json", "summary.parquet")

        # One listing of an object store costs one request, whatever the number of studies; on a disk asking
        # for each file is cheaper than a walk through all.
        if self.local_path is None:
            selector = fs.FileSelector(self._full("studies"), recursive=True, allow_not_found=True)
            files = (info for info in self._below(selector) if info.base_name in names)
            return {info.path: (info.mtime_ns or 0, info.size or 0) for info in files}
        stamps: dict[str, tuple[int, int]] = {}
        for path in (f"{self.study(study)}/{name}" for study in self.study_folders() for name in names):
            with suppress(LinkError):  # who reads it says what is wrong with it
                if (stamp := self.stamp(path)) is not None:
                    stamps[path] = stamp
        return stamps

    @cached_property
    def _begun(self) -> set[str]:
        """Studies whose plan was seen: plans stay, so nobody is asked for one again."""
        return set()

    def _has_plan(self, name: str) -> bool:
        try:
            return self.exists(f"{self.study(name)}/plan.parquet")
        except LinkError:
            return True  # who reads it says what is wrong with it

    def trials(self) -> list[str]:
        """Ids of all trials that left anything here; links, and folders of other names, are none."""
        return [name for name in self.folders("trials") if TRIAL_ID.fullmatch(name)]

    # Records -----------------------------------------------------------------------------------------

    def record(self, trial_id: str) -> Record | DamagedRecord | None:
        """The record of one trial, or what is wrong with it; None when it has none yet."""
        path = f"{self.trial(trial_id)}/record.json"
        try:
            data = self.read_bytes(path)
        except FileNotFoundError:
            return None
        except LinkError:
            return DamagedRecord(trial_id, path, "leaves the storage through a symbolic link")
        except StorageError:
            raise  # nothing is known of this record, and nothing of the others
        except OSError as error:
            return DamagedRecord(trial_id, path, f"cannot be read ({error.strerror or error})")
        return read_record(data, trial_id, path)

    def records_of(self, trial_ids: Iterable[str]) -> tuple[dict[str, Record], tuple[DamagedRecord, ...]]:
        """The records of many trials by id, and the ones that are damaged.

        10,000 records of 3 KB on a local disk take about 0.6 s with one thread (files in the page cache);
        more threads only fight for the interpreter, while an object store needs many requests in flight. Of
        more than a page of trials there a listing tells first which have left anything.
        """
        ids = list(dict.fromkeys(trial_ids))

        # In an object store one listing tells which trials have left anything. To ask for thousands of
        # records that are not there would take as many requests.
        if self.local_path is None and len(ids) > _PAGE:
            begun = set(self.trials())
            ids = [trial_id for trial_id in ids if trial_id in begun]
        with collector_paused():
            read = self.each(self.record, ids)
        return (
            {record.id: record for record in read if isinstance(record, Record)},
            tuple(problem for problem in read if isinstance(problem, DamagedRecord)),
        )

    def records_of_trials(
        self, trials: Iterable[Trial]
    ) -> tuple[dict[str, Record], tuple[DamagedRecord, ...]]:
        """The records of planned trials by id; one of another trial than the planned is damaged, too."""
        planned = {trial.id: trial for trial in trials}
        records, problems = self.records_of(planned)
        for trial_id, trial in planned.items():
            record = records.get(trial_id)
            difference = None if record is None else differences(record, trial)
            if difference is not None:
                del records[trial_id]
                path = f"{self.trial(trial_id)}/record.json"
                problems = (*problems, DamagedRecord(trial_id, path, difference))
        return records, problems

    def records(self, trial_ids: Iterable[str]) -> dict[str, Record]:
        """The readable records among ``trial_ids``; a trial that is absent here is trained (again)."""
        return self.records_of(trial_ids)[0]

    def write_record(self, record: Record) -> None:
        """Write ``record.json``, over what is there: the trial exists. Its files were written before."""
        self.write_bytes(f"{self.trial(record.id)}/record.json", record.file_bytes())

    def create_record(self, record: Record) -> None:
        """Write the record of a trial that has none; the first one stays.

        Two runs that train a trial have the same result. But one that slept past its lease may take a trial
        for failed that another run trains, and one study may prune what another trains to its end: an ending
        that says less, or a record that cannot be read, gives way.
        """
        if self.swaps.create(f"{self.trial(record.id)}/record.json", record.file_bytes()):
            return
        there = self.record(record.id)
        if not isinstance(there, Record) or _SAYS[there.status] < _SAYS[record.status]:
            self.write_record(record)

    def forget_record(self, trial_id: str, status: str) -> None:
        """Remove a record that is still of this ``status``, so that its trial is trained again."""
        record = self.record(trial_id)
        if isinstance(record, Record) and record.status == status:
            self.delete_tree(f"{self.trial(trial_id)}/record.json")

    def end_trial(self, record: Record) -> None:
        """Create the record, and remove what only a trial that trains needs."""
        self.create_record(record)
        self.forget_training(record.id)

    def forget_training(self, trial_id: str) -> None:
        """Remove checkpoint and heartbeat of a trial that has ended."""
        for name in ("checkpoint.safetensors", "progress.json"):
            self.delete_tree(f"{self.trial(trial_id)}/{name}")

    def read_file(self, record: Record, name: str) -> bytes | None:
        """A file of a record's attempt (``curve.parquet``); None when the record names no such file.

        Raises:
            DamagedFileError: If its content is not what the record says.
            FileNotFoundError: If it is gone.
        """
        path = f"{record.attempt}/{name}"
        if path not in record.files:
            return None
        data = self.read_bytes(f"{self.trial(record.id)}/{path}")
        if hashlib.sha256(data).hexdigest() != record.files[path]:
            raise DamagedFileError(
                f"{self.trial(record.id)}/{path} is not the file that its record names (sha256 differs)"
            )
        return data

    def gone_files(self, records: Iterable[Record]) -> list[tuple[Record, list[str]]]:
        """The records of which files are gone or empty, with the paths of those below the trial's folder.

        A look at names and sizes: on a local disk 10,000 records take about 0.2 s, in an object store a
        request for each.
        """

        def gone(record: Record) -> list[str]:
            sizes = self.sizes(self.trial(record.id), record.files)
            return [name for name, digest in record.files.items() if not (sizes[name] or digest == _EMPTY)]

        chosen = list(records)
        of_records = self.each(gone, chosen)
        return [(record, names) for record, names in zip(chosen, of_records, strict=True) if names]

    def read_part(self, record: Record, name: str) -> pa.Table | None:
        """A Parquet file of a record's attempt, checked as by :meth:`read_file`."""
        data = self.read_file(record, name)
        return None if data is None else read_parquet(data)

    # Progress and attempts ---------------------------------------------------------------------------

    def progress(self, trial_id: str) -> Progress | None:
        """The last heartbeat of a trial; None when there is none or it cannot be read."""
        try:
            return Progress.model_validate_json(self.read_bytes(f"{self.trial(trial_id)}/progress.json"))
        except StorageError:
            raise
        except (OSError, ValidationError):
            return None

    def write_progress(self, progress: Progress) -> None:
        """Write a heartbeat over the last one."""
        self.write_bytes(f"{self.trial(progress.trial)}/progress.json", progress.model_dump_json().encode())

    def end_progress(self, trial_id: str) -> None:
        """Take the heartbeat of a trial away: nobody works for it now."""
        self.delete_tree(f"{self.trial(trial_id)}/progress.json")

    def begin_attempt(self, trial_id: str, environment: Environment) -> Attempt:
        """Note that an attempt starts, under a prefix that no other attempt has."""
        # The number says how often the trial was tried. Should two attempts begin at once, the random part
        # tells them apart.
        number = len(self._attempt_paths(trial_id)) + 1
        name = f"{number:03d}-{secrets.token_hex(4)}"
        start = AttemptStart(
            attempt=name,
            started=datetime.now(UTC),
            node=environment.node,
            host=environment.host,
            pid=environment.pid,
            workers=environment.world_size,
            lease=self.lease,
        )
        folder = self.trial(trial_id)
        self.write_json(f"{folder}/attempts/{name}.json", start.model_dump(mode="json", exclude={"drained"}))
        return Attempt(number, name, f"{folder}/{name}")

    def excuse_attempt(self, trial_id: str, attempt: Attempt) -> None:
        """Note that the node of an attempt was to be taken away: it uses up none."""
        path = f"{self.trial(trial_id)}/attempts/{attempt.name}.json"
        start = self._attempt(path).model_copy(update={"drained": True})
        self.write_json(path, start.model_dump(mode="json"))

    def attempts(self, trial_id: str) -> list[AttemptStart]:
        """The attempts that were started, oldest first; a note that was cut short counts with its name."""
        return [self._attempt(path) for path in self._attempt_paths(trial_id)]

    def _attempt_paths(self, trial_id: str) -> list[str]:
        """Paths of the notes of attempts, oldest first: one request, whatever their number."""
        folder = f"{self.trial(trial_id)}/attempts"
        return [f"{folder}/{name}" for name in self.list(folder) if name.endswith(".json")]

    def _attempt(self, path: str) -> AttemptStart:
        try:
            return AttemptStart.model_validate_json(self.read_bytes(path))
        except ValidationError:
            name = path.rpartition("/")[2].removesuffix(".json")
            return AttemptStart(attempt=name, started=datetime.fromtimestamp(0, UTC), node="", host="", pid=0)


@contextmanager
def collector_paused() -> Generator[None]:
    """Pause Python's cyclic collector for a ``with`` block: what is made in it has no cycles.

    It would walk all objects again and again while more of them are made: reading 10,000 records takes
    0.6 s without it and 1.4 s with it. Of several threads inside, the first that is done wakes it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
