"""Packages that a method's own files import, read from their text: which are missing, and in which version.

A training that imports a package in its first line of ``fit`` would tell only when the first trial has begun
that nobody installed it. So the files are read (never run) from the one that declares the method, along its
imports of each other. What stands in a ``try`` that catches ImportError, in an ``if`` or for a type checker
may be missing. Of a program the files are read that its interpreter is started with, and what stands in a
function may be missing, too: nobody knows which of its functions a command calls.

Trade-off: names that are made at run time (``importlib.import_module(name)``) are not seen.
"""

from __future__ import annotations

import ast
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from trainables.errors import InputError
from trainables.plugins.method_files import MethodSource
from trainables.program.method import Program, find_interpreter, lacking_modules
from trainables.program.spec import ProgramSpec

__all__ = [
    "UNKNOWN_VERSION",
    "Import",
    "imports_of_file",
    "imports_of_module",
    "package_versions",
    "program_import_problem",
    "refuse_missing",
]

_THERE = {"assay", "trainables", *sys.stdlib_module_names}  # without a package of the method's
_CATCHES_IT = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
_MODULES = {".py", ".so", ".pyd"}
UNKNOWN_VERSION = "unknown version"  # a module that belongs to no distribution
_Read = Callable[[str], bytes | None]  # the text of a file by its path below the import root; None: no file


class Import(NamedTuple):
    """A package that a method imports, and where."""

    package: str  # top-level name: `kornia`
    place: str  # `blur/fit.py:7`
    needed: bool  # False: the method may do without it


class _Statement(NamedTuple):
    level: int  # dots of a relative import
    module: str
    names: tuple[str, ...]  # that are imported from it; they may be modules
    line: int
    needed: bool


def imports_of_file(source: MethodSource) -> list[Import]:
    """Packages that a method in files of the user's own imports, by name.

    Of a program with an interpreter of its own none: those packages are not here.

    Raises:
        InputError: If one of its files is no Python.
    """
    if source.is_program:
        program = Program.of(source.files)
        return [] if program.spec.python is not None else _imports_of_program(program.spec, program.files)
    top = next(iter(source.files)).partition("/")[0]
    return _follow([f"{top}/__init__.py" if source.is_package else top], source.files.get, {})


def imports_of_module(module: str) -> list[Import]:
    """The same of an installed method that ``module`` declares, as far as its package is plain files."""
    top, *parts = module.split(".")
    spec = find_spec(top)
    if spec is None or spec.origin is None:
        return []
    # The file is found without importing it: importing would run the very imports that are to be checked.
    origin = Path(spec.origin)
    root = origin.parent.parent if origin.name == "__init__.py" else origin.parent

    def read(path: str) -> bytes | None:
        return (root / path).read_bytes() if (root / path).is_file() else None

    return _follow(_files("/".join([top, *parts]), read), read, {top: "."})


def refuse_missing(imports: Sequence[Import]) -> None:
    """Refuse a method that needs a package which is not installed here.

    Raises:
        InputError: With its name and the line that imports it.
    """
    missing = [each for each in imports if each.needed and not _is_here(each.package)]
    if missing:
        named = ", ".join(f"`{each.package}` ({each.place})" for each in missing)
        raise InputError(
            f"the packages that a method imports are installed, found none for {named}. Install what is "
            "missing, on every node that trains, or import what the method can do without in a `try` that "
            "catches ImportError"
        )


def program_import_problem(spec: ProgramSpec, files: Mapping[str, bytes], folder: Path) -> str | None:
    """A sentence on packages that a program imports and its interpreter has not; None if it has all.

    Args:
        spec: The description, which breaks no rule.
        files: The program's files by relative name.
        folder: Where they lie.

    Raises:
        InputError: If one of the files is no Python, or its interpreter does not answer.
    """
    needed = [each for each in _imports_of_program(spec, files) if each.needed]
    if spec.python is None:
        missing = [each for each in needed if not _is_here(each.package)]
    else:
        lacking = lacking_modules(find_interpreter(spec), tuple(each.package for each in needed))
        missing = [each for each in needed if each.package in lacking]
    if not missing:
        return None

    # A module that lies beside the program was forgotten in `files`: no package of its name would help.
    beside = (f"{each.package}{end}" for each in missing for end in (".py", "/__init__.py"))
    forgotten = next((name for name in beside if (folder / name).is_file()), None)
    named = ", ".join(f"`{each.package}` ({each.place})" for each in missing)
    where = "" if spec.python is None else f" in {spec.python}"
    found = f"what a program imports is among `files` or installed, found none for {named}{where}"
    if forgotten is not None:
        return f"{found}. {forgotten} lies beside it: add it to `files`"
    return (
        f"{found}. Install what is missing on every machine that trains, or import what the program can do "
        "without in a `try` that catches ImportError"
    )


