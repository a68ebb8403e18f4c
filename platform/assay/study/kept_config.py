"""A config as the plan keeps it: resolved, as JSON values that make the same config again.

A trial's id is a hash over these values, and its worker reads the config from them. What a method's own
``Config`` may hold beside them is refused here, before a trial has an id.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from assay.study.identity import canonical_json
from assay.study.source import KeyPath, StudyProblem
from trainables.contract import TrainableConfig
from trainables.method_files import told

__all__ = ["kept_config"]


def kept_config(
    method: str, config: TrainableConfig, device: Literal["cpu", "cuda"]
) -> tuple[TrainableConfig | None, list[StudyProblem]]:
    """The config with every ``auto`` decided, or what is against keeping it.

    Args:
        method: Name of the method.
        config: Checked.
        device: That the study trains on.
    """
    try:
        resolved: object = config.resolved(device)
    except Exception as error:  # noqa: BLE001 - the method's own code, told with its line
        return None, [_problem((), f"the method's code fails in `Config.resolved`: {told(method, error)}")]
    if not isinstance(resolved, type(config)):
        rule = f"`Config.resolved` returns a {type(config).__name__}, found {resolved!r}. Mend the method"
        return None, [_problem((), rule)]
    problems = list(_against_keeping(method, config, resolved))
    if problems:
        return None, problems
    try:
        canonical_json(resolved.identity()).encode()
    except Exception as error:  # noqa: BLE001 - the method's own code, told with its line
        rule = "the method's code fails in `Config.identity`, which returns JSON values"
        return None, [_problem((), f"{rule}: {told(method, error)}")]
    return resolved, []


def _against_keeping(
    method: str, checked: TrainableConfig, config: TrainableConfig
) -> Iterator[StudyProblem]:
    excluded = [name for name, setting in type(config).model_fields.items() if setting.exclude]
    if excluded:
        rule = "a worker reads each setting from the plan, and `exclude` keeps it out"
        yield from (_problem((name,), rule) for name in excluded)
        return
    try:
        settings = config.model_dump(warnings=False, mode="json")
        canonical_json(settings).encode()
    except Exception as error:  # noqa: BLE001 - each setting alone says which one it is
        problems = list(_not_json(config))
        rule = "a config is kept as JSON with all that `computed_field` or a serializer adds"
        yield from problems or [_problem((), f"{rule}; found {_one_line(error)}. Mend the method")]
        return
    for name, value in config.model_dump(warnings=False).items():
        if _has_set(value):
            rule = "a set has another order in each process, and its trials other ids"
            yield _problem((name,), f"{rule}: found {value!r}. Make it a tuple")
    try:
        read = type(config).model_validate(settings)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            rule = "a worker reads the config from the plan, and would refuse what `resolved`, `alias` or"
            yield _problem(detail["loc"], f"{rule} `computed_field` makes of it: {detail['msg']}")
        return
    except Exception as error:  # noqa: BLE001 - a validator of the method's, told with its line
        rule = "the method's code fails in `Config`, read from the plan as a worker does"
        yield _problem((), f"{rule}: {told(method, error)}")
        return
    for name, value in _changed(checked, config, read, settings).items():
        rule = "a worker reads each setting from the plan, where it has to come back the same: found"
        kept, back = reprlib.repr(settings.get(name)), reprlib.repr(getattr(read, name))
        way_out = "Mend its type or its serializer in `Config`"
        yield _problem((name,), f"{rule} {reprlib.repr(value)}, kept as {kept}, read as {back}. {way_out}")


def _changed(
    checked: TrainableConfig, config: TrainableConfig, read: TrainableConfig, settings: dict[str, Any]
) -> dict[str, Any]:
    """The settings that a worker reads as something else."""
    given, before, after = map(_values, (checked, config, read))
    changed = {
        name: value
        for name, value in before.items()
        if value is not after[name] and not _is_same(value, after[name])  # most are one object: 0.03 ms less
    }
    if not changed:
        return {}
    # Pydantic takes a default as it is written (a text for a path), and what `resolved` sets by `model_copy`,
    # and checks it when it reads it.
    written = {
        name: value
        for name, value in before.items()
        if name not in checked.model_fields_set or value is not given.get(name)
    }
    try:
        again = _values(type(config).model_validate(settings | written))
    except Exception:  # noqa: BLE001 - a validator of the method's, which takes JSON and not this value
        return changed
    return {
        name: value
        for name, value in changed.items()
        if name not in written or not _is_same(again[name], after[name])
    }


def _values(settings: Any) -> dict[str, Any]:
    """The fields of a model, or those of a dataclass that are compared."""
    if not isinstance(settings, BaseModel):
        return {field.name: getattr(settings, field.name) for field in fields(settings) if field.compare}
    of_model = {name: getattr(settings, name) for name in type(settings).model_fields}
    return of_model | (settings.model_extra or {})


def _is_same(value: Any, back: Any) -> bool:
    """Tell whether a value came back; a list for a tuple did, as a ``Sequence`` does."""
    if isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type)):
        return type(back) is type(value) and (
            _equal(value, back) is True or _is_same(_values(value), _values(back))
        )
    if isinstance(value, dict):
        return (
            isinstance(back, dict)
            and value.keys() == back.keys()
            and all(_is_same(value[key], back[key]) for key in value)
        )
    if isinstance(value, (list, tuple)):
        same_length = isinstance(back, (list, tuple)) and len(value) == len(back)
        return same_length and all(map(_is_same, value, back))
    if type(value).__eq__ is object.__eq__:  # a class of the method's that cannot be compared
        return type(back) is type(value)
    return _equal(value, back) is not False or _equal(value, value) is False  # a NaN may be kept as a text


def _equal(value: Any, back: Any) -> bool | None:
    try:
        return bool(value == back)
    except Exception:  # noqa: BLE001 - an array: it has no one answer
        return None


def _not_json(config: TrainableConfig) -> Iterator[StudyProblem]:
    for name in type(config).model_fields:
        try:
            canonical_json(config.model_dump(warnings=False, mode="json", include={name})).encode()
        except Exception as error:  # noqa: BLE001 - pydantic's, json's, or that of a serializer of the method's
            rule = "a setting is kept as JSON (text, finite numbers, true, false, null, lists, maps)"
            value = reprlib.repr(getattr(config, name))
            yield _problem((name,), f"{rule}; found {value} ({_one_line(error)})")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _has_set(value: Any) -> bool:
    """Tell whether there is a set of several values in it."""
    if isinstance(value, dict):
        return any(map(_has_set, value.values()))
    if isinstance(value, (set, frozenset)):
        return len(value) > 1
    return isinstance(value, (list, tuple)) and any(map(_has_set, value))


def _problem(setting: KeyPath, message: str) -> StudyProblem:
    return StudyProblem(("config", *setting), message)
