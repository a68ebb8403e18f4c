"""A training program as a :class:`~trainables.contract.Trainable`, made from the files that describe it.

The files of such a method lie in one folder, as the storage keeps them::

    my_unet/program.json     the description, and of an interpreter of its own the packages
    my_unet/files/train.py   the program's own files, by their relative names

Planning needs none of what trains: :mod:`trainables.program.training` is imported when it is called.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from shutil import which
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from trainables.contract import Trainable
from trainables.errors import InputError
from trainables.program.spec import ProgramSpec, make_config, stored_objections
from trainables.runtime.lazy_import import LazyFunction

__all__ = [
    "PROGRAM_FILE",
    "Program",
    "check_interpreter",
    "find_interpreter",
    "interpreter_packages",
    "lacking_modules",
    "pack_program",
    "program_trainable",
    "variables_of_others",
]

PROGRAM_FILE = "program.json"
_FILES = "files"
_SECONDS = 120  # that an interpreter may take to list its packages
_LIST_PACKAGES = """
import json, platform
from importlib.metadata import distributions
found = {d.metadata["Name"]: d.version for d in distributions() if d.metadata["Name"]}
print(json.dumps({"python": platform.python_version(), **dict(sorted(found.items()))}))
"""
# The folder of the call is no place of modules: a program runs in another one.
_FIND_MODULES = """
import json, sys
from importlib.util import find_spec
sys.path = [folder for folder in sys.path if folder]
print(json.dumps([name for name in sys.argv[1:] if name not in sys.modules and find_spec(name) is None]))
"""


class _Kept(BaseModel):
    """The content of ``program.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)
    format: int = 1
    program: ProgramSpec
    packages: dict[str, str] | None = None  # of an interpreter of its own, by name


@dataclass(frozen=True)
class Program:
    """A training program: its description, its files, and the packages of its interpreter."""

    spec: ProgramSpec
    files: Mapping[str, bytes]  # by relative name
    packages: Mapping[str, str] | None  # None: it has no interpreter of its own

    @classmethod
    def of(cls, source: Mapping[str, bytes]) -> Program:
        """The program in the files of a method.

        Raises:
            InputError: If the description is none that this version reads.
        """
        (described,) = (path for path in source if path.count("/") == 1 and path.endswith(f"/{PROGRAM_FILE}"))
        try:
            kept = _Kept.model_validate_json(source[described])
        except ValidationError as error:
            raise InputError(
                f"{described} describes a program of format 1, found {error.errors()[0]['msg']}"
            ) from error
        start = f"{described.partition('/')[0]}/{_FILES}/"
        files = {path.removeprefix(start): data for path, data in source.items() if path.startswith(start)}
        return cls(kept.program, files, kept.packages)


def pack_program(
    spec: ProgramSpec, files: Mapping[str, bytes], packages: Mapping[str, str] | None
) -> dict[str, bytes]:
    """The files of a method: the description without its defaults, so that a new default changes no id."""
    # Patterns are replaced by the files they found: the same description elsewhere must not mean other files.
    named = spec.model_copy(update={"files": tuple(sorted(files))})
    kept = _Kept(program=named, packages=None if packages is None else dict(packages))
    content = {"format": kept.format, **kept.model_dump(mode="json", exclude_defaults=True)}
    text = json.dumps(content, indent=1, sort_keys=False, ensure_ascii=False)
    own = {f"{spec.method}/{_FILES}/{name}": data for name, data in sorted(files.items())}
    return {f"{spec.method}/{PROGRAM_FILE}": text.encode() + b"\n", **own}


def program_trainable(source: Mapping[str, bytes]) -> Trainable[Any]:
    """The method that the files describe; its name carries no hash yet."""
    program = Program.of(source)
    spec = program.spec
    return Trainable(
        name=spec.method,
        revision=1,
        title=f"{spec.method}, a training program",
        Config=make_config(spec),
        presets={},
        supervisions=frozenset(spec.learns_from),
        fit=partial(LazyFunction("trainables.program.training:fit"), program),
        load=partial(LazyFunction("trainables.program.training:load"), program),
        needs_normal=lambda config: None,
        objections=stored_objections,
        gives_stored=lambda config: config.images == "stored",
        reads_classes=True,
    )


def find_interpreter(spec: ProgramSpec) -> str:
    """The path of the interpreter on this machine.

    Raises:
        InputError: If there is none.
    """
    if spec.python is None:
        return sys.executable
    path = which(str(Path(spec.python).expanduser()))
    if path is None:
        raise InputError(
            f"`python` is an interpreter on every machine that trains, found none at {spec.python}. Make the "
            "environment there, or leave `python` out to use assay's own"
        )
    return path


def check_interpreter(program: Program) -> None:
    """Refuse an interpreter whose packages are not those that the trials' ids speak of.

    Raises:
        InputError: If this machine has none there, or another one; names the first differences.
    """
    if program.packages is None:
        return
    here, wanted = interpreter_packages(find_interpreter(program.spec)), program.packages
    differing = [name for name in sorted({*here, *wanted}) if here.get(name) != wanted.get(name)]
    if differing:
        shown = ", ".join(
            f"{n} {here.get(n, 'absent')} (planned {wanted.get(n, 'absent')})" for n in differing[:5]
        )
        raise InputError(
            f"the interpreter {program.spec.python} has the packages of the plan, found {shown}. Install the "
            "same on every machine that trains, or plan anew"
        )


def variables_of_others() -> dict[str, str]:
    """The environment's variables for an interpreter of a program's own: packages here are not its."""
    ours = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if name not in ours}


@cache
def interpreter_packages(path: str) -> Mapping[str, str]:
    """Versions of an interpreter's packages, and `python` its own; asked once in a process.

    Raises:
        InputError: If it does not answer as a Python interpreter does.
    """
    packages: dict[str, str] = _ask(path, "-I", "-c", _LIST_PACKAGES)
    return packages


@cache
def lacking_modules(path: str, names: tuple[str, ...]) -> frozenset[str]:
    """Those of some top-level modules that an interpreter does not find; none of them is imported.

    Raises:
        InputError: If it does not answer as a Python interpreter does.
    """
    return frozenset(_ask(path, "-c", _FIND_MODULES, *names) if names else ())


def _ask(*words: str) -> Any:
    try:
        answer = subprocess.run(
            words,
            env=variables_of_others(),
            capture_output=True,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return json.loads(answer.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise InputError(
            f"`python` is a Python interpreter that starts, found {words[0]}: {error}"
        ) from error
