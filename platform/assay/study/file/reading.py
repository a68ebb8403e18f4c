"""Reads study files: YAML 1.2, and every mistake named with line, column and the nearest right key.

The text is composed to nodes, not loaded: nodes carry their place, and scalars are converted here, so
that nothing but mappings, lists, texts, numbers, truth values and null can come out of a file. Anchors,
aliases, merge keys, tags and directives are refused: a study reads the same from top to bottom for
everybody, and a small file cannot unfold into a large one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, NoReturn, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent, DocumentStartEvent, Event, NodeEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.parser import Parser

from assay.removed import what_to_write_instead
from assay.study.design_rules import reference_problems
from assay.study.file.blocks import SAYS, Factor, Level
from assay.study.file.schema import Study
from assay.study.file.source import KeyPath, Source, StudyProblem, refuse
from trainables.errors import InputError, nearest, validation_message

__all__ = ["check_model", "parse_study", "parse_yaml", "read_study", "read_yaml_file"]

MAX_BYTES = 1_000_000
_MAX_VALUES = 30_000  # a second of reading
_MAX_DEPTH = 32
_SHORT = 60  # signs of a value in a message
_RULE, _FOUND = "should be ", ", found "
# Kind of value that is wanted, by pydantic's name of the problem → kinds that it would take for one.
_TAKEN_FOR: dict[str, tuple[type, ...]] = {
    "int_type": (bool, str),
    "float_type": (bool, str),
    "bool_type": (int, float, str),
}
_TRUTH_WORDS = {"on", "off", "yes", "no"}  # words of YAML 1.2, truth values of YAML 1.1
_TAG = "tag:yaml.org,2002:"
_ModelT = TypeVar("_ModelT", bound=BaseModel)


def read_study(path: Path) -> Study:
    """Read and check a study file.

    Raises:
        InputError: Naming every mistake with line and column, or that the file cannot be read.
    """
    return parse_study(read_yaml_file(path, "a study"), str(path))


def read_yaml_file(path: Path, what: str) -> str:
    """The text of a YAML file; ``what`` it holds: `a study`.

    Raises:
        InputError: If it cannot be read, is too large, or is no UTF-8.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise InputError(f"{path}: {what} is a readable YAML file: {error.strerror}") from error
    if size > MAX_BYTES:
        raise InputError(f"{path}: {what} file has at most {MAX_BYTES:,} bytes, found {size:,}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: {what} file is UTF-8 text, found byte {content[error.start]:#04x} at {error.start}. "
            "Save it as UTF-8."
        ) from error


def parse_study(text: str, origin: str = "the study") -> Study:
    """Check the text of a study file; ``origin`` is the file's name in messages.

    Raises:
        InputError: Naming every mistake with line and column.
    """
    value, source = parse_yaml(text, origin)
    if not isinstance(value, dict):
        raise InputError(
            f"{origin}: a study is a mapping that starts like `study: my_name`, found {_short(value)}"
        )

    # The check has two steps, each of which names all its mistakes at once: first the form of every value,
    # then what only the whole can tell, such as a name that nothing defines.
    study, problems = check_model(Study, value)
    refuse(source, problems)
    assert study is not None
    study = study.with_source(source)
    refuse(source, reference_problems(study))
    return study


def check_model(
    model: type[_ModelT], value: Any, at: KeyPath = ()
) -> tuple[_ModelT | None, list[StudyProblem]]:
    """Read ``value`` as ``model``, or find the problems in it, with paths that start with ``at``."""
    try:
        checked = model.model_validate(value)
        wrong = _wrong_kinds(model, value, at)
        return (None, wrong) if wrong else (checked, [])
    except ValidationError as error:
        details = error.errors(include_url=False)
        # A list whose elements are wrong is called too short as well: one mistake is one message.
        around = {detail["loc"][:end] for detail in details for end in range(len(detail["loc"]))}
        # Each value that a list lacks is a mistake: the last one tells how many there should be.
        lacking = {detail["loc"][:-1]: detail["loc"] for detail in details if _is_lacking_value(detail)}
        problems = (
            _problem(model, value, detail, at)
            for detail in details
            if not (detail["type"] == "too_short" and detail["loc"] in around)
            and not (_is_lacking_value(detail) and lacking[detail["loc"][:-1]] != detail["loc"])
        )
        return None, list(_joined(problems))


def _is_lacking_value(detail: ErrorDetails) -> bool:
    return detail["type"] == "missing" and isinstance(detail["loc"][-1], int)


def _wrong_kinds(model: type[BaseModel], value: Any, at: KeyPath) -> list[StudyProblem]:
    """Truth values where numbers belong, numbers where truth values do, and numbers written as text.

    Pydantic takes them for what they might mean: ``seeds: [true]`` would be seed 1. In its strict mode it
    does not, but there it does not take 1e3 for a whole number either, which it is.
    """
    try:
        # pydantic takes `true` for 1 and `"5"` for 5. Read strictly, the value shows where it has done so.
        model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        return [
            _problem(model, value, detail, at)
            for detail in error.errors(include_url=False)
            if isinstance(detail["input"], _TAKEN_FOR.get(detail["type"], ()))
            and str(detail["input"]).lower() not in _TRUTH_WORDS
        ]
    return []


