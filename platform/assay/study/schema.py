"""The study file as typed objects: what a user may write, with bounds and a line of explanation each.

``assay schema`` prints the JSON Schema of :class:`Study` for editors; :mod:`assay.study.reading` reads
files into it. What a study *means* (cells, trials, ids) is made from it by :mod:`assay.study.plan`.

Trade-off: ``config`` and the levels' settings stay plain mappings here, because their rules belong to
the trainable that the study names; the plan checks them against it, with line and column.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from assay.study.names import Name
from assay.study.published import Published
from assay.study.search import Parameter, Replicate, Search, Start
from assay.study.source import Source
from trainables.data.spec import DataSpec, Supervision

__all__ = [
    "Budget",
    "ComparisonSpec",
    "Design",
    "Keep",
    "Level",
    "Metrics",
    "OneAtATime",
    "Repeats",
    "Resources",
    "Study",
]

_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, serialize_by_alias=True)

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
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Levels = Annotated[tuple[Name, ...], Field(min_length=1)]


class Level(BaseModel):
    """A named bundle of settings; whatever it leaves out is as in the study's base."""

    model_config = _STRICT
    supervision: SupervisionField | None = Field(default=None, description="Which labels training may read.")
    config: dict[str, Any] = Field(default_factory=dict, description="Settings of the trainable.")
    data: dict[str, Any] = Field(
        default_factory=dict, description="Settings of `data`; with a `reader`, a whole block of its own."
    )


class OneAtATime(BaseModel):
    """The base, and every other level of each factor alone on top of it."""

    model_config = _STRICT
    base: dict[Name, Name] = Field(description="A level of each factor.")


class Design(BaseModel):
    """Which combinations of levels are trained; exactly one of the three ways."""

    model_config = _STRICT
    rows: tuple[dict[Name, Levels], ...] | None = Field(
        default=None, description="Rows of a table, each with a level of every factor; lists expand."
    )
    full: Literal["all"] | None = Field(default=None, description="`all`: every combination of all levels.")
    one_at_a_time: OneAtATime | None = Field(
        default=None, description="A base cell, and cells that differ from it in one factor."
    )

    @field_validator("rows", mode="before")
    @classmethod
    def _one_level_is_a_list_of_one(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [
            {k: v if isinstance(v, (list, tuple)) else [v] for k, v in row.items()}
            if isinstance(row, dict)
            else row
            for row in value
        ]

    @model_validator(mode="after")
    def _exactly_one_way(self) -> Self:
        if sum(way is not None for way in (self.rows, self.full, self.one_at_a_time)) != 1:
            raise ValueError("a design is one of `rows: [...]`, `full: all`, `one_at_a_time: {base: {...}}`")
        return self


class ComparisonSpec(BaseModel):
    """All pairs of cells that differ in this factor only."""

    model_config = _STRICT
    factor: Name = Field(description="The factor that is compared.")
    start: Name | None = Field(default=None, alias="from", description="Level on the left; default: each.")
    end: Name | None = Field(default=None, alias="to", description="Level on the right; default: each.")


class Repeats(BaseModel):
    """How often each cell is trained: every seed on every fold."""

    model_config = _STRICT
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1, description="Shared by all cells.")
    folds: tuple[Annotated[int, Field(ge=0, lt=10_000)], ...] = Field(
        default=(),
        description="Published folds; leave out where there are none, or with `splits: per_seed`.",
    )

    @field_validator("seeds", "folds")
    @classmethod
    def _named_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        twice = sorted({v for v in value if value.count(v) > 1}) if len(set(value)) < len(value) else []
        if twice:
            raise ValueError(f"each is named once, found twice: {', '.join(map(str, twice))}")
        return value


class Metrics(BaseModel):
    """What is measured on test data."""

    model_config = _STRICT
    primary: str = Field(default="image_ap", description="The metric that answers the question.")
    report: tuple[str, ...] = Field(default=("fp", "fn"), description="Further columns of the table.")


class Resources(BaseModel):
    """What one trial needs."""

    model_config = _STRICT
    workers: int = Field(default=1, ge=1, le=4096, description="Training processes of one trial.")
    cpus: int = Field(default=1, ge=1, le=4096, description="CPU cores of each worker.")
    gpus: float = Field(default=0.0, ge=0, le=1024, description="GPUs of each worker; a fraction shares one.")
    pack: Literal["auto"] | Annotated[int, Field(ge=1, le=10_000)] = Field(
        default="auto", description="Trials that share one start of a worker; `auto` fills the cluster."
    )

    @field_validator("gpus")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError(f"a worker has a fraction of one GPU or whole GPUs, found {value}")
        return value


class Budget(BaseModel):
    """When a run is to end, at a boundary where all cells have the same seeds."""

    model_config = _STRICT
    hours: float = Field(gt=0, le=10_000, description="Of one `assay run`; rounds that would not fit wait.")


class Keep(BaseModel):
    """What stays on disk beside scores and records."""

    model_config = _STRICT
    models: Literal["best_per_cell", "all", "none"] = Field(default="best_per_cell", description="Weights.")
    probes: int = Field(
        default=12,
        ge=0,
        le=10_000,
        description="Test images whose heatmaps are kept, the same in every cell.",
    )


class Study(BaseModel):
    """One question: a trainable, data, factors, a design and repeats."""

    model_config = _STRICT
    study: Name = Field(description="Name of the study, also of its folder.")
    question: str = Field("", max_length=2000, description="What the study is to answer, in a sentence.")
    trainable: str = Field(min_length=1, max_length=200, description="The method, such as segdec.")
    data: DataSpec
    supervision: SupervisionField = Field(
        default=Supervision(kind="full", masks=None),
        description="Labels that training may read, where no level says so.",
    )
    config: dict[str, Any] = Field(
        default_factory=dict, description="The base: `preset` (published settings) and what differs from it."
    )
    factors: dict[Name, Annotated[dict[Name, Level], Field(min_length=1)]] = Field(
        default_factory=dict, description="What is varied: factor → level → settings."
    )
    design: Design | None = Field(default=None, description="Which combinations are trained.")
    comparisons: tuple[ComparisonSpec, ...] = Field(default=(), description="Which cells are compared.")
    allow: dict[str, Annotated[str, Field(min_length=1, max_length=2000)]] = Field(
        default_factory=dict, description="Path → reason, for a difference outside the compared factor."
    )
    published: Published | None = Field(
        default=None, description="What the authors report, as a reference beside the study's own values."
    )
    repeats: Repeats = Repeats()
    resolve: float | None = Field(
        default=None, gt=0, description="Difference in the primary metric that is worth knowing."
    )
    metrics: Metrics = Metrics()
    resources: Resources = Resources()
    budget: Budget | None = Field(default=None, description="A time limit; left out: train all.")
    keep: Keep = Keep()
    search: Search | None = Field(default=None, description="A search for good settings.")
    space: dict[str, Parameter] = Field(default_factory=dict, description="What the search may set.")
    start: tuple[Start, ...] = Field(default=(), description="Points that are tried first.")
    replicate: Replicate | None = Field(default=None, description="Re-training of the best points.")

    _source: Source = PrivateAttr(default_factory=Source)

    @property
    def source(self) -> Source:
        """The text this study was read from."""
        return self._source

    def with_source(self, source: Source) -> Self:
        """The same study, knowing the text it was read from."""
        study = self.model_copy()
        study._source = source
        return study