def package_versions(imports: Sequence[Import]) -> dict[str, str]:
    """Versions of the imported distributions that are installed here, by the distributions' names."""
    versions: dict[str, str] = {}
    for each in imports:
        if _is_here(each.package):
            try:
                versions[each.package] = version(each.package)
            except PackageNotFoundError:  # its distribution has another name, or none
                names = _distributions().get(each.package, ())
                versions |= {name: version(name) for name in names} or {each.package: UNKNOWN_VERSION}
    return dict(sorted(versions.items()))


@cache
def _distributions() -> dict[str, list[str]]:
    return {package: sorted(set(names)) for package, names in packages_distributions().items()}


def _is_here(package: str) -> bool:
    return package in sys.modules or find_spec(package) is not None


def _imports_of_program(spec: ProgramSpec, files: Mapping[str, bytes]) -> list[Import]:
    """Packages that the scripts of a program import, from those that its interpreter is started with."""
    entries: list[str] = []
    for words in (shlex.split(spec.train), shlex.split(spec.predict)):
        # What another interpreter than `{python}` has, a shell script's or `conda run`'s, nobody knows.
        if words[:1] == ["{python}"]:
            entries += [name for word in words if (name := PurePosixPath(word).as_posix()) in files]
            modules = [after.replace(".", "/") for word, after in pairwise(words) if word == "-m"]
            entries += [file for name in modules for file in _files(name, files.get)]
            entries += [file for name in modules if (file := f"{name}/__main__.py") in files]
    entries = [name for name in dict.fromkeys(entries) if name.endswith(".py")]

    # A script finds modules in its own folder first; it may also have put another folder on its path.
    folders = [str(PurePosixPath(name).parent) for name in entries]
    every = {str(parent) for name in files for parent in PurePosixPath(name).parents}
    own: dict[str, str] = {}
    for folder in dict.fromkeys([*folders, ".", *sorted(every)]):
        for name in files:
            path = PurePosixPath(name)
            if path.suffix in _MODULES and path.is_relative_to(folder):
                own.setdefault(path.relative_to(folder).parts[0].partition(".")[0], folder)
    return _follow(entries, files.get, own, is_program=True, is_ours=spec.python is None)


def _follow(
    entries: Sequence[str],
    read: _Read,
    own: Mapping[str, str],
    *,
    is_program: bool = False,
    is_ours: bool = True,
) -> list[Import]:
    """Imports of other packages in the files that ``entries`` lead to.

    Args:
        entries: Paths of the first files.
        read: Reads a file.
        own: Names by which the files import each other besides relative imports, and the folder they lie in.
        is_program: Do not count on what stands in functions.
        is_ours: The files run in this interpreter. Of another one nothing is known: neither its version of
            Python, by which a file may be none here, nor what comes with it.

    Raises:
        InputError: If a file is no Python.
    """
    found: dict[str, Import] = {}
    seen: dict[str, bool] = {}  # by path: whether the file is needed
    waiting = [(path, True) for path in entries]
    while waiting:
        # A file that was reached as optional is read again when something needs it.
        path, needed = waiting.pop(0)
        if seen.get(path, False) or (path in seen and not needed):
            continue
        seen[path] = needed
        text = read(path)
        assert text is not None, "only files that are there are followed"
        try:
            with warnings.catch_warnings():  # of signs in strings: the file's own run says so
                warnings.simplefilter("ignore", SyntaxWarning)
                tree = ast.parse(text)
        except (SyntaxError, ValueError) as error:
            if not is_ours:
                continue
            line = getattr(error, "lineno", None)
            raise InputError(f"the code cannot be read: {path}:{line or 1}: {error}") from error
        # Own modules are followed, the standard library and this program are there anyway, and everything
        # else is a package to look for.
        statements = _statements(tree.body, needed=needed, in_functions=not is_program)
        for statement in (*statements, *_named_modules(tree, {} if is_program else own, needed=needed)):
            top = statement.module.partition(".")[0]
            if statement.level or top in own:
                files = _targets(path, statement, read, own.get(top, "."))
                waiting += [(file, statement.needed) for file in files]
            elif not is_ours or top not in _THERE:
                known = found.get(top)
                if known is None or (statement.needed and not known.needed):
                    found[top] = Import(top, f"{path}:{statement.line}", statement.needed)
    return [found[name] for name in sorted(found)]


