"""Everything that a study may set, by name: default, allowed values, meaning.

It is read off the typed fields that check a study, so it cannot differ from what is allowed. Settings are
named as a study writes them: ``config.delta`` of a method, ``data.validation.share`` of a block.

>>> settings_of_method(find_trainable("segdec"))["config.delta"].may_be
'0 to 100'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import to_jsonable_python

from assay.study.file.schema import Study
from assay.study.file.writing import flow_yaml
from assay.study.names import NAME_PATTERN
from assay.study.planning.identity import flatten
from assay.study.settings.settings import AnyTrainable

__all__ = [
    "TOP",
    "Setting",
    "format_default",
    "preset_values",
    "presets_by_value",
    "settings_of_block",
    "settings_of_method",
    "settings_page",
    "study_blocks",
]

TOP = "study"  # the "block" of keys that stand at the top of a study
NOT_SET = "not set"
REQUIRED = "required"
_Schema = Mapping[str, Any]  # JSON Schema of one setting
_NOTHING: _Schema = MappingProxyType({})


_TITLES = ("setting", "default", "may be", "meaning")
_OPENING = """\
# Settings

This page lists everything that a study may set, with default, allowed values and meaning. `assay settings`
shows the same in the terminal. `assay settings METHOD --preset PRESET` puts a preset beside the defaults, and
`assay settings METHOD NAME` says all about one setting.

Names are as in a study. `config.delta` is `config: {delta: 0.5}` in the base, in a level of a factor or in a
row, and `config.delta` in the space of a search.
"""


class Setting(BaseModel, frozen=True):
    """A setting of a method or of a block of the study file."""

    setting: str = Field(description="As a study writes it.")
    default: str
    may_be: str
    meaning: str
    preset: str | None = Field(description="Its value in the preset that was named.")
    presets: dict[str, tuple[str, ...]] = Field(
        description="Value → presets that set it; of one setting alone."
    )

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """A row of a table of settings."""
        return self.setting, self.default, self.may_be, self.meaning


def settings_of_method(method: AnyTrainable) -> dict[str, Setting]:
    """Path → setting of a method's `config`; the first are those that every method has."""
    schema = method.Config.model_json_schema()
    settings = _settings_below("config", schema, schema.get("$defs", {}))
    return {setting.setting: setting for setting in settings}


def settings_of_block(block: str) -> list[Setting]:
    """The settings of a block (:func:`study_blocks`) of the study file; `data` ends with those of readers."""
    schema = _study_schema()
    properties: dict[str, _Schema] = schema["properties"]
    if block == TOP:
        blocks = study_blocks().keys() - {TOP}
        rest = {name: value for name, value in properties.items() if name not in blocks}
        top = {"properties": rest, "required": schema.get("required", ())}
        return [setting for name in rest for setting in _settings_of(name, top, schema["$defs"], "")]
    settings = list(_settings_below(block, _target(properties[block], schema["$defs"]), schema["$defs"]))
    return [*settings, *_reader_options()] if block == "data" else settings


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
    values = flatten({"config": to_jsonable_python(method.presets[preset])})
    return {path: format_default(value) for path, value in values.items()}


def presets_by_value(method: AnyTrainable, path: str) -> dict[str, tuple[str, ...]]:
    """Value → presets that set ``path`` to it."""
    presets: dict[str, tuple[str, ...]] = {}
    for preset in method.presets:
        value = preset_values(method, preset).get(path)
        if value is not None:
            presets[value] = (*presets.get(value, ()), preset)
    return presets


def format_default(value: Any) -> str:
    """A value as a study writes it: `true`, `[704, 256]`, `{share: 0.2, by: item}`."""
    if value in (None, {}, [], ()):
        return NOT_SET
    if isinstance(value, str):
        return value or "empty"
    return flow_yaml(value)


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

    # A block that has a meaning of its own is a row, too, above the rows of what it holds.
    if "description" in schema or "properties" not in target:
        shown = REQUIRED if name in owner.get("required", ()) else format_default(default)
        yield Setting(
            setting=path,
            default=shown,
            may_be=_values(schema, definitions),
            meaning=schema.get("description", ""),
            preset=None,
            presets={},
        )
    if "properties" in target:
        yield from _settings_below(path, target, definitions, default or {})


def _reader_options() -> Iterator[Setting]:
    from trainables.data.readers import READERS

    for reader in READERS.values():
        schema = reader.Options.model_json_schema()
        for setting in _settings_below("data.options", {"properties": {}, **schema}, schema.get("$defs", {})):
            meaning = f"Reader {reader.name}: {setting.meaning}".rstrip(": ")
            yield setting.model_copy(update={"meaning": meaning})


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


def settings_page(methods: Iterable[AnyTrainable]) -> str:
    """The page of ``assay settings --output``: these methods, and all blocks of a study."""
    ordered = sorted(methods, key=lambda method: method.name)
    sections = (line for method in ordered for line in _method_section(method))
    return "\n".join([_OPENING, *sections, *_block_sections()])


def _method_section(method: AnyTrainable) -> Iterator[str]:
    yield f"## Method `{method.name}`"
    yield ""
    yield f"{method.title}. Supervision: {', '.join(sorted(method.supervisions))}."
    yield ""
    if method.source:
        yield "Published in:"
        yield ""
        yield from (f"- {source}" for source in method.source.split("; "))
        yield ""
    yield from _table(_TITLES, [setting.cells for setting in settings_of_method(method).values()])
    if not method.presets:
        return
    yield "Presets replace defaults:"
    yield ""
    yield from _table(("preset", "sets"), [(name, _preset_row(method, name)) for name in method.presets])


def _preset_row(method: AnyTrainable, name: str) -> str:
    values = preset_values(method, name)
    return ", ".join(f"`{path.removeprefix('config.')}: {value}`" for path, value in values.items())


def _block_sections() -> Iterator[str]:
    for block, text in study_blocks().items():
        yield f"## Block `{block}`"
        yield ""
        yield text
        yield ""
        yield from _table(_TITLES, [setting.cells for setting in settings_of_block(block)])


def _table(titles: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in rows:
        name, *cells = (cell.replace("|", "\\|") for cell in row)
        yield f"| `{name}` | {' | '.join(cells)} |"
    yield ""