def _joined(problems: Iterable[StudyProblem]) -> Iterator[StudyProblem]:
    """Join the kinds that a value may have instead in one message: ``should be 'auto' or a number``."""
    kinds: dict[tuple[KeyPath, str], list[str]] = {}
    for problem in problems:
        rule, comma, value = problem.message.partition(_FOUND)
        if not rule.startswith(_RULE):
            yield problem
            continue
        of_value = kinds.setdefault((problem.path, comma + value), [])
        if (kind := rule.removeprefix(_RULE)) not in of_value:
            of_value.append(kind)
    for (path, value_found), (*others, last) in kinds.items():
        either = f"{', '.join(others)} or " if others else ""
        yield StudyProblem(path, f"{_RULE}{either}{last}{value_found}")


def _problem(model: type[BaseModel], value: Any, detail: ErrorDetails, at: KeyPath) -> StudyProblem:
    path = _path_in(value, detail["loc"], missing=detail["type"] == "missing")
    value_found = f"{_FOUND}{_short(detail['input'])}"

    # pydantic speaks of its own types. A user is told in the words of the study file, with the nearest right
    # key.
    match detail["type"]:
        case _ if removed := what_to_write_instead(at + path, detail["input"]):
            message = removed
        case "extra_forbidden":
            key = str(path[-1])
            message = f"unknown key `{key}`; {nearest(key, _keys_at(model, path[:-1], detail['loc']))}"
        case "missing" if isinstance(last := detail["loc"][-1], int):
            message = f"{_RULE}a list of {last + 1} values{value_found}"
        case "missing":
            message = f"the key `{detail['loc'][-1]}` is missing"
        case "value_error":
            message = _with_value(validation_message(detail), detail["input"])
        case "string_pattern_mismatch" if "[a-z0-9_-]" in str(detail.get("ctx", {}).get("pattern")):
            message = f"a name has 1..64 of the signs a-z 0-9 _ -{value_found}"
        case _:
            message = validation_message(detail) + ("" if isinstance(detail["input"], dict) else value_found)
    return StudyProblem(at + path, message)


def _with_value(message: str, value: Any) -> str:
    """The message of a validator with the value found, unless it says so itself or the value is a block."""
    if re.search(r"\bfound\b", message) or isinstance(value, dict):
        return message
    end = f" Found {_short(value)}." if message.endswith(".") else f", found {_short(value)}"
    return message + end


def _path_in(value: Any, loc: tuple[int | str, ...], *, missing: bool) -> KeyPath:
    """``loc`` without the steps that pydantic adds for unions and keys and that the file does not have.

    ``missing``: the last step is a key that the file should have.
    """
    path: list[str | int] = []
    for index, step in enumerate(loc):
        if isinstance(value, dict) and step in value:
            value = cast(dict[Any, Any], value)[step]
        elif isinstance(value, (list, tuple)) and isinstance(step, int) and step < len(value):
            value = cast(list[Any], value)[step]
        elif index < len(loc) - 1 or not isinstance(value, dict) or not missing:
            continue
        path.append(step)
    return tuple(path)


def _keys_at(annotation: Any, path: KeyPath, loc: tuple[int | str, ...]) -> list[str]:
    """The keys that the schema has at ``path`` below a type; of several types those of the one in ``loc``."""
    keys: list[str] = []
    candidates = list(_alternatives(annotation))
    taken = [each for each in candidates if getattr(each, "__name__", None) in loc]
    for candidate in taken or candidates:
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            fields = {field.alias or name: field for name, field in candidate.model_fields.items()}
            if not path:
                keys += fields
            elif path[0] in fields:
                keys += _keys_at(fields[str(path[0])].annotation, path[1:], loc)
        elif candidate is Factor:
            keys += _keys_at(Level, path[1:], loc) if path else [SAYS]
        elif path and get_args(candidate):
            element = get_args(candidate)[-1 if get_origin(candidate) is dict else 0]
            keys += _keys_at(element, path[1:], loc)
    return keys


