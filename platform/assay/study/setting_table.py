"""Everything that a study may set, by name: default, allowed values, meaning.

It is read off the typed fields that check a study, so it cannot differ from what is allowed. Settings are
named as a study writes them: ``config.delta`` of a method, ``data.validation.share`` of a block.

>>> settings_of_method(find_trainable("segdec"))["config.delta"].values
'0 to 100'
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from assay.study.identity import flatten
from assay.study.names import NAME_PATTERN
from assay.study.schema import Study
from assay.study.settings import AnyTrainable
from trainables.data.readers.base import Reader

__all__ = [
    "TOP",
    "Setting",
    "format_default",
    "preset_values",
    "presets_by_value",
    "settings_of_block",
    "settings_of_method",
    "study_blocks",
]

TOP = "study"  # the "block" of keys that stand at the top of a study
NOT_SET = "not set"
REQUIRED = "required"
_Schema = Mapping[str, Any]  # JSON Schema of one setting
_NOTHING: _Schema = MappingProxyType({})


class Setting(NamedTuple):
    """One setting of a method or of a block of the study file."""

    path: str  # as a study writes it
    default: str
    values: str  # what it may be: bounds, or the words that are allowed
    meaning: str  # with unit, and place in the paper


def settings_of_method(method: AnyTrainable) -> dict[str, Setting]:
    """Path → setting of a method's `config`; the first are those that every method has."""
    schema = method.Config.model_json_schema()
    settings = _settings_below("config", schema, schema.get("$defs", {}))
    return {setting.path: setting for setting in settings}


def settings_of_block(block: str, readers: Iterable[Reader] | None = None) -> list[Setting]:
    """The settings of a block of the study file.

    Args:
        block: One of :func:`study_blocks`.
        readers: Readers whose options end the settings of `data`; default: all that are installed.
    """
    schema = _study_schema()
    properties: dict[str, _Schema] = schema["properties"]
    if block == TOP:
        blocks = study_blocks().keys() - {TOP}
        rest = {name: value for name, value in properties.items() if name not in blocks}
        top = {"properties": rest, "required": schema.get("required", ())}
        return [setting for name in rest for setting in _settings_of(name, top, schema["$defs"], "")]
    settings = list(_settings_below(block, _target(properties[block], schema["$defs"]), schema["$defs"]))
    return [*settings, *_reader_options(readers)] if block == "data" else settings


def study_blocks() -> Mapping[str, str]:
    """Block of the study file → what it is about."""
    schema = _study_schema()
    blocks = {
        name: _target(value, schema["$defs"])
        for name, value in schema["properties"].items()
        if "properties" in _target(value, schema["$defs"])
    }
    top = {TOP: "Keys that stand at the top of a study, without a block."}
    return MappingProxyType({**top, **{name: _first_line(target) for name, target in blocks.items()}})


def preset_values(method: AnyTrainable, preset: str) -> dict[str, str]:
    """Path → value of what a preset sets."""
    values = flatten({"config": json.loads(json.dumps(method.presets[preset]))})
    return {path: format_default(value) for path, value in values.items()}


def presets_by_value(method: AnyTrainable, path: str) -> dict[str, list[str]]:
    """Value → presets that set ``path`` to it."""
    presets: dict[str, list[str]] = {}
    for preset in method.presets:
        value = preset_values(method, preset).get(path)
        if value is not None:
            presets.setdefault(value, []).append(preset)
    return presets


def format_default(value: Any) -> str:
    """A value as a study writes it: `true`, `[704, 256]`, `{share: 0.2, by: item}`."""
    if value in (None, {}, [], ()):
        return NOT_SET
    match value:
        case str():
            return value or "empty"
        case dict():
            items = cast(dict[str, Any], value).items()
            return f"{{{', '.join(f'{key}: {format_default(part)}' for key, part in items)}}}"
        case list() | tuple():
            return f"[{', '.join(format_default(part) for part in cast(list[Any], value))}]"
        case _:
            return json.dumps(value)


@cache
def _study_schema() -> dict[str, Any]:
    return Study.model_json_schema(by_alias=True)


