"""JSON Schema of the study file, for editors: completion, explanations and red underlines while typing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from assay.study.names import NAME_PATTERN
from assay.study.schema import Study
from assay.study.settings import AnyTrainable
from trainables.data.readers import READERS

__all__ = ["study_schema"]

_VARIED = ("OneAtATime", "LeaveOneOut", "Cumulative")


def study_schema(trainables: Iterable[AnyTrainable] | None = None) -> dict[str, Any]:
    """The schema, with the settings of each trainable where the study names it.

    Args:
        trainables: Methods whose settings are described; default: all that are installed.
    """
    if trainables is None:
        from trainables.catalogue import all_trainables

        trainables = all_trainables().values()
    schema = Study.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "assay study"
    _as_the_file_has_it(schema)
    definitions = schema["$defs"]
    level = definitions.pop("Level")
    rules: list[dict[str, Any]] = []
    for trainable in sorted(trainables, key=lambda t: t.name):
        config = _config_schema(trainable, definitions)
        definitions[f"config_{trainable.name}"] = config
        levels = {**level, "properties": {**level["properties"], "config": _ref(f"config_{trainable.name}")}}
        definitions[f"level_{trainable.name}"] = levels
        rules.append(
            {
                "if": {"properties": {"trainable": {"const": trainable.name}}, "required": ["trainable"]},
                "then": {"properties": _uses(trainable.name)},
            }
        )
    definitions["Level"] = level
    schema["allOf"] = rules
    return schema


def _uses(name: str) -> dict[str, Any]:
    levels = {"type": "object", "patternProperties": {NAME_PATTERN: _ref(f"level_{name}")}}
    factors = {"type": "object", "patternProperties": {NAME_PATTERN: levels}}
    rows = {"items": {"properties": {"override": _ref(f"level_{name}")}}}
    return {"config": _ref(f"config_{name}"), "factors": factors, "design": {"properties": {"rows": rows}}}


def _config_schema(trainable: AnyTrainable, definitions: dict[str, Any]) -> dict[str, Any]:
    config = trainable.Config.model_json_schema(ref_template=f"#/$defs/{trainable.name}_{{model}}")
    for name, definition in config.pop("$defs", {}).items():
        definitions[f"{trainable.name}_{name}"] = definition
    config.pop("required", None)  # a preset or the study's base may have set it
    presets = {"enum": sorted(trainable.presets), "description": "Published settings to start from."}
    config["properties"] = {"preset": presets, **config["properties"]}
    return config


def _as_the_file_has_it(schema: dict[str, Any]) -> None:
    """Where the file allows a shorter form than the checked object has."""
    validation = schema["$defs"]["DataSpec"]["properties"]["validation"]
    validation["anyOf"] = [{"const": "none"}, *validation["anyOf"]]
    row = schema["$defs"]["Row"]
    factors = NAME_PATTERN.replace("^", "^(?!override$)")  # every other key of a row is a factor
    row["patternProperties"] = {factors: _one_or_more(row["additionalProperties"])}
    row["additionalProperties"] = False
    lists = [*(schema["$defs"][way]["properties"]["across"] for way in _VARIED)]
    lists.append(schema["properties"]["nested"]["patternProperties"][NAME_PATTERN])
    for one in lists:
        one["patternProperties"][NAME_PATTERN] = _one_or_more(one["patternProperties"][NAME_PATTERN])
    schema["$defs"]["DataSpec"]["properties"]["reader"]["enum"] = sorted(READERS)


def _one_or_more(levels: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [levels["items"], levels]}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}
