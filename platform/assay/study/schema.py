"""The study file as typed objects: what a user may write, with bounds and a line of explanation each.

``assay schema`` prints the JSON Schema of :class:`Study` for editors; :mod:`assay.study.reading` reads
files into it. What a study *means* (cells, trials, ids) is made from it by :mod:`assay.study.plan`.

Trade-off: ``config`` and the levels' settings stay plain mappings here, because their rules belong to
the trainable that the study or a level names; the plan checks them against it, with line and column.
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

from assay.study.identity import canonical_json, short_hash
from assay.study.names import Name
from assay.study.published import Published
from assay.study.search import Parameter, Replicate, Search, Start
from assay.study.source import Source
from trainables.data.spec import DataSpec, Supervision

__all__ = [
    "Budget",
    "ComparisonSpec",
    "Cumulative",
    "Design",
    "Keep",
    "Labelling",
    "LeaveOneOut",
    "Level",
    "Metrics",
    "OneAtATime",
    "Repeats",
    "Resources",
    "Row",
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
MethodName = Annotated[str, Field(min_length=1, max_length=200)]
Levels = Annotated[tuple[Name, ...], Field(min_length=1)]


class Level(BaseModel):
    """A named bundle of settings; whatever it leaves out is as in the study's base."""

    model_config = _STRICT
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


def _listed(value: Any, *, but: str | None = None) -> Any:
    """One level is a list of one, in a mapping of factors."""
    if not isinstance(value, dict):
        return value
    return {k: v if isinstance(v, (list, tuple)) or k == but else [v] for k, v in value.items()}


class Row(BaseModel):
    """A row of a table: a level of every factor that applies; lists expand to all their combinations."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, serialize_by_alias=True)
    __pydantic_extra__: dict[str, Levels]  # pyright: ignore[reportIncompatibleVariableOverride]
    override: Level | None = Field(
        default=None, description="Settings of this row alone, on top of its levels: checked as a confounder."
    )

    @model_validator(mode="before")
    @classmethod
    def _one_level_is_a_list_of_one(cls, value: Any) -> Any:
        return _listed(value, but="override")

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Factor → levels."""
        return self.__pydantic_extra__


class _Varied(BaseModel):
    model_config = _STRICT
    across: dict[Name, Levels] = Field(
        default_factory=dict,
        description="Factors that are crossed instead: the design is repeated for each of these levels.",
    )

    @field_validator("across", mode="before")
    @classmethod
    def _one_level_is_a_list_of_one(cls, value: Any) -> Any:
        return _listed(value)


class OneAtATime(_Varied):
    """The base, and every other level of each factor alone on top of it."""

    base: dict[Name, Name] = Field(description="A level of each factor.")


class LeaveOneOut(_Varied):
    """The whole, and for each factor the whole without it."""

    whole: dict[Name, Name] = Field(description="A level of each factor: all in.")
    without: dict[Name, Name] = Field(
        default_factory=dict,
        description="The level that a factor has when it is left out; default: the other one of two.",
    )


class Cumulative(_Varied):
    """The base, then one step after the other on top of it."""

    base: dict[Name, Name] = Field(description="A level of each factor.")
    add: tuple[dict[Name, Name], ...] = Field(
        min_length=1, description="Steps in their order, each a factor and its new level: `{stop: on}`."
    )


class Design(BaseModel):
    """Choice of the combinations of levels that are trained, in exactly one of these ways."""

    model_config = _STRICT
    rows: tuple[Row, ...] | None = Field(
        default=None, description="Rows of a table, each with a level of every factor; lists expand."
    )
    full: Literal["all"] | None = Field(default=None, description="`all`: every combination of all levels.")
    one_at_a_time: OneAtATime | None = Field(
        default=None, description="A base cell, and cells that differ from it in one factor."
    )
    leave_one_out: LeaveOneOut | None = Field(
        default=None, description="The whole, and cells in which one factor is left out."
    )
    cumulative: Cumulative | None = Field(
        default=None, description="A base cell, and cells that each add a step to the one before."
    )

    @model_validator(mode="after")
    def _exactly_one_way(self) -> Self:
        ways = [self.rows, self.full, self.one_at_a_time, self.leave_one_out, self.cumulative]
        if sum(way is not None for way in ways) != 1:
            raise ValueError(
                "a design is one of `rows: [...]`, `full: all`, `one_at_a_time: {base: {...}}`, "
                "`leave_one_out: {whole: {...}}`, `cumulative: {base: {...}, add: [...]}`"
            )
        return self

    @property
    def varied(self) -> OneAtATime | LeaveOneOut | Cumulative | None:
        """The design, if it varies one factor at a time."""
        return self.one_at_a_time or self.leave_one_out or self.cumulative


