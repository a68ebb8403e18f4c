"""Figures of the code, to look at: ``python -m tests.project.house`` prints them, nothing is tuned to them.

Two of them are rules, because nobody can satisfy them by moving lines around; ``test_house`` holds those:
no function takes a plan and its records side by side, and errors show the value that they refuse. The rest
is read before and after a large change.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from functools import cache
from pathlib import Path

__all__ = ["counts", "import_cycles", "loose_plan_and_records", "raises"]

ROOT = Path(__file__).parents[2]
PACKAGES = ("platform/assay", "trainables", "dashboard/assay_dashboard")


@cache
def texts() -> dict[str, str]:
    """Path from the project's root → text, of all Python files of the program; not of the tests of extras."""
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    paths = sorted(path for path in found if path.parent.name != "tests")
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


@cache
def _trees() -> dict[str, ast.Module]:
    return {path: ast.parse(text) for path, text in texts().items()}


@cache
def _nodes() -> list[tuple[str, ast.AST]]:
    """Path and node, of all nodes of the program."""
    return [(path, node) for path, tree in _trees().items() for node in ast.walk(tree)]


@cache
def _functions() -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Path and node of all functions, methods and inner functions among them."""
    return [
        (path, node) for path, node in _nodes() if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


# Rules --------------------------------------------------------------------------------------------


def loose_plan_and_records() -> list[str]:
    """Functions that take a plan and its records side by side instead of a study's results."""
    loose: list[str] = []
    for path, node in _functions():
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if {"plan", "records"} <= {argument.arg for argument in arguments}:
            loose.append(f"{path}: {node.name}")
    return loose


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
        parts = [text.left, text.right] if isinstance(text, ast.BinOp) else [text]
        literal = all(isinstance(part, ast.Constant | ast.JoinedStr | ast.BinOp) for part in parts)
        shows = not literal or any(isinstance(part, ast.FormattedValue) for part in ast.walk(text))
        (showing if shows else silent).append(f"{path}:{node.lineno}")
    return showing, silent


# Figures ------------------------------------------------------------------------------------------


def import_cycles() -> list[list[str]]:
    """Groups of modules that import each other in a circle, imports for types and inside functions included.

    A package that lists its own modules is no circle: an import of ``a.b`` counts for ``a.b`` alone.
    """
    modules = {_module(path): path for path in _trees()}
    edges = {module: _imported(module, path, modules) - {module} for module, path in modules.items()}
    return sorted((sorted(group) for group in _circles(edges)), key=len, reverse=True)


def _module(path: str) -> str:
    for prefix in ("platform/", "dashboard/"):
        path = path.removeprefix(prefix)
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _imported(module: str, path: str, modules: dict[str, str]) -> set[str]:
    """Modules of the program that a module names in its imports, wherever they stand."""
    package = module if path.endswith("__init__.py") else module.rpartition(".")[0]
    names: set[str] = set()
    for node in ast.walk(_trees()[path]):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from a import b` is of module a.b where there is one, else of a.
            names.update(
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base for alias in node.names
            )
    return names & modules.keys()


def _circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Strongly connected components of two modules and more: those that reach each other."""
    reach: dict[str, set[str]] = {}
    for start, direct in edges.items():
        reached: set[str] = set()
        waiting = list(direct)
        while waiting:
            module = waiting.pop()
            if module not in reached:
                reached.add(module)
                waiting.extend(edges[module])
        reach[start] = reached
    circles = {frozenset(other for other in reach[a] if a in reach[other]) for a in edges if a in reach[a]}
    return [set(circle) for circle in circles if len(circle) > 1]


def _private_with_one_caller() -> int:
    """Private functions whose name stands at one place beside their definition."""
    defined = Counter(
        node.name for _, node in _functions() if node.name.startswith("_") and not node.name.endswith("__")
    )
    used = Counter(
        node.id if isinstance(node, ast.Name) else node.attr
        for _, node in _nodes()
        if isinstance(node, ast.Name | ast.Attribute)
    )
    return sum(1 for name, times in defined.items() if times == 1 and used[name] == 1)


def _imports_inside_functions() -> int:
    inside = {
        id(child)
        for _, function in _functions()
        for child in ast.walk(function)
        if isinstance(child, ast.Import | ast.ImportFrom)
    }
    return len(inside)


def _comment_lines() -> int:
    """Comments that have a line of their own; rulers between parts of a file are none."""
    tokens = (
        token for text in texts().values() for token in tokenize.generate_tokens(io.StringIO(text).readline)
    )
    return sum(
        token.type == tokenize.COMMENT
        and token.line.lstrip().startswith("#")
        and not re.fullmatch(r"#.*-{10,}\s*", token.string)
        for token in tokens
    )


def _private_names_of_ray() -> int:
    """Imports of Ray's private modules, a name each."""
    private = re.compile(r"ray\.(_private|_raylet|.*_internal|tune\.execution|.*\._)")
    return sum(
        len(node.names)
        for _, node in _nodes()
        if isinstance(node, ast.ImportFrom) and node.module and private.match(node.module)
    )


def counts() -> dict[str, float]:
    """Name of a figure → the figure."""
    lines = sorted(len(text.splitlines()) for text in texts().values())
    showing, silent = raises()
    cycles = import_cycles()
    return {
        "lines": sum(lines),
        "files": len(lines),
        "lines of a file, 90 % below": lines[int(0.9 * len(lines))],
        "functions": len(_functions()),
        "private functions with one caller": _private_with_one_caller(),
        "imports inside functions": _imports_inside_functions(),
        "comments with a line of their own, % of lines": 100 * _comment_lines() / sum(lines),
        "circles of imports": len(cycles),
        "modules in the largest circle": len(cycles[0]) if cycles else 0,
        "names of Ray's private modules": _private_names_of_ray(),
        "functions with loose plan and records": len(loose_plan_and_records()),
        "raises that show the value, %": 100 * len(showing) / (len(showing) + len(silent)),
    }


if __name__ == "__main__":
    for name, number in counts().items():
        print(f"{number:9.1f}  {name}")  # noqa: T201