def _settings_below(
    at: str, schema: _Schema, definitions: _Schema, defaults: _Schema = _NOTHING
) -> Iterator[Setting]:
    for name in schema["properties"]:
        yield from _settings_of(name, schema, definitions, f"{at}.", defaults)


def _settings_of(
    name: str, owner: _Schema, definitions: _Schema, prefix: str, defaults: _Schema = _NOTHING
) -> Iterator[Setting]:
    """One property of ``owner``, and those below it where it is a block; ``defaults`` replace its own."""
    schema: _Schema = owner["properties"][name]
    target, path = _target(schema, definitions), prefix + name
    default = defaults.get(name, schema.get("default"))
    if "description" in schema or "properties" not in target:
        shown = REQUIRED if name in owner.get("required", ()) else format_default(default)
        yield Setting(path, shown, _values(schema, definitions), schema.get("description", ""))
    if "properties" in target:
        yield from _settings_below(path, target, definitions, default or {})


def _reader_options(readers: Iterable[Reader] | None) -> Iterator[Setting]:
    from trainables.data.readers import READERS

    for reader in READERS.values() if readers is None else readers:
        schema = reader.Options.model_json_schema()
        for setting in _settings_below("data.options", {"properties": {}, **schema}, schema.get("$defs", {})):
            yield setting._replace(meaning=f"Reader {reader.name}: {setting.meaning}".rstrip(": "))


def _target(schema: _Schema, definitions: _Schema) -> _Schema:
    """The schema that a reference leads to; of an optional block the block."""
    if "$ref" in schema:
        return definitions[schema["$ref"].rpartition("/")[2]]
    ways = [way for way in _ways(schema) if "const" not in way]
    return _target(ways[0], definitions) if len(ways) == 1 and "$ref" in ways[0] else schema


def _ways(schema: _Schema) -> list[_Schema]:
    """The schemas of which a value fits one, without null; none where there is no choice."""
    ways = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return [each for way in ways if way.get("type") != "null" for each in _ways(way) or [way]]


def _first_line(schema: _Schema) -> str:
    return schema.get("description", "").partition("\n\n")[0].replace("\n", " ").replace("``", "`")


def _values(schema: _Schema, definitions: _Schema) -> str:
    """The allowed values in words."""
    if "$ref" in schema:
        return _values(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if ways := _ways(schema):
        return " or ".join(dict.fromkeys(_values(way, definitions) for way in ways))
    words = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if words is not None:
        return ", ".join(map(format_default, words))
    if schema.get("pattern") == NAME_PATTERN:
        return "a name of a to z, 0 to 9, _ and -"
    return {
        "boolean": "true, false",
        "integer": f"whole number{_bounds(schema)}",
        "number": _bounds(schema).removeprefix(", ") or "number",
        "array": _list_values(schema, definitions),
        "object": _mapping_values(schema, definitions),
    }.get(str(schema.get("type")), "text")


def _mapping_values(schema: _Schema, definitions: _Schema) -> str:
    """`{mixed: whole number, at least 0}` of one key, else a word."""
    properties = schema.get("properties", {})
    if len(properties) != 1 or schema.get("required") != list(properties):
        return "a block" if properties else "a mapping"
    ((key, value),) = properties.items()
    return f"{{{key}: {_values(value, definitions)}}}"


def _bounds(schema: _Schema) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f", {low:g} to {high:,g}" if high < 10_000 else f", {low:g} to {high:,.0f}"
    words = {"at least": low, "above": above, "at most": high, "below": below}
    return "".join(f", {word} {limit:,.10g}" for word, limit in words.items() if limit is not None)


def _list_values(schema: _Schema, definitions: _Schema) -> str:
    parts = [_values(part, definitions) for part in schema.get("prefixItems", ())]
    if parts and len(set(parts)) == 1:
        return f"list of {len(parts)}: {parts[0]}"
    if parts:
        return f"list: {'; '.join(parts)}"
    each = _values(schema["items"], definitions) if schema.get("items") else "anything"
    return f"list of: {each}"
