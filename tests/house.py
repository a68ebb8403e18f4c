"""Counts of what the house rules ask for: ``python -m tests.house`` prints them, ``test_house`` holds them.

A rule that can be counted is counted here, over the syntax trees of the program's own packages and over the
prose of README and docs. What a linter already counts (lengths of lines, unused names) is left to it.
"""

from __future__ import annotations

import ast
import re
import statistics
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["counts"]

ROOT = Path(__file__).parents[1]
PACKAGES = ("platform/assay", "trainables", "dashboard/assay_dashboard")
_OPENERS = re.compile(r"(What|Whether|How|Where|Of)\b")
# Names of ours for what the field has a word for, or that stood for several things.
_PRIVATE_WORDS = re.compile(
    r"\b(?:[Jj]udg(?:e|es|ed|ing)|StudyAnswers|StudyLuck|LUCKY_METRIC|[Tt]est luck|note_look|keep_training|"
    r"resume_training|_go_on|undrawn|_?lay_down|laid down|take_on|_?say_\w+|_said|Opinion|Told|Course|"
    r"JudgedStages)\b"
)
# Names of fields and files that earlier versions wrote; who reads them has to name them.
_ON_DISK = re.compile(r"undrawn|judged-")
# A command's name, and its page.
_COMMAND = re.compile(r"assay[ /]judge|[\"`]judge[\"`]|judge\.md")
_PRIVATE_LOCALS = {"one", "found", "told", "own", "asked"}
_SENTENCE_END = re.compile(r"[.!?:](?=\s|$)")


class Function(NamedTuple):
    """A function or method of the program."""

    path: str
    name: str
    lines: int
    parameters: frozenset[str]

    def __str__(self) -> str:
        return f"{self.path}: {self.name}"


@cache
def files(*folders: str) -> dict[str, str]:
    """Path from the project's root → text, of all Python files below ``folders`` (default: the program)."""
    roots = [ROOT / folder for folder in folders or PACKAGES]
    paths = sorted(path for root in roots for path in root.rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


@cache
def _trees(*folders: str) -> dict[str, ast.Module]:
    return {path: ast.parse(text) for path, text in files(*folders).items()}


@cache
def _nodes() -> list[tuple[str, ast.AST]]:
    """Path and node, of all nodes of the program."""
    return [(path, node) for path, tree in _trees().items() for node in ast.walk(tree)]


@cache
def functions() -> list[Function]:
    """All functions of the program, methods and inner functions among them."""
    return [
        Function(path, node.name, (node.end_lineno or node.lineno) - node.lineno + 1, _parameters(node))
        for path, node in _nodes()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    arguments = node.args
    return frozenset(a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))


def loose_plan_and_records() -> list[str]:
    """Functions that take a plan and its records side by side instead of a study's results."""
    return [str(function) for function in functions() if {"plan", "records"} <= function.parameters]


def raises() -> tuple[list[str], list[str]]:
    """Places that raise an error with a text: those that show a value, and those that do not.

    A text shows a value where it has a place for one, or is made elsewhere. ``raise error`` and errors
    without a text are left out, as are exits (``typer.Exit``) and ``KeyError``, whose text is the key.
    """
    showing: list[str] = []
    silent: list[str] = []
    for path, node in _nodes():
        if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call) or not node.exc.args:
            continue
        if ast.unparse(node.exc.func) in {"typer.Exit", "SystemExit", "KeyError", "NotImplementedError"}:
            continue
        text = node.exc.args[-1]
        literal = all(isinstance(part, ast.Constant | ast.JoinedStr | ast.BinOp) for part in _parts(text))
        shows = not literal or any(isinstance(part, ast.FormattedValue) for part in ast.walk(text))
        (showing if shows else silent).append(f"{path}:{node.lineno}")
    return showing, silent


def _parts(text: ast.expr) -> list[ast.expr]:
    return [text.left, text.right] if isinstance(text, ast.BinOp) else [text]


def tests() -> tuple[list[str], list[str]]:
    """Tests that are parametrized (over a list or over drawn examples), and those that are not."""
    parametrized: list[str] = []
    single: list[str] = []
    for path, tree in _trees("tests").items():
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            marks = [ast.unparse(decorator) for decorator in node.decorator_list]
            several = any("parametrize" in mark or mark.startswith("given") for mark in marks)
            (parametrized if several else single).append(f"{path}: {node.name}")
    return parametrized, single


def odd_openers() -> list[str]:
    """Docstrings that open with a question word instead of a verb or a noun."""
    odd: list[str] = []
    for path, node in _nodes():
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None and _OPENERS.match(text):
                odd.append(f"{path}: {text.splitlines()[0]}")
    return odd


def private_words() -> list[str]:
    """Places in code and documents with a word of ours where the field has one."""
    texts = {**files(), **_documents()}
    return [
        f"{path}:{number}: {match.group()}"
        for path, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        for match in _PRIVATE_WORDS.finditer(_COMMAND.sub("", _ON_DISK.sub("", line)))
    ]


def private_locals() -> list[str]:
    """Assignments and loop variables that are called ``one``, ``found`` and the like."""
    return [
        f"{path}:{node.lineno}: {node.id}"
        for path, node in _nodes()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in _PRIVATE_LOCALS
    ]


def _documents() -> dict[str, str]:
    pages = [
        ROOT / "README.md",
        ROOT / "ARCHITECTURE.md",
        ROOT / "CONTRIBUTING.md",
        *sorted(ROOT.glob("docs/*.md")),
    ]
    return {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in pages}


def prose(text: str) -> str:
    """A Markdown page without code, tables, pictures and addresses."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "code", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(("|", "<", "#"))]
    return "\n".join(lines)


def words(page: str) -> int:
    """Words of a page as ``wc -w`` counts them: tables and code among them."""
    return len((ROOT / page).read_text(encoding="utf-8").split())


def semicolons() -> dict[str, float]:
    """Page → semicolons per 100 sentences of its prose, of README and docs."""
    shares: dict[str, float] = {}
    for page, text in _documents().items():
        if page.startswith(("README", "docs/")):
            plain = prose(text)
            shares[page] = 100 * plain.count(";") / max(1, len(_SENTENCE_END.findall(plain)))
    return shares


def _share(good: list[str], bad: list[str]) -> float:
    return len(good) / max(1, len(good) + len(bad))


def counts() -> dict[str, float]:
    """The table of the house: what is counted → its number."""
    lines_of_files = sorted(len(text.splitlines()) for text in files().values())
    lines = sorted(function.lines for function in functions())
    shares = semicolons()
    return {
        "functions with loose plan and records": len(loose_plan_and_records()),
        "raises that show the value, %": 100 * _share(*raises()),
        "parametrized tests, %": 100 * _share(*tests()),
        "lines of a file, median": statistics.median(lines_of_files),
        "lines of a file, most": lines_of_files[-1],
        "lines of a function, median": statistics.median(lines),
        "lines of a function, 90 % below": lines[int(0.9 * len(lines))],
        "lines of a function, most": lines[-1],
        "docstrings that open with a question word": len(odd_openers()),
        "private words": len(private_words()),
        "locals called one, found, told, own, asked": len(private_locals()),
        "words of the README": words("README.md"),
        "semicolons per 100 sentences, README": shares["README.md"],
        "semicolons per 100 sentences, worst page": max(shares.values()),
    }


if __name__ == "__main__":
    for name, number in counts().items():
        print(f"{number:8.1f}  {name}")  # noqa: T201
