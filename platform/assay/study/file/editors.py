"""JSON Schema of the study file, for editors: completion, explanations and red underlines while typing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from assay.study.file.blocks import LEVEL_PATTERN
from assay.study.file.schema import Study
from assay.study.names import NAME_PATTERN
from assay.study.settings.settings import AnyTrainable
from trainables.contract import TrainableConfig
from trainables.data.readers import READERS

__all__ = ["study_schema"]

_PRESET = "Published settings to start from."
_VARIED = ("OneAtATime", "LeaveOneOut", "Cumulative")


def study_schema(trainables: Iterable[AnyTrainable] | None = None) -> dict[str, Any]:
    """The schema, with the settings of each trainable where the study or a level names it.

    Args:
        trainables: Methods whose settings are described; default: all that are installed.
    """
    if trainables is None:
        from trainables.plugins.catalogue import TRAINABLES

        trainables = TRAINABLES.values()
    schema = Study.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "assay study"
    _as_the_file_has_it(schema)
    definitions = schema["$defs"]
    definitions["config_shared"] = _config_schema(TrainableConfig, "shared", definitions)
    of_study: list[dict[str, Any]] = [_unless_named({"properties": {"config": _ref("config_shared")}})]
    of_level: list[dict[str, Any]] = []

    # What `config` may hold depends on the method that is named beside it, so each method has a condition of
    # its own: one for the study, one for its levels.
    for trainable in sorted(trainables, key=lambda t: t.name):
        name, presets = trainable.name, {"enum": sorted(trainable.presets), "description": _PRESET}
        config = _config_schema(trainable.Config, name, definitions)
        config["properties"] = {"preset": presets, **config["properties"]}
        definitions[f"config_{name}"] = config
        with_config = {"properties": {"config": _ref(f"config_{name}")}}
        definitions[f"level_{name}"] = {**_ref("Level"), **_unless_named(with_config)}
        of_study.append(_where_named(name, {"properties": _uses(name)}))
        of_level.append(_where_named(name, with_config))
    definitions["Level"]["allOf"] = of_level
    schema["allOf"] = of_study
    return schema


def _where_named(trainable: str, then: dict[str, Any]) -> dict[str, Any]:
    """A rule for a study or level that names this method."""
    return {
        "if": {"properties": {"trainable": {"const": trainable}}, "required": ["trainable"]},
        "then": then,
    }


def _unless_named(then: dict[str, Any]) -> dict[str, Any]:
    """A rule for a study or level that names no method."""
    return {"if": {"not": {"required": ["trainable"]}}, "then": then}


def _uses(name: str) -> dict[str, Any]:
    levels = {"type": "object", "patternProperties": {LEVEL_PATTERN: _ref(f"level_{name}")}}
    factors = {"type": "object", "patternProperties": {NAME_PATTERN: levels}}
    rows = {"items": {"properties": {"override": _ref(f"level_{name}")}}}
    return {"config": _ref(f"config_{name}"), "factors": factors, "design": {"properties": {"rows": rows}}}


def _config_schema(config: type[TrainableConfig], owner: str, definitions: dict[str, Any]) -> dict[str, Any]:
    schema = config.model_json_schema(ref_template=f"#/$defs/{owner}_{{model}}")
    for name, definition in schema.pop("$defs", {}).items():
        definitions[f"{owner}_{name}"] = definition
    schema.pop("required", None)  # a preset or the study's base may have set it
    return schema


def _as_the_file_has_it(schema: dict[str, Any]) -> None:
    """Allow the shorter forms that the file may have and the checked object has not."""
    validation = schema["$defs"]["DataSpec"]["properties"]["validation"]
    validation["anyOf"] = [{"const": "none"}, *validation["anyOf"]]
    row = schema["$defs"]["Row"]
    factors = NAME_PATTERN.replace("^", "^(?!override$)")  # every other key of a row is a factor
    row["patternProperties"] = {factors: _one_or_more(row["additionalProperties"])}
    row["additionalProperties"] = False
    lists = [*(schema["$defs"][way]["properties"]["across"] for way in _VARIED)]
    lists.append(schema["properties"]["nested"]["patternProperties"][NAME_PATTERN])
    for mapping in lists:
        patterns = mapping["patternProperties"]
        patterns[NAME_PATTERN] = _one_or_more(patterns[NAME_PATTERN])
    schema["$defs"]["DataSpec"]["properties"]["reader"]["enum"] = sorted(READERS)


def _one_or_more(levels: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [levels["items"], levels]}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}
