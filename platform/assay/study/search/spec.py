"""The part of a study file that asks for a search: ``search``, ``space``, ``start``, ``replicate``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from assay.study.file.blocks import STRICT, NamedOnce, Seed

__all__ = [
    "COSTS",
    "Choice",
    "FloatRange",
    "IntRange",
    "Objective",
    "Parameter",
    "Pruner",
    "Replicate",
    "Scalar",
    "Search",
    "Start",
]

Scalar = bool | int | float | str


COSTS = {  # that a search may lower beside a metric, measured on each trial
    "latency_ms": "milliseconds that the trained model takes for one image",
    "latency_ratio": "latency_ms over that of a small fixed network which is timed in turn with it",
    "train_seconds": "seconds of training, shared stages included",
    "memory_mb": "peak memory of the process that trained, MiB",
    "size_mb": "size of the trained model's files, 10⁶ bytes",
}
LATENCIES = ("latency_ms", "latency_ratio")
_GOAL = rf"^(validation\.[a-z0-9_]+|{'|'.join(COSTS)})$"


def _measured_by_then(value: str) -> str:
    if re.match(_GOAL, value) is None:
        raise ValueError(
            "a search improves a metric of validation images, such as `validation.image_ap`, or one of "
            f"{', '.join(COSTS)}"
        )
    return value


_Goal = Annotated[
    str, AfterValidator(_measured_by_then), WithJsonSchema({"type": "string", "pattern": _GOAL})
]


class Objective(BaseModel):
    """Goal of a search: a metric, computed on validation data, or a cost of the trained model."""

    model_config = STRICT
    max: _Goal | None = Field(default=None, description="Metric to raise.")
    min: _Goal | None = Field(default=None, description="Metric or cost to lower.")

    @model_validator(mode="after")
    def _one_direction(self) -> Self:
        if (self.max is None) == (self.min is None):
            given = "none" if self.max is None else f"max: {self.max} and min: {self.min}"
            way_out = "write `objective: {max: validation.image_ap}`"
            raise ValueError(f"an objective has one direction, found {given}: {way_out}")
        if self.max in COSTS:
            raise ValueError(f"a cost is lowered, found max: {self.max}: write `{{min: {self.max}}}`")
        return self

    @property
    def metric(self) -> str:
        """Name of the metric, computed on validation data (``image_ap``), or of the cost."""
        return (self.max or self.min or "").removeprefix("validation.")

    @property
    def title(self) -> str:
        """``validation.image_ap ↑``."""
        return f"{self.max or self.min} {'↑' if self.sign == 1 else '↓'}"

    @property
    def is_cost(self) -> bool:
        """True where it is measured on the trained model, not on validation images."""
        return self.metric in COSTS and self.min == self.metric

    @property
    def sign(self) -> int:
        """1 where higher is better, else −1."""
        return 1 if self.max else -1


class Pruner(BaseModel):
    """Stops points early that fall behind; its resource is repeats, or epochs where a batch is one trial."""

    model_config = STRICT
    kind: Literal["asha", "median"] = Field(description="Rule that stops a point.")
    min: int = Field(default=1, ge=1, description="Resource that every point gets.")
    factor: int = Field(default=3, ge=2, description="ASHA: one in `factor` goes on at each rung.")


def _form(value: Any) -> str | None:
    if isinstance(value, list | tuple):
        return "several"
    return "one" if isinstance(value, dict | Objective) else None


Goals = Annotated[
    Annotated[Objective, Tag("one")] | Annotated[tuple[Objective, ...], Tag("several")],
    Discriminator(
        _form,
        custom_error_type="objective",
        custom_error_message="an objective is `{max: validation.image_ap}`, or a list of two or three such",
    ),
]


class Search(BaseModel):
    """Rules by which points are proposed and evaluated."""

    model_config = STRICT
    within: Literal["study", "cell"] = Field(
        default="study", description="`study`: one search. `cell`: one in each cell, with equal budgets."
    )
    sampler: Literal["tpe", "random", "grid", "gp"] = Field(default="tpe", description="Draws points.")
    points: int = Field(ge=1, le=100_000, description="Number of points (for each cell: `within: cell`).")
    batch: int = Field(
        default=1, ge=1, le=10_000, description="Points proposed at once, knowing the batches before."
    )
    seed: Seed = Field(default=0, description="Seed of the proposals.")
    nested: bool = Field(
        default=False,
        description="A search of its own on each fold, or on each seed's split, whose winner is tested "
        "there: no test image chose it.",
    )
    goals: Goals = Field(
        alias="objective",
        description="`{max: validation.image_ap}`, or a list of two or three, `[{max: validation.image_ap}, "
        "{min: latency_ms}]`: the search then looks for the points that no other beats in all of them.",
    )
    pruner: Pruner | None = Field(default=None, description="Early stopping of points; default: none.")

    @model_validator(mode="after")
    def _one_of_them_a_metric(self) -> Self:
        count, names = len(self.objectives), [objective.metric for objective in self.objectives]
        if not isinstance(self.goals, Objective) and count not in (2, 3):
            raise ValueError(f"several objectives are two or three, found {count}: write one without a list")
        if len(set(names)) < len(names):
            raise ValueError(f"each objective is named once, found {', '.join(names)}")
        if all(objective.is_cost for objective in self.objectives):
            raise ValueError(
                f"a search for low cost alone ends at the smallest model, found {', '.join(names)}: add "
                "`{max: validation.image_ap}`"
            )
        return self

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """One, or several: then no point is best, and those that none beats in all are the front."""
        return (self.goals,) if isinstance(self.goals, Objective) else self.goals

    @property
    def objective(self) -> Objective:
        """The first objective, or the only one."""
        return self.objectives[0]

    @property
    def has_front(self) -> bool:
        """True where the search has several objectives."""
        return len(self.objectives) > 1

    @property
    def times_models(self) -> bool:
        """True where latency is an objective: it is measured only where it is asked for."""
        return any(objective.metric in LATENCIES for objective in self.objectives)


class _Drawn(BaseModel):
    model_config = STRICT
    when: dict[str, Scalar] = Field(
        default_factory=dict, description="Drawn only where these other parameters have these values."
    )


class _Range(_Drawn):
    bounds: tuple[Any, Any]
    log: bool = Field(default=False, description="Drawn evenly on a logarithmic scale.")

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        low, high = self.bounds
        if not low < high:
            raise ValueError(f"bounds are [lowest, highest], found [{low}, {high}]")
        if self.log and low <= 0:
            raise ValueError(f"a logarithmic scale starts above 0, found {low}")
        return self


class FloatRange(_Range):
    """A real number between two bounds."""

    bounds: tuple[float, float] = Field(alias="float", description="Lowest and highest value.")


class IntRange(_Range):
    """A whole number between two bounds, both included."""

    bounds: tuple[int, int] = Field(alias="int", description="Lowest and highest value.")


class Choice(_Drawn):
    """One of several values."""

    choice: tuple[Scalar, ...] = Field(min_length=1, description="The values.")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.choice)) < len(self.choice):
            raise ValueError(f"each value of a choice stands once, found {list(self.choice)}")
        return self


def _kind(value: Any) -> str | None:
    if isinstance(value, BaseModel):
        return type(value).__name__
    if not isinstance(value, dict):
        return None
    kinds = {"float": "FloatRange", "int": "IntRange", "choice": "Choice"}
    return next((name for key, name in kinds.items() if key in value), None)


Parameter = Annotated[
    Annotated[FloatRange, Tag("FloatRange")]
    | Annotated[IntRange, Tag("IntRange")]
    | Annotated[Choice, Tag("Choice")],
    Discriminator(
        _kind,
        custom_error_type="parameter",
        custom_error_message="a parameter is {float: [low, high]}, {int: [low, high]} or {choice: [values]}",
    ),
]


def _start(value: Any) -> str | None:
    if isinstance(value, dict):
        return "point"
    return "preset" if value == "preset" else None


_SETTING = r"^config\."


def _set_by_a_search(value: str) -> str:
    if re.match(_SETTING, value) is None:
        raise ValueError("a start point sets the method's config, such as `config.lr`")
    return value


_Setting = Annotated[
    str, AfterValidator(_set_by_a_search), WithJsonSchema({"type": "string", "pattern": _SETTING})
]
Start = Annotated[
    Annotated[Literal["preset"], Tag("preset")]
    | Annotated[
        dict[_Setting, Scalar], Field(json_schema_extra={"additionalProperties": False}), Tag("point")
    ],
    Discriminator(
        _start,
        custom_error_type="start",
        custom_error_message="a start is `preset`, or a point as in `{config.lr: 0.01}`",
    ),
]


class Replicate(BaseModel):
    """Re-training of the best points on fresh seeds. Only these enter tables."""

    model_config = STRICT
    best: int = Field(default=1, ge=1, description="How many of the best points of each cell.")
    start: bool = Field(default=False, description="Also the points of `start`, to compare with.")
    seeds: Annotated[tuple[Seed, ...], NamedOnce] = Field(
        min_length=1, description="Fresh seeds, none of which the search used."
    )