class ComparisonSpec(BaseModel):
    """All pairs of cells that differ in this factor only."""

    model_config = _STRICT
    factor: Name = Field(description="The factor that is compared.")
    start: Name | None = Field(default=None, alias="from", description="Level on the left; default: each.")
    end: Name | None = Field(default=None, alias="to", description="Level on the right; default: each.")


class Repeats(BaseModel):
    """Repeats of each cell: every seed on every fold."""

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
    """Metrics that are measured on test data."""

    model_config = _STRICT
    primary: str = Field(default="image_ap", description="The metric that answers the question.")
    report: tuple[str, ...] = Field(default=("fp", "fn"), description="Further columns of the table.")


class Resources(BaseModel):
    """Processes, cores and GPUs of one trial."""

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


class Labelling(BaseModel):
    """Seconds that a person's labels take. The report then sets scores against hours of labelling."""

    model_config = _STRICT
    image_label_seconds: float = Field(
        gt=0, le=86_400, description="To say of one image whether it is defective."
    )
    mask_seconds: float = Field(
        gt=0, le=86_400, description="To draw the mask of one defective image, on top of its image label."
    )


class Budget(BaseModel):
    """End of a run, at a boundary where all cells have the same seeds."""

    model_config = _STRICT
    hours: float = Field(gt=0, le=10_000, description="Of one `assay run`; rounds that would not fit wait.")


class Keep(BaseModel):
    """Files that stay on disk beside scores and records."""

    model_config = _STRICT
    models: Literal["best_per_cell", "all", "none"] = Field(default="best_per_cell", description="Weights.")
    probes: int = Field(
        default=12,
        ge=0,
        le=10_000,
        description="Test images whose heatmaps are kept, the same in every cell.",
    )


class Study(BaseModel):
    """One question: a trainable or several, data, factors, a design and repeats."""

    model_config = _STRICT
    study: Name = Field(description="Name of the study, also of its folder.")
    question: str = Field("", max_length=2000, description="What the study is to answer, in a sentence.")
    trainable: MethodName | None = Field(
        default=None,
        description="The method, such as segdec, or the file of one beside the study, such as "
        "`./blur.py:TRAINABLE`; may be left out where levels name it.",
    )
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
    nested: dict[Name, dict[Name, Levels]] = Field(
        default_factory=dict,
        description="Sub-factors: factor → parent → levels of the parent with which it applies.",
    )
    design: Design | None = Field(default=None, description="Which combinations are trained.")
    comparisons: tuple[ComparisonSpec, ...] | None = Field(
        default=None,
        description="Which cells are compared; default: each step of a design that varies one factor.",
    )
    allow: dict[str, Annotated[str, Field(min_length=1, max_length=2000)]] = Field(
        default_factory=dict, description="Path → reason, for a difference outside the compared factor."
    )
    published: Published | None = Field(
        default=None, description="What the authors report, as a reference beside the study's own values."
    )
    labelling: Labelling | None = Field(
        default=None, description="Seconds per label, for scores against hours of labelling."
    )
    repeats: Repeats = Repeats()
    resolve: float | None = Field(
        default=None, gt=0, description="Difference in the primary metric that is worth knowing."
    )
    exact_test: Literal["sign-flip", "wilcoxon"] = Field(
        default="sign-flip",
        description="What p-values come from: `sign-flip` weighs differences by size, `wilcoxon` by rank.",
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

    @field_validator("nested", mode="before")
    @classmethod
    def _one_level_is_a_list_of_one(cls, value: Any) -> Any:
        return {k: _listed(v) for k, v in value.items()} if isinstance(value, dict) else value

    @property
    def source(self) -> Source:
        """The text this study was read from."""
        return self._source

    @property
    def content_hash(self) -> str:
        """The first 12 digits of sha256 over what the file asks, whatever its resources and comments."""
        asked = self.model_dump(mode="json", exclude_unset=True, exclude={"resources", "budget", "keep"})
        return short_hash(canonical_json(asked))[:12]

    def with_source(self, source: Source) -> Self:
        """The same study, knowing the text it was read from."""
        study = self.model_copy()
        study._source = source
        return study
