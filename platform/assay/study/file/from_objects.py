"""Studies that Python programs give: a path, a mapping as in YAML, or a :class:`Study` made of objects.

Mappings and objects are written as YAML first and read as a file is. So the same rules hold, the storage
keeps a text that `assay run` takes, and a study of objects has the trial ids of its file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from assay.study.file.reading import parse_study, read_study
from assay.study.file.schema import Study
from assay.study.file.shipped import find_study
from assay.study.file.writing import flow_yaml
from trainables.errors import InputError

__all__ = ["StudyLike", "as_study", "study_yaml"]

StudyLike = str | Path | Mapping[str, Any] | Study

_WIDTH = 100  # of a line that holds a whole block


def as_study(study: StudyLike) -> Study:
    """The study that a program means.

    Args:
        study: A study file's path, the name of a study that comes with assay, a mapping with the keys of a
            study file (values may be objects such as ``DataSpec``), or a :class:`Study`. Files of methods lie
            beside the study's file, otherwise in the current folder.

    Raises:
        InputError: Naming every mistake; of a file with line and column.
    """
    if isinstance(study, str | Path):
        return read_study(find_study(Path(study)).path)
    if not isinstance(study, Study):
        return parse_study(study_yaml(study))
    source = study.source
    if source.text and parse_study(source.text, source.origin) == study:
        return study  # with its comments; one that was changed by `model_copy` is written anew
    return parse_study(study_yaml(study), source.origin)


def study_yaml(study: Study | Mapping[str, Any]) -> str:
    """The text of a study file, ending in a newline: what was set, and no defaults.

    Raises:
        InputError: If it is no study at all, or a value is none that a study file can hold.
    """
    plain = _plain(study, "the study")
    if not isinstance(plain, dict):
        raise InputError(
            "a study is a file's path, the name of one that comes with assay, a mapping or a Study, found a "
            f"{type(study).__name__}. Give one of them."
        )
    return "\n".join([*_lines(cast(dict[str, Any], plain), ""), ""])


def _lines(block: Mapping[str, Any], indent: str) -> Iterator[str]:
    """A block's settings; each in one line where it fits, else as a block of its own."""
    for key, value in block.items():
        line = f"{indent}{flow_yaml(key)}: {flow_yaml(value)}"
        if not value or len(line) <= _WIDTH:
            yield line
        elif isinstance(value, dict):
            yield f"{indent}{flow_yaml(key)}:"
            yield from _lines(value, f"{indent}  ")
        elif isinstance(value, list):
            yield f"{indent}{flow_yaml(key)}:"
            yield from (f"{indent}  - {flow_yaml(part)}" for part in value)
        else:
            yield line


def _plain(value: Any, place: str) -> Any:
    """Turn ``value`` into mappings, lists, texts and numbers."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        return {str(key): _plain(part, str(key)) for key, part in value.items()}
    as_list = getattr(value, "tolist", None)  # of NumPy's numbers and arrays, and of columns of pandas
    value = as_list() if callable(as_list) else value
    if isinstance(value, Sequence | range) and not isinstance(value, str | bytes):
        return [_plain(part, place) for part in value]
    if isinstance(value, Path):
        return value.as_posix()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise InputError(
        f"{place}: a study holds mappings, lists, texts, numbers, truth values and nothing, found a "
        f"{type(value).__name__}: {value!r}"
    )
