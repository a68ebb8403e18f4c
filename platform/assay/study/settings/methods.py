"""The method that a cell trains with, and what is left of the base's `config` where that is another one.

The base and each level may name a trainable: an installed one by its name, one in a file beside the study
(``./blur.py:TRAINABLE``), or a program that a YAML file or an inline block describes (``./my_unet.yaml``).
Settings of one method mean nothing to another: where a level names another method than the base, what every
method has (:data:`SHARED`) is taken over, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assay.study.design_rules import SHARED, all_levels
from assay.study.file.schema import Level, Study
from assay.study.file.source import KeyPath
from assay.study.settings.nesting import NO_LEVEL
from assay.study.settings.programs import is_inline, program_files, read_program
from trainables.contract import Trainable
from trainables.errors import InputError
from trainables.plugins.catalogue import TRAINABLES
from trainables.plugins.method_files import (
    MethodSource,
    is_file_reference,
    is_program_reference,
    load_file_method,
    load_program,
    loaded_source,
    read_reference,
)
from trainables.plugins.method_imports import imports_of_file, imports_of_module, refuse_missing
from trainables.plugins.method_shape import refuse_shape
from trainables.program.method import PROGRAM_FILE

__all__ = [
    "SHARED",
    "Layer",
    "file_references",
    "find_method",
    "is_own_setting",
    "kept_copy",
    "kept_program",
    "layers_of",
    "method_files",
    "method_names",
    "named_methods",
    "shared_settings",
]

Layer = tuple[KeyPath, Level]  # settings, and their place in the file


def layers_of(study: Study, levels: Mapping[str, str], override: Layer | None = None) -> list[Layer]:
    """List what a cell's settings are made of, from the bottom up: the base, its levels, its row's own."""
    data = study.data.model_dump(mode="json", exclude_unset=True)
    base: Layer = ((), Level(trainable=study.trainable, config=study.config, data=data))
    chosen: list[Layer] = [
        (("factors", factor, level), study.factors[factor][level])
        for factor, level in levels.items()
        if level != NO_LEVEL
    ]
    return [base, *chosen, *([override] if override else [])]


def named_methods(layers: Iterable[Layer]) -> list[tuple[str, KeyPath]]:
    """List the methods that layers name, from the bottom up, and where; a cell trains with the last one."""
    return [(layer.trainable, (*at, "trainable")) for at, layer in layers if layer.trainable is not None]


def is_own_setting(path: str) -> bool:
    """Tell a setting (``config.lr``) that other methods need not have from one that all have."""
    part, _, setting = path.partition(".")
    return part == "config" and setting.partition(".")[0] not in SHARED


def shared_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what another method takes over of a `config`."""
    return {key: value for key, value in config.items() if key in SHARED}


def find_method(study: Study, name: str, find: Callable[[str], Trainable[Any]]) -> Trainable[Any]:
    """Look up the method that a study names.

    Args:
        study: Files of methods lie in the folder of its own file, or below; those of a study that a storage
            keeps lie in that storage, too.
        name: As the study has it.
        find: Finds the installed ones.

    Raises:
        InputError: If there is no such method, its file cannot be used, it breaks the contract, or a package
            that it imports is not installed.
    """
    if not is_file_reference(name):
        trainable = find(name)
        refuse_shape(trainable)  # nobody has checked a plug-in
        point = TRAINABLES.plugin(name)
        refuse_missing([] if point is None else imports_of_module(point.module))
        return trainable
    if is_program_reference(name):
        kept = kept_program(name, _folder(study))
        if kept is not None:
            refuse_missing(imports_of_file(kept))
        return load_program(kept or read_program(name, _folder(study)))
    trainable = load_file_method(*(kept_copy(name, _folder(study)) or (name, _folder(study))))
    # Its first file is imported by now. What others or a function import, the first trial would miss.
    refuse_missing(imports_of_file(loaded_source(trainable.name)))
    return trainable


def method_files(study: Study) -> dict[str, bytes]:
    """Read the files of all methods that a study names, by their path below its folder.

    Raises:
        InputError: If one cannot be read.
    """
    files: dict[str, bytes] = {}
    for name in file_references(study):
        if is_program_reference(name):
            source = kept_program(name, _folder(study))
            files |= program_files(name, _folder(study)) if source is None else {}
            continue
        kept = kept_copy(name, _folder(study))
        path, source, _ = read_reference(*(kept or (name, _folder(study))))
        place = PurePosixPath(name.rpartition(":")[0]) if kept else path
        files |= {(place.parent / file).as_posix(): data for file, data in source.files.items()}
    return files


