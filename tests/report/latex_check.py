"""A check of LaTeX that needs no TeX, for documents as reports write them."""

from __future__ import annotations

import re

__all__ = ["latex_problems"]

_COMMENT = re.compile(r"(?<!\\)%.*")
_ENVIRONMENT = re.compile(r"\\(begin|end)\{(\w+\*?)\}")
_MATHS = re.compile(r"\$[^$]+\$")
_FILE = re.compile(r"\\includegraphics\[[^\]]*\]\{[^}]*\}")
_ESCAPED = re.compile(r"\\[{}$&#%_]")


def latex_problems(text: str) -> list[str]:
    """Everything that would stop a compiler, in words; empty if nothing would."""
    body = "\n".join(_COMMENT.sub("", line) for line in text.splitlines())
    problems = [f"not ASCII or Latin: {letter}" for letter in sorted({c for c in body if ord(c) > 0x17F})]
    open_: list[str] = []
    for kind, name in _ENVIRONMENT.findall(body):
        if kind == "begin":
            open_.append(name)
        elif not open_ or open_.pop() != name:
            problems.append(f"\\end{{{name}}} closes nothing")
    problems += [f"\\begin{{{name}}} stays open" for name in open_]
    bare = _ESCAPED.sub("", _FILE.sub("", body))
    depth = 0
    for letter in bare:
        depth += (letter == "{") - (letter == "}")
        if depth < 0:
            problems.append("a brace closes nothing")
            break
    if depth > 0:
        problems.append("a brace stays open")
    problems += [f"unescaped {letter}" for letter in "#_^" if letter in _MATHS.sub("", bare)]
    if _MATHS.sub("", bare).count("$"):
        problems.append("maths stays open")
    return [*problems, *_rows(bare)]


def _rows(text: str) -> list[str]:
    """Rows of tables that have another number of columns than their table."""
    problems: list[str] = []
    table = r"\\begin\{tabular\}\{@\{\}((?:p\{\d+pt\})?[lcr]*)@\{\}\}(.*?)\\end\{tabular\}"
    for spec, rows in re.findall(table, text, re.DOTALL):
        for row in re.findall(r"(.*)\\\\", rows):
            columns = len(re.sub(r"\{\d+pt\}", "", spec))
            if row.count("&") != columns - 1 and r"\multicolumn" not in row:
                problems.append(f"{row.count('&') + 1} columns instead of {columns}: {row}")
    return problems
