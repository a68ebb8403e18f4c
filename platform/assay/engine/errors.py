"""What goes wrong in a training, told apart: the fault of its method, of the machine, or of nobody.

Trade-off: a method may open files and networks of its own, and an ``OSError`` does not say whose they were.
What a sound method meets on a machine in trouble (a full disk, no more handles) is the machine's; all else is
a failure of the method, so that a trial ends with a record. What is tried again says ``retries.py``.
"""

from __future__ import annotations

import errno
import json
import traceback
from typing import Self

from assay.storage.redaction import redact
from trainables.data.files.atomic import AWAY
from trainables.errors import Diverged, InputError, TransientError, text_of
from trainables.plugins.method_files import method_error_line
from trainables.runtime.device import is_out_of_memory

__all__ = [
    "DiedError",
    "DrainedError",
    "GpuMemoryError",
    "MethodError",
    "NoOtherStartError",
    "OverdueError",
    "PeerLostError",
    "Stopped",
    "error_line",
    "fault_of",
    "trace_of",
]

_MACHINES = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, *AWAY),  # disks
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),  # handles, memory, processes
}
_CHARACTERS = 4000
_LOOKED_AT = 250 * _CHARACTERS  # to blot out secrets takes long in a text of megabytes


class Stopped(Exception):  # noqa: N818 - not an error: the user asked for it
    """The user asked this trial to stop; it leaves no record and goes on from its checkpoint next time."""


class MethodError(Exception):
    """A method raised something.

    Attributes:
        kind: ``diverged``, ``failed`` (the method's fault), ``memory``, ``gpu memory``, ``system`` (the
            machine's), ``died`` (a program that is to be tried again), ``stopped``, ``peer lost``.
        reason: In a line.
        trace: The traceback there.
    """

    def __init__(self, kind: str, reason: str, trace: str) -> None:
        super().__init__(reason)
        self.kind, self.reason, self.trace = kind, reason, trace


class DiedError(Exception):
    """The training process ended without a word: killed, out of memory, or by a fault of a library.

    Attributes:
        way_out: What to do about it, in a sentence.
    """

    def __init__(self, how: str, way_out: str = "Mend the cause (more memory, a smaller batch)") -> None:
        super().__init__(how)
        self.way_out = way_out


class OverdueError(Exception):
    """The training took longer than it may, or was silent for longer; it was ended."""


class GpuMemoryError(MemoryError):
    """The memory of the GPU, or of the trial's share of it, was too small."""


class DrainedError(ConnectionError):
    """The node is to be taken away, and the trial's state is kept: it goes on elsewhere."""


class PeerLostError(ConnectionError):
    """Another worker of this trial is gone: killed, out of memory, or on a lost node."""


class NoOtherStartError(RuntimeError):
    """Another start of a trial's workers would not help: the storage is away, or a batch cannot be read.

    Its text is JSON, which is found again in what Ray says of a worker's error.
    """

    @classmethod
    def saying(cls, text: str, *, storage: bool) -> Self:
        """``storage``: whether the storage is at fault, and the study ends."""
        return cls(json.dumps({"storage": storage, "text": text}))


def fault_of(error: BaseException, trainable: str, *, prepared: bool = True) -> MethodError:
    """Tell what went wrong, and the method's fault from the machine's.

    Args:
        error: With its traceback.
        trainable: The method that trained.
        prepared: False: no line of the method has run, so that no ``OSError`` is its fault.
    """
    reason = error_line(error)
    match error:
        case Stopped():
            kind = "stopped"
        case Diverged() | FloatingPointError():
            kind, reason = "diverged", text_of(error)
        case MemoryError():
            kind, reason = "memory", method_error_line(trainable, error)
        case RuntimeError() if is_out_of_memory(error):
            kind = "gpu memory"
        case PeerLostError():
            kind, reason = "peer lost", str(error)
        case TransientError():
            kind, reason = "died", str(error)
        case OSError() if not prepared or error.errno in _MACHINES:
            kind = "system"
        case InputError():
            kind, reason = "failed", text_of(error)
        case SystemExit():
            kind, reason = "failed", f"the method ended its process (sys.exit, code {error.code})"
        case KeyboardInterrupt():
            kind, reason = "failed", "the method raised KeyboardInterrupt"
        case _:
            kind = "failed"
    # Before it is cut to its length: half a URI does not show that it holds a password.
    trace = redact("".join(traceback.format_exception(error))[-_LOOKED_AT:])
    return MethodError(kind, _shortened(reason), trace[-_CHARACTERS:])


def error_line(error: BaseException) -> str:
    """An error in a line: its type, and its text where it has one."""
    return f"{type(error).__name__}: {text_of(error)}".removesuffix(": ")


def _shortened(text: str) -> str:
    shown = redact(text[:_LOOKED_AT])
    if len(text) <= _LOOKED_AT and len(shown) <= _CHARACTERS:
        return shown
    return f"{shown[:_CHARACTERS]} … ({len(text):,} characters)"


def trace_of(error: BaseException) -> str:
    """The traceback of ``error``, of a method's process the one there; of a drained node one sentence."""
    if isinstance(error, DrainedError):
        return str(error)
    return error.trace if isinstance(error, MethodError) else "".join(traceback.format_exception(error))
