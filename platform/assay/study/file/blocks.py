"""Parts of the study file that its blocks are written with: seeds, levels, comparisons, lists of levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from assay.study.names import Name
from trainables.data.spec import Supervision

__all__ = [
    "STRICT",
    "ComparisonSpec",
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
    """One name stands for a list of one."""
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
MethodName = Annotated[str, Field(min_length=1, max_length=200)]
OneOrMore = BeforeValidator(_as_list)  # of names
LevelNames = Annotated[tuple[Name, ...], Field(min_length=1), OneOrMore]


class Level(BaseModel):
    """A named bundle of settings; whatever it leaves out is as in the study's base."""

    model_config = STRICT
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


def as_lists(levels: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """One level of each factor, as designs take several."""
    return {factor: (level,) for factor, level in levels.items()}


class ComparisonSpec(BaseModel):
    """All pairs of cells that differ in this factor only."""

    model_config = STRICT
    factor: Name = Field(description="The factor that is compared.")
    start: Name | None = Field(default=None, alias="from", description="Level on the left; default: each.")
    end: Name | None = Field(default=None, alias="to", description="Level on the right; default: each.")
