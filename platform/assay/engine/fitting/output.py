"""Printed lines of a method, however many: the first and the last are kept."""

from __future__ import annotations

from collections import deque

__all__ = ["Output"]

_KEPT = 32 * 2**10  # bytes from the start, and as many from the end


class Output:
    """First and last bytes of what a process prints."""

    def __init__(self) -> None:
        self.size = 0  # bytes in all
        self._first = bytearray()
        self._last: deque[bytes] = deque()
        self._held = 0

    def add(self, data: bytes) -> None:
        """Take in what was printed next."""
        self.size += len(data)
        room = _KEPT - len(self._first)
        self._first += data[:room]
        if rest := data[room:] if room > 0 else data:
            self._last.append(rest[-_KEPT:])
            self._held += len(self._last[-1])
            while self._held - len(self._last[0]) >= _KEPT:
                self._held -= len(self._last.popleft())

    def text(self) -> str:
        """The bytes that were kept, as text, with a line on how many were left out."""
        last = b"".join(self._last)[-_KEPT:]
        parts = [bytes(self._first)]
        if last:
            left_out = self.size - len(self._first) - len(last)
            parts += [f"\n[{left_out:,} bytes left out]\n".encode()] if left_out else []
            parts.append(last)
        return b"".join(parts).decode(errors="replace").strip("\n")
