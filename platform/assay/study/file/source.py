"""Places of settings in the study file, so that every message can name line and column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from trainables.errors import InputError

__all__ = ["KeyPath", "Source", "StudyProblem", "dotted", "refuse"]

KeyPath = tuple[str | int, ...]  # keys and list positions from the top of the file


@dataclass(frozen=True)
class Source:
    """The text a study was read from. All sources compare equal: they say nothing about the question."""

    origin: str = field(default="the study", compare=False)  # the file's name as the user gave it
    text: str = field(default="", compare=False, repr=False)
    marks: Mapping[KeyPath, tuple[int, int]] = field(default_factory=dict, compare=False, repr=False)

    def mark(self, path: KeyPath) -> tuple[int, int] | None:
        """Line and column of a key, or of its nearest parent in the file."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path)

    def where(self, path: KeyPath) -> str:
        """``study.yaml:12:5: repeats.seeds``; the line of the nearest parent where the key is absent."""
        mark = self.mark(path)
        place = f"{self.origin}:{mark[0]}:{mark[1]}" if mark else self.origin
        return f"{place}: {dotted(path)}" if path else place


@dataclass(frozen=True)
class StudyProblem:
    """One rule that the study breaks."""

    path: KeyPath
    message: str


def dotted(path: KeyPath) -> str:
    """Write ``("design", "rows", 0, "stop")`` as ``design.rows[0].stop``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def refuse(source: Source, problems: Iterable[StudyProblem]) -> None:
    """Raise one error that names all problems, in the order of the file; nothing if there is none.

    Raises:
        InputError: If there is any problem.
    """
    distinct = dict.fromkeys(problems)  # the same mistake seen from several cells is one mistake
    if not distinct:
        return
    ordered = sorted(distinct, key=lambda problem: source.mark(problem.path) or (0, 0))
    lines = [f"{source.where(problem.path)}: {problem.message}" for problem in ordered]
    raise InputError("\n".join(lines))