def _statements(body: Sequence[ast.AST], *, needed: bool, in_functions: bool) -> Iterator[_Statement]:
    """Import statements below ``body``, also in functions and classes.

    Args:
        body: Of a module.
        needed: The module is needed.
        in_functions: So is what its functions import.
    """

    def below(nodes: Sequence[ast.AST], *, needed: bool) -> Iterator[_Statement]:
        return _statements(nodes, needed=needed, in_functions=in_functions)

    for node in body:
        match node:
            case ast.Import():
                for name in node.names:
                    yield _Statement(0, name.name, (), node.lineno, needed)
            case ast.ImportFrom():
                names = tuple(name.name for name in node.names)
                yield _Statement(node.level, node.module or "", names, node.lineno, needed)
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                yield from below(node.orelse, needed=needed)
            # Code below a condition may never run, as for another version of Python.
            case ast.If():
                yield from below([*node.body, *node.orelse], needed=False)
            case ast.Try() | ast.TryStar():
                caught = any(_catches(handler.type) for handler in node.handlers)
                yield from below([*node.body, *node.orelse], needed=needed and not caught)
                for handler in node.handlers:
                    yield from below(handler.body, needed=False)
                yield from below(node.finalbody, needed=needed)
            case ast.With() if any(_catches(item.context_expr) for item in node.items):
                yield from below(node.body, needed=False)
            case ast.Match():
                for case in node.cases:
                    yield from below(case.body, needed=False)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from below(node.body, needed=needed and in_functions)
            case _:  # what a class or loop holds
                inner = [*getattr(node, "body", []), *getattr(node, "orelse", [])]
                yield from below(inner, needed=needed)


def _catches(expression: ast.expr | None) -> bool:
    """Tell an ``except`` (bare too) or a ``suppress(…)`` that an import error ends in."""
    if expression is None:
        return True
    names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
    return bool(names & _CATCHES_IT)


def _named_modules(tree: ast.Module, own: Collection[str], *, needed: bool) -> Iterator[_Statement]:
    """Modules of the own package that stand in a string, as in ``LazyFunction("my_method.fit:fit")``."""
    if not own:
        return
    pattern = re.compile(rf"((?:{'|'.join(map(re.escape, own))})(?:\.\w+)*):\w+")
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if reference := pattern.fullmatch(text):
                yield _Statement(0, reference[1], (), node.lineno, needed)
            case _:
                pass


def _targets(path: str, statement: _Statement, read: _Read, root: str) -> list[str]:
    """Own files that an import in the file ``path`` runs; ``root``: folder of what is imported by name."""
    folder = path.split("/")[:-1]
    base = folder[: len(folder) - statement.level + 1] if statement.level else PurePosixPath(root).parts
    module = "/".join([*base, *filter(None, statement.module.split("."))])
    return [file for name in ("", *statement.names) for file in _files(f"{module}/{name}".rstrip("/"), read)]


def _files(module: str, read: _Read) -> list[str]:
    """Files of a module and of the packages that it lies in, as far as they are there."""
    parts = module.split("/")
    places = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    candidates = [f"{place}/__init__.py" for place in places] + [f"{module}.py"]
    return [file for file in candidates if read(file) is not None]
