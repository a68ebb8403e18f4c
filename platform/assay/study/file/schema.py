"""The study file as typed objects: what a user may write, with bounds and a line of explanation each.

``assay schema`` prints the JSON Schema of :class:`Study` for editors; :mod:`assay.study.file.reading` reads
files into it. What a study *means* (cells, trials, ids) is made from it by
:mod:`assay.study.planning.planner`.

Trade-off: ``config`` and the levels' settings stay plain mappings here, because their rules belong to
the trainable that the study or a level names; the plan checks them against it, with line and column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    PrivateAttr,
    create_model,
    field_validator,
    model_validator,
)

from assay.study.designs import DESIGNS, DesignForm
from assay.study.designs.rows import Row
from assay.study.file.blocks import (
    SAYS,
    STRICT,
    ComparisonSpec,
    Factor,
    Level,
    LevelNames,
    MethodName,
    NamedOnce,
    Seed,
    SupervisionField,
)
from assay.study.file.published import Published
from assay.study.file.source import Source
from assay.study.names import Name
from assay.study.planning.cell_names import Levels
from assay.study.planning.identity import canonical_json, short_hash
from assay.study.search.spec import Parameter, Replicate, Search, Start
from trainables.data.conditions import Condition, Conditions
from trainables.data.spec import DataSpec, Supervision

__all__ = [
    "Budget",
    "ComparisonSpec",
    "Design",
    "Keep",
    "Labelling",
    "Level",
    "Metrics",
    "Repeats",
    "Resources",
    "Row",
    "Study",
]


class DesignBlock(BaseModel):
    """Choice of the combinations of levels that are trained, in exactly one of these ways."""

    model_config = STRICT

    @model_validator(mode="after")
    def _exactly_one_way(self) -> Self:
        ways = [name for name in DESIGNS if getattr(self, name) is not None]
        if len(ways) != 1:
            known = ", ".join(f"`{DESIGNS[name].example}`" for name in DESIGNS)
            given = ", ".join(f"`{name}`" for name in ways) or "none"
            raise ValueError(f"a design is one of {known}, found {given}")
        return self

    @property
    def form(self) -> DesignForm:
        """The way that is chosen."""
        return next(DESIGNS[name] for name in DESIGNS if getattr(self, name) is not None)

    @property
    def block(self) -> Any:
        """Value that the study writes below the name of the way."""
        return getattr(self, self.form.name)

    @property
    def overrides(self) -> tuple[tuple[int, Level], ...]:
        """Settings of rows on top of their levels, each with the index of its row."""
        rows: tuple[Row, ...] = getattr(self, "rows", None) or ()
        return tuple((index, row.override) for index, row in enumerate(rows) if row.override is not None)


if TYPE_CHECKING:
    Design = DesignBlock
else:  # a field for each design that is installed
    _WAYS = {
        name: (DESIGNS[name].Block | None, Field(default=None, description=DESIGNS[name].description))
        for name in DESIGNS
    }
    Design = create_model(
        "Design", __base__=DesignBlock, __module__=__name__, __doc__=DesignBlock.__doc__, **_WAYS
    )


class Repeats(BaseModel):
    """Repeats of each cell: every seed on every fold."""

    model_config = STRICT
    seeds: Annotated[tuple[Seed, ...], NamedOnce] = Field(
        default=(0,), min_length=1, description="Shared by all cells."
    )
    folds: Annotated[tuple[Annotated[int, Field(ge=0, lt=10_000)], ...], NamedOnce] = Field(
        default=(), description="Published folds; leave out where there are none, or with `splits: per_seed`."
    )
    decide: tuple[Annotated[int, Field(ge=6, le=1000)], ...] = Field(
        default=(),
        description="Numbers of seeds at which verdicts are given, such as [6, 8, 10, 13, 16, 20]: from one "
        "to the next only undecided comparisons train on. Needs `resolve`; seeds are then 0, 1, 2, …",
    )

    @field_validator("decide")
    @classmethod
    def _at_growing_numbers(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(value) == 1 or list(value) != sorted(set(value)):
            raise ValueError(
                "looks are two or more, each with more seeds than the one before (of one, write `seeds`), "
                f"found {list(value)}"
            )
        return value

    @model_validator(mode="after")
    def _as_many_seeds_as_the_last_look(self) -> Self:
        if not self.decide:
            return self
        if "seeds" not in self.model_fields_set:
            object.__setattr__(self, "seeds", tuple(range(self.decide[-1])))  # a default: no file names them
        if len(self.seeds) != self.decide[-1]:
            raise ValueError(
                f"`decide` ends at {self.decide[-1]} seeds, found {len(self.seeds)} in `seeds`: leave them "
                "out, or name as many"
            )
        return self


class Metrics(BaseModel):
    """Metrics that are measured on test data."""

    model_config = STRICT
    primary: str = Field(default="image_ap", description="The metric that answers the question.")
    report: tuple[str, ...] = Field(default=("fp", "fn"), description="Further columns of the table.")


class Resources(BaseModel):
    """Processes, cores and GPUs of one trial."""

    model_config = STRICT
    workers: int = Field(default=1, ge=1, le=4096, description="Training processes of one trial.")
    cpus: int = Field(default=1, ge=1, le=4096, description="CPU cores of each worker.")
    gpus: float = Field(default=0.0, ge=0, le=1024, description="GPUs of each worker; a fraction shares one.")
    pack: Literal["auto"] | Annotated[int, Field(ge=1, le=10_000)] = Field(
        default="auto", description="Trials that share one start of a worker; `auto` fills the cluster."
    )
    hours_per_trial: Literal["auto"] | Annotated[float, Field(gt=0, le=10_000)] = Field(
        default="auto",
        description="A training that takes longer is ended and tried once more; `auto`: ten times the "
        "longest that has finished, at least 1 h, once three have.",
    )
    silent_minutes: Annotated[float, Field(gt=0, le=100_000)] = Field(
        default=30.0, description="So is one without a sign of life (a step, an epoch, a stage) for so long."
    )

    @field_validator("gpus")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError(f"a worker has a fraction of one GPU or whole GPUs, found {value}")
        return value


class Labelling(BaseModel):
    """Seconds that a person's labels take. The report then sets scores against hours of labelling."""

    model_config = STRICT
    image_label_seconds: float = Field(
        gt=0, le=86_400, description="To say of one image whether it is defective."
    )
    mask_seconds: float = Field(
        gt=0, le=86_400, description="To draw the mask of one defective image, on top of its image label."
    )

    def hours(self, image_labels: float, masks: float) -> float:
        """Hours that so many labels of either kind take."""
        return (image_labels * self.image_label_seconds + masks * self.mask_seconds) / 3600


