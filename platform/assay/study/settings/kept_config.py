"""A config as the plan keeps it: resolved, as JSON values that make the same config again.

A trial's id is a hash over these values, and its worker reads the config from them. What a method's own
``Config`` may hold beside them is refused here, before a trial has an id.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import ValidationError

from assay.study.file.source import KeyPath, StudyProblem
from assay.study.planning.identity import canonical_json
from trainables.contract import TrainableConfig
from trainables.plugins.method_files import method_error_line

__all__ = ["kept_config"]


def kept_config(
    method: str, config: TrainableConfig, device: Literal["cpu", "cuda"]
) -> tuple[TrainableConfig | None, list[StudyProblem]]:
    """The config with every ``auto`` decided for a device, or what is against keeping it."""
    try:
        resolved: object = config.resolved(device)
        if not isinstance(resolved, type(config)):
            rule = f"`Config.resolved` returns a {type(config).__name__}, found {resolved!r}. Mend the method"
            return None, [_problem((), rule)]
        problems = list(_against_keeping(resolved))
        if not problems:
            canonical_json(resolved.identity()).encode()
    except Exception as error:  # noqa: BLE001 - the method's own code, told with its line
        rule = "the method's code fails in `Config`, when it is resolved, kept as JSON or read again"
        return None, [_problem((), f"{rule}: {method_error_line(method, error)}")]
    return (None, problems) if problems else (resolved, [])


def _against_keeping(config: TrainableConfig) -> Iterator[StudyProblem]:
    excluded = [name for name, setting in type(config).model_fields.items() if setting.exclude]
    for name in excluded:
        rule = "a worker reads each setting from the plan, and `exclude` keeps it out"
        yield _problem((name,), rule)
    try:
        kept = config.model_dump(warnings=False, mode="json")
        canonical_json(kept).encode()
    except Exception:
        not_json = list(_not_json(config))
        if not (not_json or excluded):
            raise  # what the config computes beside its settings fails
        yield from not_json
        return
    if excluded:
        return
    for name, value in config.model_dump(warnings=False).items():
        if _has_set(value):
            rule = "a set has another order in each process, and its trials other ids"
            yield _problem((name,), f"{rule}: found {value!r}. Make it a tuple")
    try:
        # A worker reads its config from the plan. What was written and read again must be the same config, or
        # it would train another one than was planned.
        read = type(config).model_validate(kept)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            rule = "a worker reads the config from the plan, and would refuse what `resolved`, `alias` or"
            yield _problem(detail["loc"], f"{rule} `computed_field` makes of it: {detail['msg']}")
        return
    kept_again = read.model_dump(warnings=False, mode="json")
    for name in type(config).model_fields:
        value, back = getattr(config, name), getattr(read, name)
        is_rounded = isinstance(value, (int, float)) and value != back
        if is_rounded or kept[name] != kept_again[name]:
            rule = "a worker reads each setting from the plan, where it has to come back the same: found"
            before, in_plan, after = map(reprlib.repr, (value, kept[name], back))
            way_out = "Mend its type or its serializer in `Config`"
            yield _problem((name,), f"{rule} {before}, kept as {in_plan}, read as {after}. {way_out}")


def _not_json(config: TrainableConfig) -> Iterator[StudyProblem]:
    """The settings that cannot be kept as JSON, each told by itself."""
    for name in type(config).model_fields:
        try:
            canonical_json(config.model_dump(warnings=False, mode="json", include={name})).encode()
        except Exception as error:  # noqa: BLE001 - pydantic's, json's, or that of a serializer of the method's
            rule = "a setting is kept as JSON (text, finite numbers, true, false, null, lists, maps)"
            value, reason = reprlib.repr(getattr(config, name)), " ".join(str(error).split())
            yield _problem((name,), f"{rule}; found {value} ({reason})")


def _has_set(value: Any) -> bool:
    """Tell whether there is a set of several values in it."""
    if isinstance(value, dict):
        return any(map(_has_set, value.values()))
    if isinstance(value, (set, frozenset)):
        return len(value) > 1
    return isinstance(value, (list, tuple)) and any(map(_has_set, value))


def _problem(setting: KeyPath, message: str) -> StudyProblem:
    return StudyProblem(("config", *setting), message)
