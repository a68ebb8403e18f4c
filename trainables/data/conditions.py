"""Conditions that a trained model is tested under: ``test_under`` of a study, checked at the border.

A condition trains nothing and is no part of a trial's id. What each does to an image stands in
:mod:`trainables.evaluation.conditions`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema, model_validator

__all__ = ["Condition", "Conditions", "PropertyValue"]


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_group(value: object) -> object:
    return value if isinstance(value, (list, tuple)) else (value,)


# A value of a property of images, such as `crack`, or 3.
PropertyValue = Annotated[
    str,
    BeforeValidator(_as_text),
    Field(min_length=1, max_length=100),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]}),
]
_Group = Annotated[
    tuple[PropertyValue, ...],
    BeforeValidator(_as_group),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "array"}]}),
]
_PropertyName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]


class Condition(BaseModel, frozen=True, extra="forbid"):
    """One condition: a change of every test image, or a choice among them."""

    kind: Literal["light", "blur", "noise", "shift", "where"]
    amount: float = Field(default=0, description="Of a change, in its unit; 0: a choice.")
    by: str = Field(default="", description="Property by which images are chosen; empty: a change.")
    values: tuple[str, ...] = Field(default=(), description="Of the property, any of them.")

    @property
    def name(self) -> str:
        """``light × 0.7``, ``blur 1 px``, ``noise 0.05``, ``shift 4 px``, ``exposure 4, 5``."""
        match self.kind:
            case "where":
                return f"{self.by} {', '.join(self.values)}"
            case "light":
                return f"light × {self.amount:g}"
            case "noise":
                return f"noise {self.amount:g}"
            case _:
                return f"{self.kind} {self.amount:g} px"

    @cached_property
    def key(self) -> str:
        """16 hex digits that no other condition has: name of its file below a trial."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class Conditions(BaseModel, frozen=True, extra="forbid"):
    """Conditions that kept models are evaluated again under; each value is one of them.

    >>> [each.name for each in Conditions(light=(0.7, 1.3), where={"exposure": (1, [4, 5])}).each]
    ['light × 0.7', 'light × 1.3', 'exposure 1', 'exposure 4, 5']
    """

    light: tuple[Annotated[float, Field(gt=0, le=10)], ...] = Field(
        default=(), description="Factors of brightness, such as [0.7, 1.3]; what exceeds white is white."
    )
    blur: tuple[Annotated[float, Field(gt=0, le=100)], ...] = Field(
        default=(),
        description="Standard deviations of a Gaussian, pixels of the image as the method gets it.",
    )
    noise: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(), description="Standard deviations of Gaussian noise, as shares of full scale."
    )
    shift: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        default=(),
        description="Pixels of the image as the method gets it; each image moves one of four ways.",
    )
    where: dict[_PropertyName, tuple[_Group, ...]] = Field(
        default_factory=dict,
        description="Only test images with this property, such as {exposure: [1, [4, 5, 6]]}: a value, or a "
        "list of values together, is one condition.",
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [condition.name for condition in self.each]
        if not names:
            raise ValueError("`test_under` names at least one condition, such as `light: [0.7]`")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"each condition is named once, found twice: {', '.join(twice)}")
        if 1 in self.light:
            raise ValueError(
                f"`light` is a factor of brightness, and 1 changes nothing, found {list(self.light)}: leave "
                "it out"
            )
        return self

    @property
    def each(self) -> tuple[Condition, ...]:
        """All conditions, in the order of the fields."""
        return tuple(self._each())

    def _each(self) -> Iterator[Condition]:
        for kind in ("light", "blur", "noise", "shift"):
            for amount in getattr(self, kind):
                yield Condition(kind=kind, amount=amount)
        for name, groups in self.where.items():
            for group in groups:
                yield Condition(kind="where", by=name, values=group)