def method_names(study: Study) -> list[str]:
    """List the methods that base, levels and rows name, as they name them."""
    layers = (Level(trainable=study.trainable), *all_levels(study))
    return list(dict.fromkeys(layer.trainable for layer in layers if layer.trainable is not None))


def file_references(study: Study) -> list[str]:
    """List the methods that a study names by their files."""
    return [name for name in method_names(study) if is_file_reference(name)]


def _folder(study: Study) -> Path:
    return Path(study.source.origin).parent


def kept_copy(reference: str, folder: Path) -> tuple[str, Path] | None:
    """The copy of a method's file in a storage, for a study that lies there without the file it names.

    ::

        studies/<study>/study.yaml    `trainable: ./blur.py:TRAINABLE`, with no blur.py beside it
        studies/<study>/plan.parquet  the file that the last run named, and the versions that it trained
        methods/blur@3f9c…/blur.py    the code of one version

    Only what that plan names is taken: a storage also keeps the code of other studies, under the same names.

    Returns:
        The reference to the copy, and the folder that it is seen from. None where the file lies beside the
        study, or no storage holds a copy that the study's plan names.

    Raises:
        InputError: If the plan names several files of one name, or the copy was changed.
    """
    path, _, attribute = reference.rpartition(":")
    folder = folder.resolve()
    if folder.parent.name != "studies" or (folder / path).exists():
        return None
    planned = _planned(folder / "plan.parquet")
    if json.dumps(f"{path}:").removesuffix('"').encode() not in planned:  # as its study wrote it
        return None
    file = PurePosixPath(path).name
    kept = (copy for copy in (folder.parents[1] / "methods").glob("*@*") if (copy / file).exists())
    copies = [copy for copy in kept if json.dumps(copy.name).encode() in planned]
    hashes = {copy.name.partition("@")[2] for copy in copies}  # several methods of one file have one
    if not copies:
        return None
    if len(hashes) > 1:
        raise InputError(
            "a study without its methods' files is planned with the copies in its storage where each has a "
            f"file name of its own, found of {file} {', '.join(sorted(copy.name for copy in copies))} in "
            f"{copies[0].parent}. Copy the right one to {folder / path}"
        )

    # The copy is code that is about to run, so it has to be what its name says.
    of_code = MethodSource.read(copies[0] / file).hash
    if of_code not in hashes:
        raise InputError(f"the code in {copies[0]} has the hash that its name says, found {of_code}")
    return f"./{file}:{attribute}", copies[0]


def kept_program(name: str, folder: Path) -> MethodSource | None:
    """The copy of a program in a storage, for a study that lies there without the files it names.

    Returns:
        None where they lie beside the study, or no storage holds a copy that the study's plan names.

    Raises:
        InputError: If the plan names several programs and none by this file's name, or the copy was changed.
    """
    folder = folder.resolve()
    if folder.parent.name != "studies" or (not is_inline(name) and (folder / name).exists()):
        return None
    planned = _planned(folder / "plan.parquet")
    kept = sorted((folder.parents[1] / "methods").glob(f"*@*/*/{PROGRAM_FILE}"))
    copies = [path.parent for path in kept if json.dumps(path.parents[1].name).encode() in planned]

    # Of several programs the one is meant that is called as the study's own file is.
    wanted = str(json.loads(name).get("method", "program")) if is_inline(name) else PurePosixPath(name).stem
    copies = copies if len(copies) == 1 else [path for path in copies if path.name == wanted]
    if not copies:
        return None
    if len(copies) > 1:
        raise InputError(
            "a study without its methods' files is planned with the copy in its storage that is called "
            f"{wanted}, found {', '.join(path.parent.name for path in copies)}. Copy the right one beside "
            "the study"
        )
    source = MethodSource.read(copies[0])
    if source.hash != copies[0].parent.name.partition("@")[2]:
        raise InputError(
            f"the code in {copies[0].parent} has the hash that its name says, found {source.hash}"
        )
    return source


def _planned(plan: Path) -> bytes:
    """The metadata of a plan, which name its methods; nothing where it is gone or damaged."""
    try:
        return b"".join((pq.read_schema(plan).metadata or {}).values())
    except (OSError, pa.ArrowException):
        return b""
