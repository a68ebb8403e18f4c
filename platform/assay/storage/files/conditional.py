"""Writing a small file only if nobody wrote it meanwhile: compare-and-swap, on folders and object stores.

>>> current = swaps.read("studies/s/lease.json")
>>> swaps.write("studies/s/lease.json", b"mine", over=current)  # ChangedError: somebody was faster

A folder has a lock beside the file. S3, Google's and Azure's stores compare for us (``If-None-Match``,
``If-Match``, generations): pyarrow has no such call, so these requests go through obstore. A storage that has
neither can be read, and holds no lease: two runs could replace each other's results there.
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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TextIO

from trainables.data.files.atomic import NO_LOCKS
from trainables.errors import StorageError

if TYPE_CHECKING:
    from obstore import UpdateVersion

__all__ = [
    "ChangedError",
    "FolderSwaps",
    "ObjectSwaps",
    "ReadOnlySwaps",
    "Swaps",
    "Version",
    "refuse_without_locks",
]

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

    @abstractmethod
    def prove(self) -> None:
        """See that two writers of one version cannot both succeed.

        Raises:
            StorageError: If they can: the storage has no conditional writes, or ignores them.
        """


class SmallFiles(Protocol):
    """Files that swaps read and write: those of a :class:`~assay.storage.files.files.Files`."""

    def read_bytes(self, path: str) -> bytes: ...
    def write_bytes(self, path: str, data: bytes) -> str: ...
    def create_bytes(self, path: str, data: bytes) -> bool: ...
    def local_file(self, path: str) -> Path | None: ...
    def make_root(self) -> None: ...


class _FileSwaps(Swaps):
    """Swaps that read the file as any other."""

    def __init__(self, files: SmallFiles) -> None:
        self._files = files

    def read(self, path: str) -> Version | None:
        try:
            return Version(self._files.read_bytes(path))
        except FileNotFoundError:
            return None


class FolderSwaps(_FileSwaps):
    """Swaps below a local folder, or one that machines share, by a lock beside the file.

    The operating system frees the lock of a killed process. That of a stopped one is not waited for for ever.
    ``ask`` is as for :class:`ObjectSwaps`.
    """

    def __init__(self, files: SmallFiles, ask: _Ask) -> None:
        super().__init__(files)
        self._ask = ask

    def prove(self) -> None:
        """Try nothing: a folder whose files cannot be locked says so at the first write."""

    def write(self, path: str, data: bytes, over: Version | None) -> Version:
        # For all who swap, comparing and writing are one step under the lock. Readers need none: they see the
        # old file or the new one.
        with self.locked(path):
            if self.read(path) != (over and Version(over.data)):
                raise ChangedError(path)
            self._files.write_bytes(path, data)
        return Version(data)

    def create(self, path: str, data: bytes) -> bool:
        """Create the file by a hard link, which is refused where one is: no lock stays beside each record."""
        return self._files.create_bytes(path, data)

    @contextmanager
    def locked(self, path: str) -> Generator[None]:
        """Keep all others from swapping the file for the length of a ``with`` block."""
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

        # From here on the lock is the caller's to close.
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
    # The lock is tried again and again: a wait in the kernel could last for ever, and would not say for whom.
    # The holder has written its name into the file.
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
    """Conditional writes in an object store that compares before it writes, through obstore.

    Args:
        client: The store's root, as obstore knows it.
        ask: Does a request, again while the store is away, and says in plain words what is wrong.
    """

    def __init__(self, client: Any, ask: _Ask) -> None:
        self._client, self._ask = client, ask
        self._proved = False

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

    def prove(self) -> None:
        """Try once that a second creation and a write over another version are refused.

        Raises:
            StorageError: If they go through.
        """
        if not self._proved:
            if problem := self._problem():
                raise _no_conditions(problem)
            self._proved = True

    def _problem(self) -> str:
        """Try this store's conditions on an object that stays; returns what is wrong, empty: nothing."""
        try:
            # A store that ignores conditions answers with success, so each is tried where it must fail:
            # creating over an object that is there, and replacing a version that never was.
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


class ReadOnlySwaps(_FileSwaps):
    """Reads files of a storage without conditional writes, and writes none under a condition.

    Args:
        files: Of the storage.
        why: It has none, for the refusal.
    """

    def __init__(self, files: SmallFiles, why: str) -> None:
        super().__init__(files)
        self._why = why

    def prove(self) -> None:
        """Refuse the storage.

        Raises:
            StorageError: Always.
        """
        raise _no_conditions(self._why)

    def write(self, path: str, data: bytes, over: Version | None) -> Version:
        """Refuse to write; see :meth:`prove`."""
        raise _no_conditions(self._why)


def _no_conditions(why: str) -> StorageError:
    return StorageError(
        f"a study is run into a storage with conditional writes, so that two runs cannot replace each "
        f"other's results, and this one has none: {why}. Name a folder, or a bucket of S3, Google or Azure, "
        "with --storage."
    )


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
        # obstore's text has pages of debugging behind a mark. What a user is told depends on a few words of
        # the rest.
        text = " ".join(str(error).partition("\n\nDebug source")[0].split())
        if "501 Not Implemented" in text or isinstance(error, NotImplementedError):
            raise _NotImplementedByStoreError(text) from None
        if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
            text = f"ACCESS_DENIED {text}"
        raise OSError(text) from None
