"""One `assay run` of a study at a time: the second one sees who is at it, and is refused.

The lease is ``studies/<study>/lease.json``. Its holder renews it every few seconds; whoever finds it left
behind (its process gone on this machine, or no sign of life for 60 s) takes it over. Looking and taking are
one step: the file is replaced only if it still is what was read (``files/conditional.py``).

A run that sleeps past its lease (a suspended laptop) ends when it next renews it. What it wrote until then
harms nobody: its files have names of their own, the first result of a trial stays (``Store.create_record``),
and points of a search are only added (``search_points.py``).

No clock is trusted alone. A sign of life from the future, where a clock was set back or differs from ours,
is watched for a minute of our own time: a lease that is not renewed meanwhile is free. A file that cannot be
read is nobody's.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, ValidationError

from assay.storage.files.conditional import ChangedError, Swaps, Version
from assay.storage.files.local_disk import GoneError
from assay.storage.store import Store
from trainables.errors import InputError, StorageError

__all__ = [
    "STALE_SECONDS",
    "DisplacedError",
    "Lease",
    "LeaseNote",
    "StopKind",
    "clear_stop",
    "displace",
    "holder",
    "lease_path",
    "process_start",
    "read_note",
    "request_stop",
    "running_studies",
    "stop_requested",
    "this_machine",
]

STALE_SECONDS = 60.0
BEAT_SECONDS = 10.0
_POLL_SECONDS = 2.0  # between two polls of a lease that is watched
_TRIES = 10  # of taking a lease away that is renewed meanwhile

Say = Callable[[str], None]
Standing = Literal["free", "held", "stale", "ahead"]  # ahead: its clock and ours differ by more than a minute

_Time = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]  # Unix time until the year 5138


def _quiet(text: str) -> None:
    pass


class DisplacedError(StorageError):
    """Another run has taken the study over, or the lease was taken away: this run is over."""


class LeaseNote(BaseModel, frozen=True, extra="forbid"):
    """Who runs a study, or ran it last: what a second run reads."""

    token: str  # of one lease, so that one process cannot hold two
    host: str
    pid: int
    started: _Time
    beat: _Time  # the last sign of life
    held: bool = True  # False: given back, or taken away
    machine: str = ""  # boot and process namespace in which the pid means something; empty: not known
    process: str = ""  # start of the process, in ticks of its machine: pids are used again

    def standing(self, now: float) -> Standing:
        """State of the lease at ``now`` (Unix time): ``held`` while its holder may be at work."""
        if not self.held or self._is_over():
            return "free"
        age = now - self.beat
        if age > STALE_SECONDS:
            return "stale"
        return "ahead" if age < -STALE_SECONDS else "held"

    def _is_over(self) -> bool:
        """True where this machine can tell that the holder's process has ended."""
        # A process id means something within one boot and namespace only, and is given away again there: the
        # start of the process tells whether it still is the same.
        if self.machine and this_machine():
            return self.machine == this_machine() and process_start(self.pid) != self.process
        return self.host == socket.gethostname() and not _process_exists(self.pid)

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.started))
        return f"process {self.pid} on {self.host}, which runs it since {since}"


def lease_path(study: str) -> str:
    """Path of a study's lease."""
    return f"studies/{study}/lease.json"


def read_note(version: Version | None) -> LeaseNote | None:
    """The note in a lease file; None where there is none that can be read."""
    if version is None:
        return None
    try:
        return LeaseNote.model_validate_json(version.data)
    except ValidationError:
        return None


@cache
def this_machine() -> str:
    """Boot and process namespace of this process; empty where the system does not tell (not Linux)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def process_start(pid: int) -> str:
    """Start of a process in ticks since the machine's; empty where there is none, or it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return "" if fields[0] in "ZX" else fields[19]


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def holder(store: Store, study: str) -> LeaseNote | None:
    """Find who runs ``study`` right now; None when nobody does."""
    note = read_note(store.swaps.read(lease_path(study)))
    return note if note is not None and note.standing(time.time()) in {"held", "ahead"} else None


def running_studies(store: Store) -> list[str]:
    """The names of the studies that somebody runs right now."""
    return [study for study in store.study_folders() if holder(store, study) is not None]


