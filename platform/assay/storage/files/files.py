"""Bytes under one root, wherever it lies: a folder, ``s3://…`` or any other pyarrow filesystem.

``Files`` knows paths and bytes only; :class:`~assay.storage.store.Store` adds the layout of the results.
A file is there whole or not at all: locally it is written beside its place and moved onto it, an object
store shows an object when its one upload is complete. Paths are relative, with ``/``; one that would leave
the root (``..``, absolute, or through a symbolic link) is refused.

Trade-off: no append and no listing by date, because object stores have neither.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs
from pydantic import JsonValue

from assay.storage.files import local_disk
from assay.storage.files.conditional import FolderSwaps, ObjectSwaps, ReadOnlySwaps, Swaps
from assay.storage.files.local_disk import KEPT, LocalRoot, RefusedFileError, address, named_folder
from assay.storage.files.object_client import KeysOutOfReachError, Patience, object_client, open_filesystem
from assay.storage.redaction import holds_credentials, redact, redact_values
from trainables.data.files.atomic import FULL, nearest, why_unusable
from trainables.errors import InputError, StorageAway, StorageError, StorageFull

__all__ = ["KEPT", "PATIENCE_SECONDS", "Files", "LinkError", "read_parquet"]

PATIENCE_SECONDS = 60.0  # of those who train: an object store may be away for so long

_T = TypeVar("_T")
_ONE_SLASH = re.compile(r"(s3|gs|gcs|abfss?|hdfs|https?):/(?!/)")
_OBJECT_STORES = {"s3", "gcs", "abfs"}  # have no folders to make first
_PROBE_BYTES = 1 << 16
_PAUSE_SECONDS = 1.0  # between two tries while a store is away; pyarrow's client tries for seconds itself
_NO_BUCKET = "Make it, or name another with --storage."
_NO_REGION = re.compile(r"Bucket '[^']*' not found")  # said where its region is looked up
_ANSWER_LENGTH = 400  # of what a store says: Hadoop's client names each place where it did not find Java
_TRIES = 10  # readings of an object that is replaced again and again
# The object became shorter after its size was asked for.
_REPLACED = re.compile("InvalidRange|HTTP status 416")
_DENIED = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT|INVALID_CLIENT_TOKEN|EXPIRED_TOKEN|UNAUTHORIZED"
    r"|HTTP status 40[13]",
    re.IGNORECASE,
)


class LinkError(InputError):
    """A path that leaves the storage through a symbolic link."""

    def __init__(self, path: str, storage: Path) -> None:
        super().__init__(f"{path!r} leaves the storage {storage} through a symbolic link. Remove the link.")
        self.path = path


class Files:
    """Read and write below one root.

    All methods raise :class:`StorageError` when the storage itself is in the way: full, read-only, away, no
    such bucket, wrong credentials.

    Args:
        uri: A local path, or a URI that pyarrow knows (``file://``, ``s3://``, ``gs://``, …).
        patience: Seconds for which a store that does not answer is asked again, counted for all who ask
            through this object or a copy of it.

    Raises:
        InputError: If the URI's scheme is unknown, it holds credentials, or the local root is a file.
        StorageError: If it has to be asked something to be opened, and does not answer.
    """

    def __init__(self, uri: str | Path, patience: float = 0.0) -> None:
        self._patience = Patience(patience)
        self._folder: LocalRoot | None = None
        self.local_path: Path | None = None
        text = address(uri)
        if _ONE_SLASH.match(text):
            raise InputError(f"a URI has two slashes after its colon, found {redact(text)}. Write them.")

        # A folder need not be there yet, but the nearest thing above it that is there has to be a folder.
        if "://" not in text or text.startswith("file:"):
            root = named_folder(text)
            if not os.path.isdir(existing := nearest(root)):
                raise InputError(f"storage is a folder, found the file {existing}. Name another folder.")
            self.local_path, self._folder = root, LocalRoot(root)
            self._fs, self._root = fs.LocalFileSystem(), root.as_posix()
            self.uri = root.as_posix()
            return
        if holds_credentials(text):  # the URI goes to every worker, and so into Ray's own files
            raise InputError(
                f"the URI of a storage holds no credentials, found {redact(text)}. Give them in the "
                "environment or a profile (for s3:// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)."
            )
        self.uri = text

        try:  # an S3 bucket without a region in its URI is asked for it: that may fail as any request may
            self._fs, self._root = self._ask(partial(open_filesystem, text))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InputError(
                f"storage is a local path or a URI that pyarrow can open, found {text}: {error}"
            ) from None

        # Without a bucket the first part of every path would be taken for one.
        if not self._root and self._fs.type_name in _OBJECT_STORES:
            raise InputError(
                f"the URI of an object store names a bucket, found {text}. Add it: {urlsplit(text).scheme}://BUCKET/FOLDER."
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.uri!r})"

    def patient(self, seconds: float) -> Self:
        """The same files, asked again for so long when the store does not answer."""
        return type(self)(self.uri, seconds)

    # Trouble -----------------------------------------------------------------------------------------

    def _ask(self, action: Callable[[], _T]) -> _T:
        """Do ``action``, again and again while an object store is away; its errors in plain words."""
        # Only a store that is away is asked again. An answer such as "no such file" shows that it is there,
        # and renews the patience; a full disk or refused credentials do not mend themselves.
        began = time.monotonic()
        while True:
            try:
                answer = action()
            except StorageError:
                raise
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                self._patience.renew()
                raise
            except OSError as error:
                why = self._why(error)
                if why is None:
                    raise
                if not isinstance(why, StorageAway) or self._patience.is_over(began):
                    raise why from error
            else:
                self._patience.renew()
                return answer
            time.sleep(_PAUSE_SECONDS)

    def _why(self, error: OSError) -> StorageError | None:
        """Name what is wrong with the storage and what to do; None: nothing is."""
        if self.local_path is not None:
            why = why_unusable(error, self.local_path)
            if why is None:
                return None
            if error.errno in FULL:
                room = "Free some space there (`assay clean` lists what no result needs)"
                return StorageFull(f"the storage {self.local_path} {why}. {room}. {KEPT}")
            return StorageError(
                f"the storage {self.local_path} {why}. Mend that, or name another with --storage. {KEPT}"
            )

        # A store in the network is known by its words alone: pyarrow passes its answer on as a sentence.
        text = redact(str(error))
        if "NO_SUCH_BUCKET" in text or _NO_REGION.search(text):
            return StorageError(f"the storage {self.uri} names a bucket that does not exist. {_NO_BUCKET}")
        said = textwrap.shorten(text, _ANSWER_LENGTH, placeholder=" …")
        if _DENIED.search(text):
            return StorageError(
                f"the storage {self.uri} refuses these credentials ({said}). Set AWS_ACCESS_KEY_ID and "
                f"AWS_SECRET_ACCESS_KEY (or a profile) here and on every node of a cluster. {KEPT}"
            )
        return StorageAway(f"the storage {self.uri} does not answer ({said}). {KEPT}")

    def _info(self, full: str) -> fs.FileInfo:
        def ask() -> fs.FileInfo:
            return self._fs.get_file_info(full)

        return self._ask(ask)

    def _below(self, selector: fs.FileSelector) -> Sequence[fs.FileInfo]:
        def ask() -> Sequence[fs.FileInfo]:
            return self._fs.get_file_info(selector)

        return self._ask(ask)

    # Paths -------------------------------------------------------------------------------------------

    def _full(self, path: str, itself: bool = False) -> str:
        """The whole path; ``itself``: of a symbolic link the link, which lies here wherever it leads."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
            raise InputError(f"a path of the storage is relative and stays below its root, found {path!r}.")
        full = "/".join([self._root, *parts])

        # Whoever removes or moves a link touches what lies here. Only reading and writing would follow it.
        followed = parts[:-1] if itself else parts
        if self.local_path is not None and not local_disk.stays_below(self._root, followed):
            raise LinkError(path, self.local_path)
        return full

    def local_file(self, path: str) -> Path | None:
        """``path`` as a file of this machine, or None when the storage is not local."""
        return None if self.local_path is None else Path(self._full(path))

    def linked(self, path: str) -> bool:
        """True where ``path``, or a folder above it, is a symbolic link."""
        return self.local_path is not None and local_disk.linked(self._root, PurePosixPath(path).parts)

    # Bytes -------------------------------------------------------------------------------------------

    def read_bytes(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: If there is none.
        """
        full = self._full(path)
        if self.local_path is not None:
            try:
                with open(full, "rb", buffering=0) as file:
                    return file.read()
            except OSError as error:
                if not RefusedFileError.fits(error):
                    raise
                raise RefusedFileError(str(self._why(error) or error)) from error

        # An object may be replaced between the request for its size and that for its bytes: such a reading is
        # thrown away.
        def read() -> bytes:
            for _ in range(_TRIES):
                if (data := self._read_object(full)) is not None:
                    return data
            raise OSError(f"{path} was replaced during each of {_TRIES} readings")

        return self._ask(read)

    def _read_object(self, full: str) -> bytes | None:
        """An object's bytes; None if it was replaced between the requests of this reading.

        pyarrow asks for the size and then for so many bytes: of a longer object that came meanwhile it would
        get a part, of a shorter one an error. So the version (an ETag, where there is one) is asked again. An
        object that was replaced by another and by its like within one reading is not noticed.
        """
        with self._fs.open_input_file(full) as file:  # one GET, where a stream asks for 256 KB each
            version = file.metadata()
            try:
                data = file.read()
            except OSError as error:
                if _REPLACED.search(str(error)):
                    return None
                raise

        # It is opened once more to compare versions: an object that was replaced in between would give the
        # beginning of one and the end of another.
        with self._fs.open_input_file(full) as file:
            return data if file.metadata() == version else None

    def write_bytes(self, path: str, data: bytes) -> str:
        """Write a file whole or not at all, over an older one if there is one.

        Returns:
            The sha256 of ``data``, hex.
        """
        full = self._full(path)

        # A folder gets the file by a rename, and an object store shows an object when its stream is closed:
        # no reader sees half of either.
        def write() -> None:
            if self._folder is not None:
                self._folder.make()
                local_disk.replace(Path(full), data)
                return
            # Object stores have no folders to make; asking them costs a request.
            if self._fs.type_name not in _OBJECT_STORES:
                self._fs.create_dir(full.rpartition("/")[0], recursive=True)
            with self._fs.open_output_stream(full) as stream:
                stream.write(data)

        self._ask(write)
        return hashlib.sha256(data).hexdigest()

    def create_bytes(self, path: str, data: bytes) -> bool:
        """Write a file of a local folder if there is none; False where there is one, which stays."""
        folder, full = self._folder, Path(self._full(path))
        assert folder is not None, "object stores create through `swaps`"

        def create() -> bool:
            folder.make()
            return local_disk.create(full, data)

        return self._ask(create)

    @cached_property
    def swaps(self) -> Swaps:
        """Writes of small files that happen only if nobody wrote them meanwhile."""
        if self.local_path is not None:
            return FolderSwaps(self, self._ask)
        kind = self._fs.type_name

        # A store without conditional writes can be read, and refuses every run.
        if kind not in _OBJECT_STORES:
            return ReadOnlySwaps(self, f"{kind} offers none")
        try:
            client = object_client(kind, self.uri, self._root, getattr(self._fs, "region", None))
        except KeysOutOfReachError as error:
            return ReadOnlySwaps(self, str(error))
        return ObjectSwaps(client, self._ask)

    def refuse_if_gone(self) -> None:
        """See that a folder that was there still is; no other store is asked.

        Raises:
            GoneError: If it was moved, deleted or unmounted.
        """
        if self._folder is not None:
            self._folder.refuse_if_gone()

    def make_root(self) -> None:
        """Make the folder of a local storage, unless there was one; no other store is asked.

        Raises:
            GoneError: If there was one, and it was moved, deleted or unmounted.
            StorageError: If no folder can be made there.
        """
        if self._folder is not None:
            self._folder.make()

    # Formats -----------------------------------------------------------------------------------------

    def write_json(self, path: str, value: JsonValue | Mapping[str, Any]) -> str:
        """Write a JSON value with sorted keys, credentials of URIs removed; returns the sha256."""
        return self.write_bytes(path, json_bytes(value))

    def read_table(self, path: str) -> pa.Table:
        """Read a Parquet file."""
        return read_parquet(self.read_bytes(path))

    def write_table(self, path: str, table: pa.Table) -> str:
        """Write a Parquet file (zstd); returns the sha256."""
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        return self.write_bytes(path, sink.getvalue())

    # Folders -----------------------------------------------------------------------------------------

    def exists(self, path: str) -> bool:
        """True where there is a file or folder at ``path``."""
        full = self._full(path)
        return self._info(full).type != fs.FileType.NotFound

    def list(self, path: str = "") -> list[str]:
        """Names in a folder, sorted; folders end with ``/``. Empty when there is no such folder."""
        full = self._full(path)
        if self.local_path is not None:  # thousands of trials: an object for each takes five times as long
            return self._ask(lambda: local_disk.names(full))
        infos = self._below(fs.FileSelector(full, allow_not_found=True))
        return sorted(i.base_name + ("/" if i.type == fs.FileType.Directory else "") for i in infos)

    def folders(self, path: str) -> list[str]:
        """Names of the folders in a folder, sorted, without symbolic links: they may lead anywhere."""
        if self.local_path is None:
            return [name.removesuffix("/") for name in self.list(path) if name.endswith("/")]
        full = self._full(path)
        return self._ask(lambda: local_disk.folders(full))

    def stamp(self, path: str) -> tuple[int, int] | None:
        """Time (ns) and bytes of a file: others after each writing. None: there is no such file."""
        info = self._info(self._full(path))
        return None if info.type == fs.FileType.NotFound else (info.mtime_ns or 0, info.size or 0)

    def size(self, path: str) -> int:
        """Bytes of a file, or of all files below a folder; 0 when there is none."""
        full = self._full(path)
        if self.local_path is not None:
            return self._ask(lambda: local_disk.size_below(full))
        info = self._info(full)
        if info.type == fs.FileType.NotFound:
            return 0
        if info.type == fs.FileType.File:
            return info.size
        below = self._below(fs.FileSelector(full, recursive=True))
        return sum(i.size for i in below if i.type == fs.FileType.File)

    def sizes(self, folder: str, names: Iterable[str]) -> dict[str, int]:
        """Bytes of some files below a folder; 0 for one that is gone. One request, whatever their number."""
        full = self._full(folder)
        if self.local_path is not None:
            return {name: local_disk.size(f"{full}/{name}") for name in names}
        below = self._below(fs.FileSelector(full, recursive=True, allow_not_found=True))
        sizes = {info.path.removeprefix(f"{full}/"): info.size or 0 for info in below}
        return {name: sizes.get(name, 0) for name in names}

    def delete_tree(self, path: str) -> None:
        """Remove a file, or a folder with all in it; nothing happens when there is none."""
        if not PurePosixPath(path).parts:
            raise InputError(f"the root of the storage ({self.uri}) is not deleted by this program.")
        full = self._full(path, itself=True)

        def delete() -> None:
            if self.local_path is not None:
                local_disk.remove(Path(full))
                return
            match self._fs.get_file_info(full).type:
                case fs.FileType.Directory:  # its own files first: a record goes before what it names
                    for info in self._fs.get_file_info(fs.FileSelector(full)):
                        if info.type == fs.FileType.File:
                            self._fs.delete_file(info.path)
                    self._fs.delete_dir(full)
                case fs.FileType.File:
                    self._fs.delete_file(full)
                case _:
                    pass

        self._ask(delete)

    def move(self, path: str, target: str) -> None:
        """Move a file, or a folder with all in it, to a place where nothing lies.

        An object store has no such step: objects are copied one by one, those of the folder itself first, and
        each is deleted when its copy is there.
        """
        full, new = self._full(path, itself=True), self._full(target)

        def move_all() -> None:
            if self.local_path is not None:
                local_disk.move(Path(full), Path(new))
                return
            if self._fs.get_file_info(full).type == fs.FileType.File:
                self._fs.move(full, new)
                return
            infos = self._fs.get_file_info(fs.FileSelector(full, recursive=True, allow_not_found=True))
            files = [(info.path.count("/"), info.path) for info in infos if info.type == fs.FileType.File]
            for _, file in sorted(files):
                self._fs.move(file, f"{new}{file.removeprefix(full)}")
            self._fs.delete_dir(full)

        self._ask(move_all)

    def probe(self) -> None:
        """Write something and take it away again.

        Raises:
            StorageError: If that cannot be done now.
        """
        name = f".probe-{secrets.token_hex(8)}"
        Files.write_bytes(self, name, bytes(_PROBE_BYTES))  # no more: a look at a storage begins none
        self.delete_tree(name)

    def require_root(self) -> None:
        """See that the bucket exists: an object store lists a wrong one as if it were empty.

        Raises:
            StorageError: If it does not.
        """
        bucket = self._root.split("/")[0]
        if self.local_path is None and self._fs.type_name in _OBJECT_STORES and bucket:
            info = self._info(bucket)
            if info.type == fs.FileType.NotFound:
                raise StorageError(f"the storage {self.uri} names a bucket that does not exist. {_NO_BUCKET}")


def json_bytes(value: Any) -> bytes:
    """Canonical JSON: sorted keys, one value a line, floats as they are, no credentials."""
    import json

    plain = redact_values(value)
    return json.dumps(plain, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False).encode()


def read_parquet(data: bytes) -> pa.Table:
    """The table of a Parquet file.

    Raises:
        OSError: If it cannot be read as such.
        pa.ArrowException: The same, by what Arrow finds.
    """
    return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
