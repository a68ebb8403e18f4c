"""Writing a small file only if nobody wrote it meanwhile: compare-and-swap, on folders and object stores.

>>> current = swaps.read("studies/s/lease.json")
>>> swaps.write("studies/s/lease.json", b"mine", over=current)  # ChangedError: somebody was faster

A folder has a lock beside the file. S3, Google's and Azure's stores compare for us (``If-None-Match``,
``If-Match``, generations): pyarrow has no such call, so these requests go through obstore. What has neither
is written, waited for and read back, and says in :attr:`Swaps.weakness` what that costs.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import tempfile
import textwrap
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from trainables.data.atomic import NO_LOCKS
from trainables.errors import StorageError

if TYPE_CHECKING:
    from obstore import UpdateVersion

    from assay.storage.files import Files

__all__ = [
    "ChangedError",
    "FolderSwaps",
    "ObjectSwaps",
    "ReadBackSwaps",
    "Swaps",
    "Version",
    "refuse_without_locks",
]

SETTLE_SECONDS = (
    1.0  # of a store without conditions: who looked before our note was there has written by then
)
LOCK_SECONDS = 30.0  # for which the lock of a folder is waited for: it is held for milliseconds
_LOCK_PAUSE = 0.01

_Ask = Callable[[Callable[[], Any]], Any]


class ChangedError(Exception):
    """The file is not what it was when it was read: somebody wrote it meanwhile."""


class Version(NamedTuple):
    """Content of a file, and what its store calls this version of it."""

    data: bytes
    tag: UpdateVersion | None = None


_TRIED = ".conditions"  # an object at the storage's root
# Of no object: ETags are longer hashes, and Google numbers versions by microseconds.
_NEVER_WRITTEN = Version(b"", {"e_tag": '"00000000000000000000000000000000"', "version": "7"})


class Swaps(ABC):
    """Conditional writes of small files below one root."""

    weakness = ""  # why two may both succeed, and what then; empty: they cannot
    locks = False  # whether :meth:`unmoved` keeps others out

    @abstractmethod
    def read(self, path: str) -> Version | None:
        """The file as it is now; None where there is none."""

    @abstractmethod
    def write(self, path: str, data: bytes, over: Version | None) -> Version:
        """Write if the file is still ``over`` (None: if there is none).

        Raises:
            ChangedError: If it is not.
        """

    def create(self, path: str, data: bytes) -> bool:
        """Write a file that is not there; False where there is one, which stays."""
        try:
            self.write(path, data, over=None)
        except ChangedError:
            return False
        return True

    def unmoved(self, path: str) -> AbstractContextManager[None]:
        """Block in which nobody else swaps the file, where the storage can promise that; else nothing."""
        return nullcontext()

    def proved(self) -> Swaps:
        """These, or weaker ones where a trial shows that the storage ignores conditions."""
        return self


class _FileSwaps(Swaps):
    """Swaps that compare by reading the file before they write it."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def read(self, path: str) -> Version | None:
        try:
            return Version(self._files.read_bytes(path))
        except FileNotFoundError:
            return None


class FolderSwaps(_FileSwaps):
    """Below a local folder, or one that machines share: by a lock beside the file.

    The operating system frees the lock of a killed process. That of a stopped one is not waited for for ever.
    ``ask`` is as for :class:`ObjectSwaps`.
    """

    locks = True

    def __init__(self, files: Files, ask: _Ask) -> None:
        super().__init__(files)
        self._ask = ask

    def write(self, path: str, data: bytes, over: Version | None) -> Version:
        with self.unmoved(path):
            if self.read(path) != (over and Version(over.data)):
                raise ChangedError(path)
            self._files.write_bytes(path, data)
        return Version(data)

    def create(self, path: str, data: bytes) -> bool:
        """By a hard link, which is refused where a file is: no lock stays beside each record."""
        return self._files.create_bytes(path, data)

    @contextmanager
    def unmoved(self, path: str) -> Generator[None]:
        target = self._files.local_file(path)
        assert target is not None, "of a local folder"
        self._ask(self._files.make_root)
        with self._ask(lambda: _locked(target)):
            yield


def _locked(target: Path) -> TextIO:
    """The lock beside ``target``, taken, with the name of this process in it; closing it gives it back."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as closing:
        lock = closing.enter_context((target.parent / f".{target.stem}.lock").open("a+"))
        _wait_for(lock.fileno(), target)
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        closing.pop_all()
    return lock


def refuse_without_locks(folder: Path) -> None:
    """See that files of a folder can be locked.

    Raises:
        StorageError: If its file system has no locks.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        _wait_for(file.fileno(), folder / "file")


def _wait_for(lock: int, target: Path) -> None:
    """Take a lock.

    Raises:
        StorageError: If somebody holds it for :data:`LOCK_SECONDS`: a stopped process, or a disk that hangs.
            Or the file system has no locks.
    """
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                who = os.pread(lock, 200, 0).decode(errors="replace") or "somebody"
                raise StorageError(
                    f"{target} is locked by {who} for {LOCK_SECONDS:.0f} s, and milliseconds are usual: that "
                    "process is stopped, or its disk does not answer. Let it go on or end it, then run again."
                ) from None
            time.sleep(_LOCK_PAUSE)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise StorageError(
                f"a storage lies where files can be locked, and those of {target.parent} cannot "
                f"({error.strerror}). Mount it with locks, or name another with --storage."
            ) from error
        else:
            return


