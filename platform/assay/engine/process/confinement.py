"""A process that gives up the right to open what is kept from it, by Linux' Landlock.

Landlock lists what may be opened, and nobody can widen it again, not even root. So everything is listed but
the folders that are barred: from the root downwards the entries of each folder that leads to a barred one.
Entries that are made later in such a folder may not be opened either. Rights apply to whatever is opened from
then on, in this process and those that it starts. Of other processes it sees neither memory nor environment.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

__all__ = ["confine", "name_attempts"]

# linux/landlock.h, the same numbers on x86-64 and ARM64.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_OF_FILES = 0b111 | 1 << 14  # execute, write, read, truncate
_RIGHTS_OF_1 = (1 << 13) - 1
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_SCOPES_OF_6 = 0b11  # abstract sockets and signals end at this process
_NO_NEW_PRIVILEGES = 38  # prctl
_NAMED = 5  # attempts that are told
_PROCESSES = Path("/proc")


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def confine(barred: Iterable[Path], kept: Iterable[Path]) -> str:
    """Give up what lies below ``barred``, but for what lies below ``kept``. Existing paths only.

    Call it while the process has one thread: others keep their rights.

    Returns:
        What bars it: ``landlock 7`` (the kernel's version of it), or why nothing does.

    Raises:
        OSError: If the kernel has Landlock, and refuses.
    """
    if not sys.platform.startswith("linux"):
        return f"nothing: {sys.platform} has no Landlock"
    kernel = ctypes.CDLL(None, use_errno=True)
    version = kernel.syscall(_CREATE_RULESET, None, 0, _VERSION)
    if version < 1:
        return f"nothing: this kernel has no Landlock ({os.strerror(ctypes.get_errno())})"

    # A kernel refuses rights that it does not know, and each version knows more: the rules ask for as much as
    # this one has.
    rights = _RIGHTS_OF_1 | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    rules = _Ruleset(rights, 0, _SCOPES_OF_6 if version >= 6 else 0)
    size = ctypes.sizeof(rules) if version >= 6 else 16 if version >= 4 else 8
    ruleset = _checked(kernel.syscall(_CREATE_RULESET, ctypes.byref(rules), size, 0))
    try:
        # Landlock has no rule that forbids. What is barred is what no rule allows, so the rules lie around
        # it.
        for path in _allowed([path.resolve() for path in barred], [path.resolve() for path in kept]):
            _allow(kernel, ruleset, path, rights)

        # The kernel demands this of a process without privileges: no program that it starts may gain rights
        # again.
        _checked(kernel.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _checked(kernel.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return f"landlock {version}"


def name_attempts(barred: Iterable[Path], kept: Iterable[Path], tell: Callable[[str], None]) -> None:
    """Tell the first paths below ``barred``, not ``kept``, that Python code here tries to open or list."""
    roots, allowed = [path.resolve() for path in barred], [path.resolve() for path in kept]
    named: set[str] = set()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event not in ("open", "os.listdir", "os.scandir") or len(named) >= _NAMED:
            return
        path = arguments[0]
        if not isinstance(path, (str, bytes, os.PathLike)):
            return

        # Links are followed first: one that lies elsewhere may lead into what is barred.
        real = Path(os.path.realpath(os.fsdecode(path)))
        if str(real) in named or any(real.is_relative_to(path) for path in allowed):
            return
        if any(real.is_relative_to(root) for root in roots):
            named.add(str(real))
            tell(str(real))

    sys.addaudithook(hook)


def _allowed(barred: list[Path], kept: list[Path]) -> Iterator[Path]:
    others = _PROCESSES / str(os.getppid())
    yield from _around(Path("/"), [path for path in (*barred, others) if path.exists()])
    yield from (path for path in kept if path.exists())


def _around(folder: Path, barred: list[Path]) -> Iterator[Path]:
    """Divide ``folder`` into as few paths as can be, without what lies below ``barred``."""
    inside = [path for path in barred if path.is_relative_to(folder)]
    if not inside:
        yield folder
    elif folder not in inside:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            return  # what may not be listed was not open to this user anyway
        for entry in entries:
            if folder == _PROCESSES and entry.name.isdigit() and entry.name != str(os.getpid()):
                continue
            if not entry.is_symlink():  # its target is listed where it lies, or barred
                yield from _around(Path(entry.path), inside)


def _allow(kernel: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # gone since, or not open to this user
    try:
        # Landlock refuses a rule that gives a file the rights of folders.
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        rule = _PathBeneath(rights if is_folder else rights & _OF_FILES, handle)
        _checked(kernel.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(handle)


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock refused: {os.strerror(number)}")
    return answer
