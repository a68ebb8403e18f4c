"""Note in ``studies/<study>/lease.json``: who runs the study, since when, and the last sign of life."""

from __future__ import annotations

import math
import os
import socket
import time
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from assay.storage.conditional import Version

__all__ = ["STALE_SECONDS", "LeaseNote", "Standing", "lease_path", "next_epoch", "read_note"]

STALE_SECONDS = 60.0

Standing = Literal["free", "held", "stale", "ahead"]  # ahead: its clock and ours differ by more than a minute

_Time = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]  # Unix time until the year 5138


class LeaseNote(BaseModel, frozen=True, extra="forbid"):
    """Who runs a study, or ran it last: what a second run reads."""

    token: str  # of one lease, so that one process cannot hold two
    host: str
    pid: int
    started: _Time
    beat: _Time  # the last sign of life
    epoch: int = 0  # of leases of this study: it only grows
    held: bool = True  # False: given back, or taken away; the epoch stays
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


def next_epoch(version: Version | None, now: float) -> int:
    """Number of the lease after this one; a file that has lost its count goes on from the time in seconds."""
    note = read_note(version)
    if note is not None:
        return note.epoch + 1
    return 1 if version is None else math.floor(max(now, 0.0)) + 1


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