class ObjectSwaps(Swaps):
    """In an object store that compares before it writes, through obstore.

    Args:
        client: The store's root, as obstore knows it.
        ask: Does a request, again while the store is away, and says in plain words what is wrong.
        otherwise: For a store that turns out to ignore conditions.
    """

    def __init__(self, client: Any, ask: _Ask, otherwise: Callable[[str], Swaps]) -> None:
        self._client, self._ask, self._otherwise = client, ask, otherwise
        self._proved: Swaps | None = None

    def read(self, path: str) -> Version | None:
        def get() -> Version | None:
            with _plain_errors():
                try:
                    answer = self._client.get(path)
                    return Version(bytes(answer.bytes()), _tag(answer.meta))
                except FileNotFoundError as error:
                    _refuse_no_bucket(error)
                    return None

        return self._ask(get)

    def write(self, path: str, data: bytes, over: Version | None) -> Version:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        def put() -> Version:
            with _plain_errors():
                try:
                    answer = self._client.put(path, data, mode="create" if over is None else over.tag)
                    return Version(data, _tag(answer))
                except (AlreadyExistsError, PreconditionError):
                    pass
                except FileNotFoundError as error:
                    _refuse_no_bucket(error)
            # A request whose answer was lost is sent again, and meets what it wrote itself.
            current = self.read(path)
            if current is None or current.data != data:
                raise ChangedError(path)
            return current

        return self._ask(put)

    def proved(self) -> Swaps:
        """Once for this object: see that a second creation and a write over another version are refused."""
        if self._proved is None:
            problem = self._problem()
            self._proved = self._otherwise(problem) if problem else self
        return self._proved

    def _problem(self) -> str:
        """Try this store's conditions on an object that stays; returns what is wrong, empty: nothing."""
        try:
            if (current := self.read(_TRIED)) is None:
                self.create(_TRIED, b"conditional writes are tried here")
                current = self.read(_TRIED)
            if self._goes_through(None):
                return "it overwrites an object in spite of If-None-Match"
            if current is None or current.tag is None or self._goes_through(_NEVER_WRITTEN):
                return "it overwrites an object in spite of If-Match"
        except _NotImplementedByStoreError as error:
            answer = textwrap.shorten(str(error), 200, placeholder=" …")
            return f"it does not know If-None-Match and If-Match: {answer}"
        return ""

    def _goes_through(self, over: Version | None) -> bool:
        try:
            self.write(_TRIED, secrets.token_hex(8).encode(), over)
        except ChangedError:
            return False
        return True


class ReadBackSwaps(_FileSwaps):
    """Writes of a storage without conditions: read back after a moment, so that the last of several stays."""

    def __init__(self, files: Files, why: str, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(files)
        self._sleep = sleep
        self.weakness = (
            f"this storage has no conditional writes ({why}). Two runs of a study that start within a second "
            "may both begin, and a late record of a run that was taken over may replace one. Start one run "
            "of a study at a time"
        )

    def write(self, path: str, data: bytes, over: Version | None) -> Version:
        if self.read(path) != (over and Version(over.data)):
            raise ChangedError(path)
        self._files.write_bytes(path, data)
        self._sleep(SETTLE_SECONDS)
        current = self.read(path)
        if current != Version(data):
            raise ChangedError(path)
        return Version(data)

    def create(self, path: str, data: bytes) -> bool:
        """Look, then write: nobody waits a second for each record."""
        if self.read(path) is not None:
            return False
        self._files.write_bytes(path, data)
        return True


class _NotImplementedByStoreError(StorageError):
    """A server answered that it does not know conditional requests."""


def _tag(answer: Any) -> UpdateVersion | None:
    """Name of a version: an ETag alone on S3 and Azure, and a number on Google's stores."""
    tag: UpdateVersion = {}
    for name in ("e_tag", "version"):
        if answer[name] is not None:
            tag[name] = answer[name]
    return tag or None


def _refuse_no_bucket(error: FileNotFoundError) -> None:
    text = str(error)
    if "NoSuchBucket" in text or "ContainerNotFound" in text or "bucket does not exist" in text:
        raise OSError(f"NO_SUCH_BUCKET {text}") from None


@contextmanager
def _plain_errors() -> Generator[None]:
    """obstore's errors as those of the operating system, which :class:`Files` puts into plain words."""
    from obstore import exceptions

    try:
        yield
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
        raise
    except (exceptions.BaseError, NotImplementedError) as error:
        text = " ".join(str(error).partition("\n\nDebug source")[0].split())
        if "501 Not Implemented" in text or isinstance(error, NotImplementedError):
            raise _NotImplementedByStoreError(text) from None
        if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
            text = f"ACCESS_DENIED {text}"
        raise OSError(text) from None
