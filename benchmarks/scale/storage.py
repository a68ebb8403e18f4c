"""An object store in memory that counts the requests which S3's client would send.

The program's own ``Store`` above it, and conditional writes through obstore, are as they are. What each of
the few steps below costs is that of pyarrow's client on a real server (compared, request for
request, by ``tests/storage/test_counted_store.py``).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from math import ceil
from typing import Any, Self, TypeVar

from obstore.store import MemoryStore

from assay.storage import Store
from assay.storage.files.conditional import ObjectSwaps
from assay.storage.store import READERS

__all__ = ["KINDS", "PAGE", "CountedStore"]

KINDS = ("PUT", "conditional PUT", "LIST", "GET", "HEAD", "DELETE")
PAGE = 1000  # keys that a listing answers at once
_T = TypeVar("_T")
_R = TypeVar("_R")
_FOLDERS = "/"  # ends the key of the empty object that pyarrow leaves in place of a folder


class CountedStore(Store):
    """A store of its own; ``requests`` has the number of each kind so far.

    Args:
        pause: Called before each request with the share of its time that passes: of several that are sent
            at a time each takes a part.
        objects: Those of another store.
    """

    def __init__(
        self, pause: Callable[[float], None] = lambda share: None, objects: MemoryStore | None = None
    ) -> None:
        self.local_path = self._folder = None
        self.uri = "s3://counted"
        self.requests: Counter[str] = Counter()
        self._objects, self._pause, self._share = objects or MemoryStore(), pause, 1.0
        client = _CountedClient(self._objects, self.count)
        self.__dict__["swaps"] = ObjectSwaps(client, lambda action: action())

    def of_another(self) -> CountedStore:
        """The same objects as another process asks for them, with a count of its own."""
        return CountedStore(self._pause, self._objects)

    def patient(self, seconds: float) -> Self:
        """The same store, which always answers."""
        return self

    def each(self, ask: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
        """One after the other: so many at a time take a share of the time each."""
        self._share = 1 / READERS
        try:
            return [ask(item) for item in items]
        finally:
            self._share = 1.0

    def count(self, *kinds: str) -> None:
        """Note requests that are sent now."""
        for kind in kinds:
            self._pause(self._share)
            self.requests[kind] += 1

    def lay(self, path: str, data: bytes) -> None:
        """Write an object that nobody counts."""
        self._objects.put(path, data)

    def read_bytes(self, path: str) -> bytes:
        self.count("HEAD")
        data = bytes(self._objects.get(path).bytes())
        self.count("GET", "HEAD")
        return data

    def write_bytes(self, path: str, data: bytes) -> str:
        self.state_format()
        self.count("PUT")
        self._objects.put(path, data)
        return hashlib.sha256(data).hexdigest()

    def exists(self, path: str) -> bool:
        self.count("HEAD")
        if self._is_object(path):
            return True
        self.count("LIST")
        return bool(self._names(path))

    def list(self, path: str = "") -> list[str]:
        names = self._names(path)
        self.count(*["LIST"] * max(1, ceil(len(names) / PAGE)))
        return sorted(names)

    def stamp(self, path: str) -> tuple[int, int] | None:
        self.count("HEAD")
        try:
            head = self._objects.head(path)
        except FileNotFoundError:
            return None
        return int(head["last_modified"].timestamp() * 1e9), head["size"]

    def sizes(self, folder: str, names: Iterable[str]) -> dict[str, int]:
        self.count("LIST")
        below = (entry for page in self._objects.list(f"{folder}/") for entry in page)
        sizes = {entry["path"].removeprefix(f"{folder}/"): entry["size"] for entry in below}
        return {name: sizes.get(name, 0) for name in names}

    def delete_tree(self, path: str) -> None:
        if not self._is_object(path):
            self.count("HEAD", "LIST")
            names = self._names(path)
            if not names:
                return
            files = [f"{path}/{name}" for name in names if not name.endswith(_FOLDERS)]
            self.count("LIST", *["HEAD", "DELETE", "PUT"] * len(files))
            self.count(
                "HEAD", "LIST", "PUT", "DELETE", "PUT"
            )  # the folders below, with one request to delete
            self._objects.delete([entry["path"] for page in self._objects.list(f"{path}/") for entry in page])
            return
        self.count("HEAD", "HEAD", "DELETE", "PUT")
        self._objects.delete(path)

    def _is_object(self, path: str) -> bool:
        try:
            self._objects.head(path)
        except FileNotFoundError:
            return False
        return True

    def _names(self, path: str) -> list[str]:
        below = self._objects.list_with_delimiter(f"{path}/" if path else None)
        files = (entry["path"].rpartition("/")[2] for entry in below["objects"])
        return [*files, *(f"{folder.rpartition('/')[2]}/" for folder in below["common_prefixes"])]


class _CountedClient:
    """obstore's client of the same objects."""

    def __init__(self, objects: MemoryStore, count: Callable[..., None]) -> None:
        self._objects, self._count = objects, count

    def get(self, path: str) -> Any:
        self._count("GET")
        return self._objects.get(path)

    def put(self, path: str, data: bytes, mode: Any) -> Any:
        self._count("conditional PUT")
        return self._objects.put(path, data, mode=mode)