def displace(store: Store, study: str) -> LeaseNote:
    """Take the lease away from whoever holds it; that run ends when it next renews it.

    Returns:
        The note of the holder that was displaced.

    Raises:
        InputError: If nobody holds it.
        StorageError: If it is renewed again and again meanwhile.
    """
    swaps = store.swaps

    # The holder renews its lease every few seconds, which changes the file between reading and writing: then
    # it is read anew.
    for _ in range(_TRIES):
        version = swaps.read(lease_path(study))
        note = read_note(version)
        if note is None or note.standing(time.time()) not in {"held", "ahead"}:
            raise InputError(
                f"only a study that runs can be stopped, and nobody runs {study} in {store.uri} now."
            )
        try:
            # A token of its own: the holder's next sign of life is refused.
            freed = {"token": secrets.token_hex(8), "held": False, "beat": time.time()}
            swaps.write(lease_path(study), _bytes(note.model_copy(update=freed)), over=version)
        except ChangedError:
            continue
        return note
    raise StorageError(
        f"the lease of study {study} in {store.uri} was renewed during each of {_TRIES} tries to take it "
        "away. Try again."
    )


class Lease:
    """The right to run a study, for the length of a ``with`` block.

    ``lease.lost`` is set when another run has taken over (after this process was asleep for a minute),
    somebody took it away, or the storage is gone: its holder must stop then. Workers carry its
    :attr:`token`.

    Args:
        store: Where the study lies.
        study: Its name.
        say: Called with what was found about an earlier holder or the storage, where a user should know.

    Raises:
        InputError: On entering, if another run of the study is alive.
    """

    def __init__(self, store: Store, study: str, say: Say = _quiet) -> None:
        self._store, self._study, self._say = store, study, say
        self._note: LeaseNote | None = None
        self._version: Version | None = None  # of the file, as this run wrote it last
        self._swaps: Swaps = store.swaps
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.lost = threading.Event()

    def __enter__(self) -> Self:
        self.take()
        self._thread = threading.Thread(target=self._renew, name=f"lease of {self._study}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(OSError):  # a storage that is full or away keeps the note, which goes stale by itself
            self.give_back()

    @property
    def token(self) -> str:
        """Name of this lease, which no other has."""
        return self._held().token

    def take(self) -> None:
        """Take the lease, without a thread that renews it.

        Raises:
            InputError: If another run of the study is alive.
        """
        path = lease_path(self._study)
        self._swaps.prove()
        self._store.state_format()  # before the lock beside the lease makes the study's folder

        # What is read is judged, and then replaced only if it still is what was read. So two runs that find
        # the same lease left behind do not both take it.
        version = self._swaps.read(path)
        _refuse_if_alive(self._store, self._study, version, self._say)
        now = time.time()
        note = LeaseNote(
            token=secrets.token_hex(8),
            host=socket.gethostname(),
            pid=os.getpid(),
            started=now,
            beat=now,
            machine=this_machine(),
            process=process_start(os.getpid()),
        )
        try:
            self._version = self._swaps.write(path, _bytes(note), over=version)
        except ChangedError:
            _refuse_if_alive(self._store, self._study, self._swaps.read(path), self._say)
            raise InputError(
                f"another run of study {self._study} began and ended just now. Run it again."
            ) from None
        self._note = note

    def renew(self) -> bool:
        """Give a sign of life; False, and :attr:`lost` is set, where the lease is another's by now."""
        path = lease_path(self._study)
        note = self._held().model_copy(update={"beat": time.time()})
        try:
            self._version = self._swaps.write(path, _bytes(note), over=self._version)
        except ChangedError:
            self._version = self._swaps.read(path)
            current = read_note(self._version)

            # The write may have gone through although its answer was lost. Only another token, or none, means
            # another run.
            if current is None or not current.held or current.token != note.token:
                self.lost.set()
                return False
        return True

    def give_back(self) -> None:
        """Say that the run is over. Another's lease is left alone."""
        if self.lost.is_set():
            return
        note = self._held().model_copy(update={"beat": time.time(), "held": False})
        for _ in range(2):  # an earlier sign of life may have arrived although its answer was lost
            with suppress(ChangedError):
                self._swaps.write(lease_path(self._study), _bytes(note), over=self._version)
                return
            self._version = self._swaps.read(lease_path(self._study))
            current = read_note(self._version)
            if current is None or current.token != note.token:
                return

    def refuse_if_lost(self) -> None:
        """See that this run still has the lease, and say who has it otherwise; one request.

        Raises:
            GoneError: If the storage was moved, deleted or unmounted.
            DisplacedError: If another run has taken over, or the lease was taken away or is gone.
        """
        self._store.refuse_if_gone()
        note = read_note(self._swaps.read(lease_path(self._study)))
        if note is not None and note.held and note.token == self.token:
            return

        # Whose it is by now decides what the user should do.
        if note is None:
            now = "its lease file is gone or cannot be read"
        elif note.held:
            now = str(note)
        elif note.token == self.token:
            now = "this run has given it back"
        else:
            now = "`assay stop --force` took it away"
        raise DisplacedError(
            f"study {self._study} is no longer this run's: {now}. What is finished is kept, and `assay run` "
            "goes on from there once nobody runs it."
        )

    def _renew(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            try:
                if not self.renew():
                    return
            except GoneError:
                self.lost.set()
                return
            except OSError:
                # The storage is away for a moment: the next beat tries again; 60 s without one are allowed.
                continue

    def _held(self) -> LeaseNote:
        assert self._note is not None, "the lease was not entered"
        return self._note


def _refuse_if_alive(store: Store, study: str, version: Version | None, say: Say) -> None:
    """Refuse a study that another run is at; say what was found where its lease is odd."""
    note = read_note(version)
    if note is None:
        if version is not None:
            say(f"{lease_path(study)} in {store.uri} cannot be read, and so is nobody's: it is written anew.")
        return
    standing = note.standing(time.time())

    # No clock is believed: whether a holder lives is seen by what it writes within a minute of our own time.
    if standing == "ahead" and version is not None:
        ahead = note.beat - time.time()
        say(
            f"the last sign of life of {note} is {ahead:.0f} s in the future: a clock was set back, or the "
            f"clocks of two machines differ. Watching for {STALE_SECONDS:.0f} s whether another one comes: "
            "if not, this run takes over."
        )
        standing = _watched(store, study, version)
    if standing != "held":
        return
    target = f"{study} --storage {shlex.quote(store.uri)}"
    raise InputError(
        f"study {study} is run by one process at a time, by {note}. Watch it with `assay status {target}`, "
        f"or end it with `assay stop {target}` (with --force if that process no longer answers)."
    )


def _watched(store: Store, study: str, version: Version) -> Standing:
    """``held`` if a lease with a sign of life from the future is renewed within a minute, else ``stale``."""
    until = time.monotonic() + STALE_SECONDS
    while time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
        current = store.swaps.read(lease_path(study))
        if current is None or current.data != version.data:
            later = read_note(current)
            return "held" if later is not None and later.held else "free"
    return "stale"


def _bytes(note: LeaseNote) -> bytes:
    return note.model_dump_json().encode()


# Asking a run to stop -----------------------------------------------------------------------------
#
# Asking a running study to stop: an object on the storage that the engine looks for.
#
# Whoever can write to the storage can ask, from any machine; a signal reaches one process only. For a study
# it is what Ctrl-C is: the run ends within seconds, in the middle of an epoch. A trial ends by itself after
# the epoch it is in, and the others go on. What is finished stays; what is not goes on from its checkpoint in
# the next `assay run`, which clears all requests first.
#
# A request names the lease of the run that it is meant for: one that comes while that run still begins is not
# cleared by it, and one that was left behind, or arrives late, ends no other.


StopKind = Literal["study", "trial"]


def request_stop(store: Store, kind: StopKind, name: str, lease: str = "") -> None:
    """Ask for the end of a study (by name) or of one trial (by id); asking twice is asking once.

    Args:
        store: Where it runs.
        kind: Of what is to end.
        name: Of the study, or the trial's id.
        lease: Token of the run that is meant; empty: whichever is at work.
    """
    store.write_json(_path(store, kind, name), {"requested": datetime.now(UTC).isoformat(), "lease": lease})


def stop_requested(store: Store, kind: StopKind, name: str, lease: str = "") -> bool:
    """True once somebody asked. One request to the storage: cheap enough for each epoch, or each second.

    ``lease``: token of the run that would stop; empty: that of the store, without one any.
    """
    meant = _requested_lease(store, kind, name)
    token = lease or store.lease
    return meant is not None and (not token or meant in {"", token})


def clear_stop(store: Store, kind: StopKind, name: str) -> None:
    """Forget a request to an earlier run, if there is one; one that names this run's lease stays."""
    lease = _requested_lease(store, kind, name)
    if lease is None or (store.lease and lease == store.lease):
        return
    store.delete_tree(_path(store, kind, name))


def _requested_lease(store: Store, kind: StopKind, name: str) -> str | None:
    """Token of the run that is asked to stop, empty for any; None: nobody asked."""
    try:
        data = store.read_bytes(_path(store, kind, name))
    except FileNotFoundError:
        return None
    try:
        request = json.loads(data)
    except (ValueError, RecursionError):
        return ""  # one that was damaged is a request all the same
    return str(request.get("lease", "")) if isinstance(request, dict) else ""


def _path(store: Store, kind: StopKind, name: str) -> str:
    return f"{store.study(name) if kind == 'study' else store.trial(name)}/stop.json"
