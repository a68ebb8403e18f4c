"""Methods without Python, as studies name them: ``trainable: ./my_unet.yaml``, or the same block inline.

The description is read and checked here, where line and column are known, and its files are read once.
What comes out is the source of a method like any other: hashed into ids, kept on the storage, shipped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from assay.study.file.reading import check_model, parse_yaml, read_yaml_file
from assay.study.file.source import KeyPath, StudyProblem, refuse
from trainables.errors import InputError
from trainables.plugins.method_files import MAX_PROGRAM_BYTES, MethodSource
from trainables.plugins.method_imports import program_import_problem
from trainables.program.method import find_interpreter, interpreter_packages, pack_program
from trainables.program.spec import ProgramSpec, program_problems

__all__ = ["ProgramError", "is_inline", "program_files", "read_program"]

_LISTED = 8  # files of a folder, in a message


class ProgramError(InputError):
    """What an inline description breaks, by the key below it."""

    def __init__(self, problems: Sequence[StudyProblem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


def is_inline(name: str) -> bool:
    """Tell a block below `trainable:` from the name of a file; in a study it is its JSON text."""
    return name.startswith("{")


def read_program(name: str, folder: Path) -> MethodSource:
    """Read the program that a study describes, and all its files.

    Args:
        name: ``./my_unet.yaml``, or an inline block as JSON.
        folder: Of the study.

    Raises:
        ProgramError: If an inline block breaks a rule.
        InputError: If the file does: with its line and column.
    """
    spec, root, _ = _described(name, folder)
    files = _files(spec, root)[0]
    packages = None if spec.python is None else interpreter_packages(find_interpreter(spec))
    return MethodSource(pack_program(spec, files, packages))


def program_files(name: str, folder: Path) -> dict[str, bytes]:
    """The files of a program by their path below the study's folder, its description among them.

    Raises:
        InputError: If one cannot be read.
    """
    spec, root, path = _described(name, folder)
    start = root.relative_to(folder.resolve())
    files = {(start / file).as_posix(): data for file, data in _files(spec, root)[0].items()}
    return (
        files if path is None else {path.relative_to(folder.resolve()).as_posix(): path.read_bytes(), **files}
    )


def _described(name: str, folder: Path) -> tuple[ProgramSpec, Path, Path | None]:
    """The description, the folder of its files, and its own file if it has one."""
    root = folder.resolve()
    if is_inline(name):
        value = json.loads(name)
        spec, problems = _checked(value, root)
        if problems or spec is None:
            raise ProgramError(problems)
        return spec, root, None
    path = root / name
    if Path(name).is_absolute() or not path.resolve().is_relative_to(root):
        raise InputError(
            f"a method's file lies in the folder of its study or below it, found `{name}`. Copy it there"
        )
    shown = (folder / name).as_posix()
    text = read_yaml_file(path, "a method")
    if not text.strip():
        raise InputError(
            f"{shown}: a method is described by `files`, `train` and `predict`, found an empty file"
        )
    value, source = parse_yaml(text, shown)
    if not isinstance(value, dict):
        raise InputError(
            f"{shown}: a method is a mapping with `files`, `train` and `predict`, found {value!r}"
        )
    spec, problems = _checked({"method": _name_of(path), **value}, path.parent)
    refuse(source, problems)
    assert spec is not None, "a description without problems is one"
    return spec, path.parent, path


def _name_of(path: Path) -> str:
    """The name of a method by its file: ``My UNet.yaml`` is `my_unet`."""
    signs = (
        sign if sign.isascii() and (sign.isalnum() or sign in "_-") else "_" for sign in path.stem.lower()
    )
    return "".join(signs)[:64] or "program"


def _checked(value: Mapping[str, Any], root: Path) -> tuple[ProgramSpec | None, list[StudyProblem]]:
    spec, problems = check_model(ProgramSpec, value)
    if spec is None:
        return None, problems
    files, problems = _files(spec, root)
    problems += [StudyProblem(at, message) for at, message in program_problems(spec, sorted(files), root)]

    # The interpreter is asked for its packages now: that it, or one of them, is missing would otherwise be
    # found by the first trial.
    if spec.python is not None:
        try:
            interpreter_packages(find_interpreter(spec))
        except InputError as error:
            problems.append(StudyProblem(("python",), str(error)))
    if not problems:
        try:
            problem = program_import_problem(spec, files, root)
        except InputError as error:
            problem = str(error)
        problems += [] if problem is None else [StudyProblem(("files",), problem)]
    return spec, problems


def _files(spec: ProgramSpec, root: Path) -> tuple[dict[str, bytes], list[StudyProblem]]:
    """The program's files by relative name, and what is wrong with patterns; a folder is all it holds."""
    files: dict[str, bytes] = {}
    problems: list[StudyProblem] = []
    size = 0
    for i, pattern in enumerate(spec.files):
        at: KeyPath = ("files", i)
        parts = PurePosixPath(pattern).parts
        if PurePosixPath(pattern).is_absolute() or ".." in parts or not parts:
            problems.append(
                StudyProblem(
                    at, f"files lie beside the method's file or below it, found `{pattern}`. Copy them there"
                )
            )
            continue
        try:
            chosen = sorted(root.glob(PurePosixPath(pattern).as_posix()))
        except ValueError as error:
            problems.append(
                StudyProblem(
                    at, f"`files` are names or patterns like `conf/*.yaml`, found `{pattern}`: {error}"
                )
            )
            continue
        inside = [path for each in chosen for path in ([each] if each.is_file() else sorted(each.rglob("*")))]
        is_literal = (root / pattern).is_file()
        names = {path.relative_to(root).as_posix(): path for path in inside if path.is_file()}
        names = {name: path for name, path in names.items() if is_literal or not _is_hidden(name)}
        for name, path in names.items():
            if not path.resolve().is_relative_to(root.resolve()):
                problems.append(
                    StudyProblem(at, f"files lie below the method's folder, found {name}: a link out of it")
                )
                continue
            # What a pattern finds may be the images beside the program: sizes are looked at first.
            size += path.stat().st_size if name not in files else 0
            if size > MAX_PROGRAM_BYTES:
                rule = f"the files of a program have at most {MAX_PROGRAM_BYTES:,} bytes"
                message = f"{rule}, found more with {name}. Leave data and weights out of `files`"
                return files, [*problems, StudyProblem(at, message)]
            files[name] = path.read_bytes()
        if not names:
            there = ", ".join(sorted(each.name for each in root.iterdir())[:_LISTED])
            problems.append(
                StudyProblem(at, f"`{pattern}` names a file, found none in {root} (there are {there})")
            )
    return files, problems


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__pycache__")) for part in PurePosixPath(name).parts)
