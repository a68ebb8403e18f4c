"""A disk that is written down: each thing that is asked of it, and what a power cut may leave of that.

:class:`RecordedDisk` notes the calls of ``os`` below a folder, in their order, and lets them through.
:func:`after_power_cut` gives the trees that may be there when the power goes after some of them: what was
forced to disk is there. Of the rest each change of a folder (a new file, a move, a deletion) is there or not,
whatever came before or after it, and content that was not forced to disk is whole, half or empty.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

__all__ = ["Call", "RecordedDisk", "Tree", "after_power_cut", "tree_of"]

Tree = Mapping[str, bytes | None]  # path below the folder → content; None: a folder
_ALL_SUBSETS = 5  # of more changes that are under way, not all combinations are tried
_PARTS = (lambda data: data, lambda data: data[: len(data) // 2], lambda data: b"")


class Call(NamedTuple):
    """Something that was asked of the disk."""

    kind: str  # mkdir, create, write, sync, sync folder, rename, link, unlink, rmdir; or a note
    path: str = ""
    to: str = ""
    inode: int = -1  # number of the file
    data: bytes = b""


class RecordedDisk:
    """Notes what is asked of the disk below ``base``, which exists."""

    def __init__(self, base: Path, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[Call] = []
        self._base = f"{base.resolve()}/"
        self._files: dict[str, int] = {}  # path → number, as of now
        self._open: dict[int, Call] = {}  # descriptor → what it was opened for
        self._inodes = 0
        for name in ("mkdir", "rmdir", "unlink"):
            self._wrap(patch, name, lambda kind, path: self.calls.append(Call(kind, path)))
        for name, kind in {"rename": "rename", "replace": "rename", "link": "link"}.items():
            self._wrap_two(patch, name, kind)
        self._wrap_descriptors(patch)

    def note(self, kind: str, path: str) -> None:
        """Note something that is no call: a promise from here on."""
        self.calls.append(Call(kind, path))

    def _below(self, path: Any) -> str | None:
        text = os.path.abspath(os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else ""
        if f"{text}/" == self._base:
            return "."
        return text.removeprefix(self._base) if text.startswith(self._base) else None

    def _wrap(self, patch: pytest.MonkeyPatch, name: str, add: Callable[[str, str], None]) -> None:
        real = getattr(os, name)

        def wrapped(path: Any, *arguments: Any, **options: Any) -> Any:
            result = real(path, *arguments, **options)
            below = self._below(path)
            if below is not None:
                add(name, below)
            return result

        patch.setattr(os, name, wrapped)

    def _wrap_two(self, patch: pytest.MonkeyPatch, name: str, kind: str) -> None:
        real = getattr(os, name)

        def wrapped(path: Any, to: Any, **options: Any) -> Any:
            result = real(path, to, **options)
            source, target = self._below(path), self._below(to)
            if source is not None and target is not None:
                inode = self._files.get(source, -1)
                self._files[target] = inode
                self.calls.append(Call(kind, source, target, inode))
            return result

        patch.setattr(os, name, wrapped)

    def _wrap_descriptors(self, patch: pytest.MonkeyPatch) -> None:
        real_open, real_write, real_sync, real_close = os.open, os.write, os.fsync, os.close

        def opened(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            descriptor = real_open(path, flags, *arguments, **options)
            below = self._below(path)
            if below is not None:
                if flags & os.O_CREAT:
                    self._inodes += 1
                    self._files[below] = self._inodes
                    self.calls.append(Call("create", below, inode=self._inodes))
                self._open[descriptor] = Call("open", below, inode=self._files.get(below, -1))
            return descriptor

        def written(descriptor: int, data: Any) -> int:
            count = real_write(descriptor, data)
            if descriptor in self._open:
                inode = self._open[descriptor].inode
                self.calls.append(Call("write", inode=inode, data=bytes(data[:count])))
            return count

        def synced(descriptor: int) -> None:
            real_sync(descriptor)
            if descriptor in self._open:
                _, path, _, inode, _ = self._open[descriptor]
                kind = "sync" if inode >= 0 else "sync folder"
                self.calls.append(Call(kind, path, inode=inode))

        def closed(descriptor: int) -> None:
            self._open.pop(descriptor, None)
            real_close(descriptor)

        for name, function in {"open": opened, "write": written, "fsync": synced, "close": closed}.items():
            patch.setattr(os, name, function)


def after_power_cut(calls: Sequence[Call]) -> Iterator[Tree]:
    """The trees that may lie below the base when the power goes after these calls."""
    changes = [call for call in calls if call.kind in _CHANGES]
    certain = _certain(calls)
    open_ = [index for index, call in enumerate(changes) if id(call) not in certain]
    upcoming, unsynced = _contents(calls)
    parts = _PARTS if unsynced else _PARTS[:1]
    for lost in _subsets(open_):
        places = _applied(change for index, change in enumerate(changes) if index not in lost)
        for part in parts:
            yield {
                path: None if inode < 0 else part(upcoming[inode]) if inode in unsynced else upcoming[inode]
                for path, inode in places.items()
            }


def tree_of(base: Path) -> Tree:
    """What lies below a folder, hidden files apart."""
    paths = [path for path in base.rglob("*") if not path.name.startswith(".")]
    return {p.relative_to(base).as_posix(): p.read_bytes() if p.is_file() else None for p in paths}


_CHANGES = {"mkdir", "create", "rename", "link", "unlink", "rmdir"}


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "."


def _certain(calls: Sequence[Call]) -> set[int]:
    """Changes whose folder was forced to disk after them."""
    certain: set[int] = set()
    under_way: dict[str, list[Call]] = {}
    for call in calls:
        if call.kind in _CHANGES:
            under_way.setdefault(_folder(call.to or call.path), []).append(call)
        elif call.kind == "sync folder":
            certain.update(map(id, under_way.pop(call.path, [])))
    return certain


def _contents(calls: Sequence[Call]) -> tuple[dict[int, bytes], set[int]]:
    """Content of each file by its number, and the files of which some was not forced to disk."""
    upcoming: dict[int, bytes] = {}
    unsynced: set[int] = set()
    for call in calls:
        if call.kind == "create":
            upcoming[call.inode] = b""
        elif call.kind == "write":
            upcoming[call.inode] += call.data
            unsynced.add(call.inode)
        elif call.kind == "sync":
            unsynced.discard(call.inode)
    return upcoming, unsynced


def _subsets(changes: Sequence[int]) -> list[set[int]]:
    """Which changes are lost: all combinations of a few; of many all, none, each alone, all but each."""
    if len(changes) <= _ALL_SUBSETS:
        chosen = product((False, True), repeat=len(changes))
        return [{change for change, lost in zip(changes, each, strict=True) if lost} for each in chosen]
    whole = set(changes)
    return [set(), whole, *({change} for change in changes), *(whole - {change} for change in changes)]


def _applied(changes: Iterator[Call]) -> dict[str, int]:
    """Path → number of the file (−1: a folder) when these changes were made, as far as each can be."""
    places = {".": -1}
    for call in changes:
        target = call.to or call.path
        if _folder(target) not in places:
            continue  # the folder above was lost
        if call.kind == "mkdir":
            places[target] = -1
        elif call.kind in {"create", "link"}:
            places[target] = call.inode
        elif call.kind == "rename" and call.inode >= 0:
            places.pop(call.path, None)
            places[target] = call.inode
        elif call.kind == "rename":
            moved = {p: i for p, i in places.items() if p == call.path or p.startswith(f"{call.path}/")}
            for path, inode in moved.items():
                del places[path]
                places[target + path.removeprefix(call.path)] = inode
        elif call.kind == "unlink" or not any(path.startswith(f"{target}/") for path in places):
            places.pop(target, None)
    del places["."]
    return places