def _alternatives(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for argument in get_args(annotation):
            yield from _alternatives(argument)
    else:
        yield annotation


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHORT else text[: _SHORT - 3] + "..."


def parse_yaml(text: str, origin: str) -> tuple[Any, Source]:
    """The plain value of a YAML text, and where each key stands.

    Raises:
        InputError: If it is not YAML, or uses what is not read here.
    """
    if len(text.encode("utf-8", errors="surrogatepass")) > MAX_BYTES:
        raise InputError(f"{origin}: a study file has at most {MAX_BYTES:,} bytes")
    try:
        # What is not read here is refused while the text is parsed, before anything is built: a few lines of
        # aliases could unfold to gigabytes.
        yaml = YAML(typ="safe", pure=True)
        yaml.Parser = partial(_PlainParser, origin)
        node = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{origin}:{mark.line + 1}:{mark.column + 1}" if mark else origin
        raise InputError(f"{place}: not YAML: {error.problem or error.context}") from error
    except InputError:
        raise
    except (YAMLError, ValueError) as error:
        raise InputError(f"{origin}: not YAML: {str(error).splitlines()[0]}") from error
    if node is None:
        raise InputError(f"{origin}: a study is a mapping that starts like `study: my_name`, found nothing")
    builder = _Builder(origin)
    return builder.value(node, ()), Source(origin, text, builder.marks)


class _PlainParser(Parser):
    """Looks at each event before anything is made of it: none recurses far or unfolds."""

    def __init__(self, origin: str, loader: Any) -> None:
        super().__init__(loader)
        self._origin = origin
        self._depth = self._documents = self._values = 0

    def get_event(self) -> Any:
        event = super().get_event()
        if isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse(event, "a file holds one study; write the second one into its own file")
            if event.version or event.tags:
                self._refuse(event, "`%` directives are not read: a study is YAML 1.2")
        if isinstance(event, NodeEvent):
            self._look_at_node(event)

        # The depth is counted here, before anything recurses into a file that is too deep.
        self._depth += isinstance(event, CollectionStartEvent)
        self._depth -= isinstance(event, CollectionEndEvent)
        if self._depth > _MAX_DEPTH:
            self._refuse(event, f"a study nests at most {_MAX_DEPTH} levels deep")
        return event

    def _look_at_node(self, event: NodeEvent) -> None:
        if event.anchor is not None:
            self._refuse(
                event,
                f"anchors and aliases (`&{event.anchor}`, `*{event.anchor}`) are not read: "
                "write the value out",
            )
        tag = getattr(event, "ctag", None)
        if tag is not None:
            self._refuse(event, f"tags (`!...`) are not read; remove `{tag}`")
        self._values += 1
        if self._values > _MAX_VALUES:
            self._refuse(event, f"a study has at most {_MAX_VALUES:,} keys and values. Divide it")

    def _refuse(self, event: Event, why: str) -> NoReturn:
        mark = event.start_mark
        place = f"{self._origin}:{mark.line + 1}:{mark.column + 1}" if mark else self._origin
        raise InputError(f"{place}: {why}")


class _Builder:
    """Turns nodes into plain values and notes where each key and list element stands."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.marks: dict[KeyPath, tuple[int, int]] = {}

    def value(self, node: Node, path: KeyPath) -> Any:
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            for index, child in enumerate(node.value):
                self._mark((*path, index), child)
            return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self._scalar(node)

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            # Keys are words as they are written: `on`, `5` and `true` are fine names of levels.
            if not isinstance(key_node, ScalarNode):
                self._fail(key_node, "a key is a word")
            key = self._text(key_node)
            if key == "<<":
                self._fail(key_node, "merge keys (`<<`) are not read: write the values out")
            if key in result:
                first = self.marks[(*path, key)]
                self._fail(key_node, f"the key `{key}` stands twice; first in line {first[0]}. Remove one.")
            self._mark((*path, key), key_node)
            result[key] = self.value(value_node, (*path, key))
        return result

    def _scalar(self, node: ScalarNode) -> Any:
        text = self._text(node)
        match str(node.ctag).removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return self._whole(node, text.replace("_", ""))
            case "float":
                return self._real(node, text.replace("_", ""))
            case _:  # a date stays the text it is, as in YAML 1.2's core schema
                return text

    def _whole(self, node: ScalarNode, digits: str) -> int:
        base = 0 if digits.lstrip("+-").startswith(("0o", "0x", "0b")) else 10
        if len(digits) > 66 or not -(2**63) <= int(digits, base) < 2**63:
            self._fail(node, "a whole number has at most 64 bits")
        return int(digits, base)

    def _real(self, node: ScalarNode, digits: str) -> float:
        words = {".inf", "+.inf", "-.inf", ".nan"}
        value = math.inf if digits.lower() in words else float(digits)
        if not math.isfinite(value):
            self._fail(node, f"numbers are finite, found {digits}")
        return value

    def _text(self, node: ScalarNode) -> str:
        text = str(node.value)
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                self._fail(node, "the text holds half a surrogate pair, which no file can store")
        return text

    def _mark(self, path: KeyPath, node: Node) -> None:
        self.marks[path] = (node.start_mark.line + 1, node.start_mark.column + 1)

    def _fail(self, node: Node, message: str) -> NoReturn:
        mark = node.start_mark
        raise InputError(f"{self.origin}:{mark.line + 1}:{mark.column + 1}: {message}")
