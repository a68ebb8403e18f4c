"""Parts of the study file that its blocks are written with: seeds, factors, levels, comparisons, words."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from assay.study.names import NAME_PATTERN, Name
from trainables.data.spec import Supervision

__all__ = [
    "LEVEL_PATTERN",
    "SAYS",
    "STRICT",
    "ComparisonSpec",
    "Factor",
    "Level",
    "LevelNames",
    "MethodName",
    "NamedOnce",
    "OneOrMore",
    "Seed",
    "SupervisionField",
    "as_lists",
]

STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, serialize_by_alias=True)


def _named_once(numbers: tuple[int, ...]) -> tuple[int, ...]:
    twice = sorted(number for number, times in Counter(numbers).items() if times > 1)
    if twice:
        raise ValueError(f"each is named once, found twice: {', '.join(map(str, twice))}")
    return numbers


def _as_list(value: Any) -> Any:
    """Let one name stand for a list of one."""
    return value if isinstance(value, (list, tuple)) else (value,)


Seed = Annotated[int, Field(ge=0, lt=2**32)]
NamedOnce = AfterValidator(_named_once)  # of a list of seeds or folds

SupervisionField = Annotated[
    Supervision,
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["none", "weak", "full"]},
                {
                    "type": "object",
                    "properties": {"mixed": {"type": "integer", "minimum": 0}},
                    "required": ["mixed"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
# A method's name, its file, or the description of a program, which is its JSON text from here on.
MethodName = Annotated[
    str,
    BeforeValidator(lambda value: json.dumps(value) if isinstance(value, dict) else value),
    Field(min_length=1, max_length=20_000),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, {"type": "object"}]}),
]
OneOrMore = BeforeValidator(_as_list)  # of names
LevelNames = Annotated[tuple[Name, ...], Field(min_length=1), OneOrMore]


# Words of factors and levels ---------------------------------------------------------------------------
#
# They stand in tables, figures, sentences and links, in Markdown, HTML and LaTeX. Nothing in them means
# anything there, because only letters, digits and a few signs may be in them.

SAYS = "says"  # key of a factor that is no level
LEVEL_PATTERN = NAME_PATTERN.replace("^", f"^(?!{SAYS}$)")
_MOST_SIGNS = 60
_SIGNS = " -–,()/+%'’=×²³°"


def _check_words(words: str) -> str:
    """Refuse words that are no short plain text."""
    rule = "words are a short plain text, such as `without distance weights`"
    if not words.strip():
        raise ValueError(f"{rule}, found none: leave `says` out")
    if len(words) > _MOST_SIGNS:
        raise ValueError(f"{rule}, of {_MOST_SIGNS} signs at most, found {len(words)}")
    if words != words.strip() or "  " in words:
        raise ValueError(f"{rule}, found spaces at an end or two in a row: {words!r}")
    for index, sign in enumerate(words):
        of_number = sign == "." and words[:index][-1:].isdigit() and words[index + 1 :][:1].isdigit()
        if not (sign in _SIGNS or unicodedata.category(sign)[0] in "LN" or of_number):
            text = f"U+{ord(sign):04X}" if not sign.isprintable() else sign
            raise ValueError(f"{rule}, of letters, digits and {_SIGNS.strip()}, found {text}")
    if not words[0].isalnum():
        raise ValueError(f"{rule}, and start with a letter or digit, found {words!r}")
    if words.count("(") != words.count(")") or words.find(")") < words.find("("):
        raise ValueError(f"{rule}, with brackets in pairs, found {words!r}")
    return words


Words = Annotated[str, AfterValidator(_check_words)]


class Level(BaseModel):
    """A named group of settings; whatever it leaves out is as in the study's base."""

    model_config = STRICT
    says: Words | None = Field(default=None, description="The level in words, for pages: `5 masks`.")
    trainable: MethodName | None = Field(
        default=None,
        description="Another method, or the file of one (`./blur.py:TRAINABLE`). Of the base's `config` it "
        "takes over what every method has.",
    )
    supervision: SupervisionField | None = Field(default=None, description="Which labels training may read.")
    config: dict[str, Any] = Field(default_factory=dict, description="Settings of the trainable.")
    data: dict[str, Any] = Field(
        default_factory=dict, description="Settings of `data`; with a `reader`, a whole block of its own."
    )


class _FactorBlock(BaseModel):
    """A factor as the file has it: every key but `says` is a level."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[Name, Level]  # pyright: ignore[reportIncompatibleVariableOverride]
    says: Words | None = Field(
        default=None, description="The factor in words, for pages: `distance weighting of the mask loss`."
    )


class Factor(dict[str, Level]):
    """Levels by name, and what the factor is in words.

    The words are no part of the question: a study is the same with others.
    """

    says: str | None

    def __init__(self, levels: Mapping[str, Level], says: str | None = None) -> None:
        super().__init__(levels)
        self.says = says

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and self.says == getattr(other, SAYS, None)

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    @classmethod
    def _checked(cls, value: Any, handler: Callable[[Any], Any]) -> Factor:
        if isinstance(value, Factor):
            value = {**value, **({SAYS: value.says} if value.says is not None else {})}
        block = handler(value)
        levels: dict[str, Level] = block.__pydantic_extra__
        if not levels:
            raise ValueError("a factor has at least one level, found none")
        words = [level.says.casefold() for level in levels.values() if level.says is not None]
        if twice := sorted(text for text, times in Counter(words).items() if times > 1):
            raise ValueError(f"two levels of a factor do not have the same words, found twice: {twice[0]}")
        return cls(levels, block.says)

    @staticmethod
    def _written(factor: Factor, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        words = {} if factor.says is None else {SAYS: factor.says}
        return {**words, **handler(dict(factor))}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            cls._checked,
            handler.generate_schema(_FactorBlock),
            serialization=core_schema.wrap_serializer_function_ser_schema(
                cls._written, schema=handler.generate_schema(dict[str, Level])
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        block = handler.resolve_ref_schema(handler(schema))
        return {
            "type": "object",
            "description": "Levels of the factor: a name and settings each.",
            "minProperties": 1,
            "properties": block["properties"],
            "patternProperties": {LEVEL_PATTERN: block["additionalProperties"]},
        }


def as_lists(levels: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """One level of each factor, as designs take several."""
    return {factor: (level,) for factor, level in levels.items()}


class ComparisonSpec(BaseModel):
    """All pairs of cells that differ in this factor only."""

    model_config = STRICT
    factor: Name = Field(description="The factor that is compared.")
    start: Name | None = Field(default=None, alias="from", description="Level on the left; default: each.")
    end: Name | None = Field(default=None, alias="to", description="Level on the right; default: each.")
    ask: Literal["pays", "can go"] = Field(
        default="pays",
        description="`can go`: also whether dropping the right level for the left one loses less than "
        "`resolve`. It is tested in the same family.",
    )
    claim: Literal["data sets"] | None = Field(
        default=None,
        description="`data sets`: also whether it holds on further data sets. Each is then one unit, the "
        "mean over its repeats; six can show something.",
    )
    over: Name | None = Field(
        default=None,
        description="The factor whose levels are the data sets; needed where several factors set `data`.",
    )