class Budget(BaseModel):
    """End of a run, at a boundary where all cells have the same seeds."""

    model_config = STRICT
    hours: float = Field(gt=0, le=10_000, description="Of one `assay run`; rounds that would not fit wait.")


class Keep(BaseModel):
    """Files that stay on disk beside scores and records."""

    model_config = STRICT
    models: Literal["best_per_cell", "all", "none"] = Field(default="best_per_cell", description="Weights.")
    probes: int = Field(
        default=12,
        ge=0,
        le=10_000,
        description="Test images whose heatmaps are kept, the same in every cell.",
    )


class Study(BaseModel):
    """One question: a trainable or several, data, factors, a design and repeats."""

    model_config = STRICT
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
    factors: dict[Name, Factor] = Field(
        default_factory=dict, description="What is varied: factor → level → settings."
    )
    nested: dict[Name, dict[Name, LevelNames]] = Field(
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
        default=None,
        gt=0,
        description="Difference in the primary metric that is worth knowing, and the margin of `negligible`.",
    )
    exact_test: Literal["sign-flip", "wilcoxon"] = Field(
        default="sign-flip",
        description="What p-values come from: `sign-flip` weighs differences by size, `wilcoxon` by rank. "
        "Ranks test another hypothesis where cells differ in shape, and err more often with more repeats.",
    )
    metrics: Metrics = Metrics()
    test_under: Conditions | None = Field(
        default=None,
        description="Conditions that trained models are evaluated under as well, beside the test images as "
        "they are. They train nothing.",
    )
    resources: Resources = Resources()
    budget: Budget | None = Field(default=None, description="A time limit; left out: train all.")
    keep: Keep = Keep()
    search: Search | None = Field(default=None, description="A search for good settings.")
    space: dict[str, Parameter] = Field(default_factory=dict, description="What the search may set.")
    start: tuple[Start, ...] = Field(default=(), description="Points that are tried first.")
    replicate: Replicate | None = Field(default=None, description="Re-training of the best points.")

    _source: Source = PrivateAttr(default_factory=Source)

    @model_validator(mode="after")
    def _decides_what_can_be_decided(self) -> Self:
        if self.repeats.decide and self.resolve is None:
            raise ValueError(
                "`repeats.decide` needs `resolve`, the difference in the primary metric that is worth "
                "knowing: without it no comparison is ever settled as negligible"
            )
        if self.repeats.decide and self.search is not None:
            raise ValueError(
                "`repeats.decide` settles comparisons of cells, and a search draws them on the way: leave "
                "`decide` out, or run its winner as a study of its own (`assay best --as`)"
            )
        return self

    @model_validator(mode="after")
    def _tests_what_it_plans_under_conditions(self) -> Self:
        if self.test_under is not None and self.search is not None:
            raise ValueError(
                "`test_under` compares planned cells, and a search draws them on the way: leave `test_under` "
                "out, or run its winner as a study of its own (`assay best --as`)"
            )
        return self

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Conditions that trained models are evaluated under, beside the test images as they are."""
        return () if self.test_under is None else self.test_under.each

    @property
    def source(self) -> Source:
        """The text this study was read from."""
        return self._source

    @property
    def question_content(self) -> dict[str, Any]:
        """What the file asks, as JSON values: neither its resources nor the words of factors and levels."""
        content = self.model_dump(mode="json", exclude_unset=True, exclude={"resources", "budget", "keep"})
        for levels in content.get("factors", {}).values():
            levels.pop(SAYS, None)
            for level in levels.values():
                level.pop(SAYS, None)
        return content

    @property
    def content_hash(self) -> str:
        """The first 12 digits of sha256 over what the file asks: of no resources, words and comments."""
        return short_hash(canonical_json(self.question_content))[:12]

    def published_values(self, levels: Levels) -> dict[str, float]:
        """Metric → what is published for the cell with these levels."""
        return self.published.values_of(levels) if self.published is not None else {}

    def with_source(self, source: Source) -> Self:
        """The same study, knowing the text it was read from."""
        study = self.model_copy()
        study._source = source
        return study
