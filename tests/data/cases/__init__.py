"""Folders and tables as factories have them: the table of docs/data.md, and its tests.

Each module of this package has ``CASES``, a tuple of ``Case``. The first line of its docstring is the
heading of its part of the table. ``python -m tests.data.cases`` writes the table, and makes and counts all
cases with ``--count``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from tests.data.cases.case import Case

__all__ = ["CASES", "HEADING", "PAGE", "TITLED", "table"]

PAGE = Path(__file__).parents[3] / "docs" / "data.md"
HEADING = "## What is read, warned of and refused\n"
_INTRODUCTION = """
Every line is a test: files are made as the first column says, and `assay data check`, or `assay init` where
the layout is to be found, prints what stands in the second. *Read* is without a warning, *warned* goes on,
*refused* ends with exit code 2.
"""


def _titled() -> Mapping[str, tuple[Case, ...]]:
    """Cases of each module, by the first line of its docstring."""
    titled: dict[str, tuple[Case, ...]] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem not in ("__init__", "__main__", "case"):
            module = import_module(f"{__name__}.{path.stem}")
            titled[(module.__doc__ or path.stem).partition("\n")[0].rstrip(".")] = module.CASES
    return titled


TITLED = _titled()
CASES = tuple(case for cases in TITLED.values() for case in cases)


def table() -> str:
    """The section of the page: a heading, an introduction and a table for each module."""
    parts = [HEADING, _INTRODUCTION]
    for title, cases in TITLED.items():
        rows = "".join(f"| {case.name} | {_what_happens(case)} |\n" for case in cases)
        parts.append(f"\n### {title}\n\n| case | what happens |\n|---|---|\n{rows}")
    return "".join(parts)


def _what_happens(case: Case) -> str:
    text = case.says[0].replace("|", r"\|").replace("\n", " ").strip() if case.says else ""
    return f"{case.outcome}: {text}" if text else case.outcome


def written(page: str) -> str:
    """``page`` with the section as :func:`table` has it, in its place or at the end."""
    before, heading, after = page.partition(HEADING)
    rest = after.partition("\n## ")
    following = "".join(rest[1:]) if rest[1] else ""
    return f"{before if heading else before.rstrip() + chr(10) * 2}{table()}{following}"
