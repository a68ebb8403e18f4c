"""The program that a record came from: package versions, a hash over the source, the commit.

On a cluster the same question is asked of every node: ``program`` says what must be equal on all of them, and
``differences`` where this process is another program than the one that is wanted.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import trainables
from assay.version import VERSION
from trainables.plugins.catalogue import TRAINABLES
from trainables.plugins.method_files import is_file_method, loaded_source
from trainables.plugins.method_imports import imports_of_file, imports_of_module, package_versions
from trainables.program.method import Program

__all__ = [
    "COMMIT_VARIABLE",
    "SourceVersion",
    "differences",
    "imported_versions",
    "program",
    "program_packages",
    "source_files",
    "source_roots",
    "source_version",
]

COMMIT_VARIABLE = "ASSAY_COMMIT"  # shipped code is no checkout: whoever ships it says the commit
_PACKAGES = (
    "torch",
    "ray",
    "numpy",
    "opencv-contrib-python-headless",
    "scikit-learn",
    "pyarrow",
    "onnxruntime",
)
_ABSENT = "not installed"
_SHOWN = 12  # characters of a source hash


class SourceVersion(NamedTuple):
    """Version of the program, recorded and not hashed into ids: edits invalidate no result, revisions do."""

    packages: tuple[tuple[str, str], ...]
    source: str  # sha256 over the program's Python files
    commit: str  # empty outside a checkout


@cache
def source_version() -> SourceVersion:
    """The program that is running; looked up once per process."""
    packages = {"python": platform.python_version(), "assay": VERSION}
    packages |= {name: _installed(name) for name in _PACKAGES}
    return SourceVersion(tuple(packages.items()), _hash(source_roots()), _commit())


@cache
def imported_versions(trainable: str) -> dict[str, str]:
    """Versions of the packages that a loaded method's own files import, beside those of all records."""
    if is_file_method(trainable):
        imports = imports_of_file(loaded_source(trainable))
    elif (point := TRAINABLES.plugin(trainable)) is not None:
        imports = imports_of_module(point.module)
    else:
        return {}
    return {name: text for name, text in package_versions(imports).items() if name not in _PACKAGES}


def program_packages(trainable: str) -> dict[str, str]:
    """Versions of the packages in the interpreter of a program's own; of other methods none."""
    if not is_file_method(trainable) or not (source := loaded_source(trainable)).is_program:
        return {}
    return dict(Program.of(source.files).packages or {})


def source_roots() -> list[Path]:
    """The folders of the program's own packages, ``assay`` and ``trainables``."""
    return [Path(__file__).parents[1], Path(trainables.__file__ or "").parent]


def source_files(root: Path, *suffixes: str) -> list[Path]:
    """The files of a package with one of these endings, sorted; tests that lie beside its code are none."""
    files = (path for path in sorted(root.rglob("*")) if path.suffix in suffixes)
    return [path for path in files if "tests" not in path.relative_to(root).parts]


def program(*trainables: str) -> dict[str, str]:
    """List what must be equal on all nodes that train with ``trainables``: versions, source hashes.

    Of a third party's method the distribution and the source of its package belong to it.
    """
    version_here = source_version()
    parts = {**dict(version_here.packages), "source of assay": version_here.source}
    for plugin in filter(None, map(TRAINABLES.plugin, trainables)):
        if plugin.dist is not None:
            parts[plugin.dist.name] = plugin.dist.version
        package = plugin.module.partition(".")[0]
        spec = find_spec(package)
        roots = [] if spec is None else spec.submodule_search_locations or [spec.origin or ""]
        parts[f"source of {package}"] = _hash(map(Path, roots))
    return parts


def differences(wanted: Mapping[str, str], *trainables: str) -> list[str]:
    """List where this process is another program than ``wanted``: what differs, found and wanted."""
    parts = program(*trainables)
    return [
        f"{name} {_shown(name, parts.get(name))} (wanted {_shown(name, value)})"
        for name, value in wanted.items()
        if parts.get(name) != value
    ]


def _shown(name: str, value: str | None) -> str:
    if name.startswith("source of "):
        return "not found" if value is None else value[:_SHOWN]
    return _ABSENT if value is None else value


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return _ABSENT


def _hash(roots: Iterable[Path]) -> str:
    """sha256 over the Python files below ``roots`` (a root may be a single file), with their names."""
    digest = hashlib.sha256()
    for root in roots:
        for path in source_files(root, ".py") if root.is_dir() else [root]:
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _commit() -> str:
    if shipped := os.environ.get(COMMIT_VARIABLE):
        return shipped
    checkout = source_roots()[1].parent
    if not (checkout / ".git").exists():
        return ""
    answer = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip()
