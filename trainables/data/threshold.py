"""How the image threshold is chosen: the setting ``data.threshold``.

By the best F1 of validation, by a promise on new parts (:class:`FalseAlarms`, :class:`Escapes`), by the least
expected cost (:class:`Cost`), or a number as given.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

__all__ = [
    "REMOVED",
    "Cost",
    "CostOf",
    "Escapes",
    "FalseAlarms",
    "Promise",
    "ThresholdRule",
    "threshold_text",
]

REMOVED = ("best_f1", "smoothed_f1")  # names of the threshold by F1 that are refused with what to write

_Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
_Certainty = Annotated[float, Field(ge=0.5, lt=1, allow_inf_nan=False)]
_Price = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class FalseAlarms(BaseModel, frozen=True, extra="forbid"):
    """At most this share of new good parts is decided defective."""

    false_alarms: _Share = Field(description="Share of new good parts, such as 0.01.")
    sure: _Certainty = Field(default=0.95, description="Certainty of the promise, 0.5 or more.")


class Escapes(BaseModel, frozen=True, extra="forbid"):
    """At most this share of new defective parts is decided good."""

    escapes: _Share = Field(description="Share of new defective parts, such as 0.05.")
    sure: _Certainty = Field(default=0.95, description="Certainty of the promise, 0.5 or more.")


class CostOf(BaseModel, frozen=True, extra="forbid"):
    """What a wrong decision on a part costs, in any unit of money."""

    escape: _Price = Field(description="Of a defective part that is decided good.")
    false_alarm: _Price = Field(description="Of a good part that is decided defective.")


class Cost(BaseModel, frozen=True, extra="forbid"):
    """The least expected cost of a part."""

    cost: CostOf
    defective: _Share = Field(description="Share of the line's parts that are defective, such as 0.002.")


Promise = FalseAlarms | Escapes
_FORMS = (
    "`f1`, {false_alarms: 0.01, sure: 0.95}, {escapes: 0.05, sure: 0.95}, "
    "{cost: {escape: 200, false_alarm: 1}, defective: 0.002}, or a number from 0 to 1"
)
_KINDS: dict[str, type[FalseAlarms] | type[Escapes] | type[Cost]] = {
    "false_alarms": FalseAlarms, "escapes": Escapes, "cost": Cost,
}  # fmt: skip


def _from_yaml(value: Any) -> Any:
    """Choose the form by its key, so that a mistake is told of the form that was meant."""
    if isinstance(value, str) and value in REMOVED:
        raise ValueError(f"the threshold of best F1 is written `f1`, found {value}. Write `threshold: f1`")
    if isinstance(value, (FalseAlarms, Escapes, Cost)) or value == "f1":
        return value
    if isinstance(value, dict):
        kinds = [kind for kind in _KINDS if kind in value]
        if len(kinds) == 1:
            return _KINDS[kinds[0]].model_validate(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ValueError(f"a threshold is {_FORMS}, found {value!r}")


ThresholdRule = Annotated[Literal["f1"] | FalseAlarms | Escapes | Cost | float, BeforeValidator(_from_yaml)]


def threshold_text(rule: Literal["f1"] | Promise | Cost | float) -> str:
    """The rule in words: ``at most 1 % false alarms, 95 % sure``."""
    if isinstance(rule, FalseAlarms):
        return f"at most {100 * rule.false_alarms:g} % false alarms, {100 * rule.sure:g} % sure"
    if isinstance(rule, Escapes):
        return f"at most {100 * rule.escapes:g} % escapes, {100 * rule.sure:g} % sure"
    if isinstance(rule, Cost):
        prices = f"an escape costs {rule.cost.escape:g}, a false alarm {rule.cost.false_alarm:g}"
        return f"least cost where {prices} and {100 * rule.defective:g} % are defective"
    return "best F1" if rule == "f1" else f"fixed {rule:g}"
