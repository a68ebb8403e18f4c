"""The answers of `assay report`, `judge`, `best` and `labels` with --json: the numbers of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from assay.analysis.names import study_names
from assay.report.answers.base import Answer, Value, schema_name
from assay.report.rows import (
    CellRow,
    ComparisonRow,
    ConditionRow,
    DefectRow,
    MeanRow,
    StageRow,
    cell_rows,
    comparison_rows,
    condition_rows,
    defect_rows,
    report_comparisons,
    stage_rows,
)

if TYPE_CHECKING:
    from assay.analysis.labels import NextLabels
    from assay.analysis.results.results import StudyResults
    from assay.analysis.results.search_results import SearchResults
    from assay.analysis.scores.score_file import AnalysedScores
    from assay.analysis.search_front import FrontPoint
    from assay.analysis.study_pair import StudyPair
    from assay.storage.search_points import EvaluatedPoint
    from assay.study import Plan
    from assay.study.search.spec import Objective

__all__ = [
    "BestAnswer",
    "BestPointsAnswer",
    "JudgeAnswer",
    "LabelsAnswer",
    "PairAnswer",
    "ReportAnswer",
    "best_points_answer",
    "judge_answer",
    "label_advice",
    "objective_values",
    "pair_answer",
    "report_answer",
]

Better = Literal["higher", "lower"]


class PointRow(BaseModel):
    """A point of a search, by validation images."""

    cell: str = Field(description="In which it was drawn.")
    point: int
    status: Literal["finished", "pruned", "failed", "open"]
    values: dict[str, Value] = Field(description="Objective → mean over repeats; empty: not finished.")
    repeats: int
    drawn: dict[str, Any] = Field(description="Setting → value.")
    reason: str | None


class ReportAnswer(Answer):
    """Findings of a study."""

    schema_: Literal["assay/report/2"] = schema_name("assay/report/2")
    study: str
    question: str
    hash: str = Field(description="Of what the study asks.")
    primary: str
    metrics: dict[str, Better] = Field(description="Metric → which way is better, the primary one first.")
    resolve: float | None = Field(description="Difference worth knowing.")
    trials: int
    counts: dict[str, int] = Field(description="Status of a record → trials.")
    over: bool = Field(description="Every trial of the table has a record.")
    cells: tuple[CellRow, ...]
    comparisons: tuple[ComparisonRow, ...]
    conditions: tuple[ConditionRow, ...] = Field(description="Empty: the study has no `test_under`.")
    stages: tuple[StageRow, ...]
    defects: tuple[DefectRow, ...]
    points: tuple[PointRow, ...] = Field(description="Of a search.")
    notes: tuple[str, ...] = Field(description="Footnotes of the table: what to know before believing it.")


class PairAnswer(Answer):
    """Two studies side by side: differences of their common repeats, right minus left."""

    schema_: Literal["assay/report-pair/1"] = schema_name("assay/report-pair/1")
    left: str
    right: str
    metric: str
    cells: tuple[str, ...] = Field(description="That both have.")
    compared: tuple[str, ...] = Field(description="Trained for each, with a repeat on the same test images.")
    comparisons: tuple[ComparisonRow, ...]


class JudgeAnswer(Answer):
    """Findings in a table of scores."""

    schema_: Literal["assay/judge/2"] = schema_name("assay/judge/2")
    file: str
    layout: str
    metrics: dict[str, str]
    resolve: float | None
    notes: tuple[str, ...]
    cells: tuple[MeanRow, ...]
    comparisons: tuple[ComparisonRow, ...]


class BestAnswer(Answer):
    """A point of a search as a study of its own."""

    schema_: Literal["assay/best/1"] = schema_name("assay/best/1")
    study: str
    cell: str
    point: int
    best: bool = Field(description="By the objective on validation images; false: it was asked for.")
    values: dict[str, Value] = Field(description="Objective → mean over repeats.")
    repeats: int
    drawn: dict[str, Any] = Field(description="Setting → value.")
    name: str = Field(description="Of the new study.")
    study_file: str = Field(description="Its text (YAML).")


class BestPointRow(PointRow):
    """The best point of a cell, or one of its front."""

    unbeaten: bool | None = Field(
        description="No point of the front has better means on fresh seeds; null: not known, or no front."
    )
    beaten_by: str | None = Field(description="The point that has them: `base #3`.")


class BestPointsAnswer(Answer):
    """The best point of each searched cell, or its front: `assay best` without a name."""

    schema_: Literal["assay/best-points/1"] = schema_name("assay/best-points/1")
    study: str
    front: bool = Field(description="The search has several objectives, so no point is best.")
    points: tuple[BestPointRow, ...]


class GainRange(BaseModel):
    """Score points, with a 95 % interval."""

    mean: Value
    low: Value
    high: Value


class Advice(BaseModel):
    """Advice for one start."""

    start: str | None = Field(description="The cell whose labels are the ones there are.")
    counted: str = Field(description="`image labels`, or `labels of defective images`.")
    image_labels: Value = Field(description="There are.")
    masks: Value
    hours: Value
    image_labels_bought: Value = Field(description="All hours on them.")
    masks_bought: Value
    choice: str | None = Field(description="null: nothing is advised, see `reason`.")
    reason: str
    image_labels_gain: GainRange | None
    masks_gain: GainRange | None
    difference: GainRange | None = Field(description="Masks minus image labels.")
    p_masks: Value = Field(description="Chance that masks gain more.")


class LabelsAnswer(Answer):
    """Advice on what to label next, for each start."""

    schema_: Literal["assay/labels/1"] = schema_name("assay/labels/1")
    study: str
    advice: tuple[Advice, ...]


def report_answer(results: StudyResults) -> ReportAnswer:
    """The numbers of a study's report, equal to those of its CSV."""
    from assay.report.pages import table_notes

    study, records = results.plan.study, results.records
    return ReportAnswer(
        study=results.name,
        question=study.question.strip(),
        hash=study.content_hash,
        primary=results.primary.name,
        metrics={metric.name: metric.better for metric in results.metrics},
        resolve=study.resolve,
        trials=results.plan.size,
        counts=dict(Counter(record.status for record in records.values())),
        over=results.all_ended,
        cells=cell_rows(results),
        comparisons=comparison_rows(report_comparisons(results), study_names(results).change),
        conditions=condition_rows(results),
        stages=stage_rows(results),
        defects=defect_rows(results),
        points=_points(results),
        notes=table_notes(results),
    )


def pair_answer(pair: StudyPair) -> PairAnswer:
    """The numbers of two studies side by side."""
    return PairAnswer(
        left=pair.left.name,
        right=pair.right.name,
        metric=pair.metric.name,
        cells=tuple(match.name for match in pair.cells),
        compared=tuple(match.name for match in pair.compared),
        comparisons=comparison_rows(pair.comparisons),
    )


def judge_answer(scores: AnalysedScores) -> JudgeAnswer:
    """The numbers of a table of scores, with what was read and asked."""
    from assay.report.pages import score_comparisons

    return JudgeAnswer(
        file=scores.name,
        layout=scores.layout,
        metrics={metric.name: f"{metric.better} is better" for metric in scores.metrics},
        resolve=scores.question.resolve,
        notes=tuple(scores.notes),
        cells=tuple(
            MeanRow(
                cell=cell,
                metric=metric.name,
                mean=summary.mean,
                sd=summary.spread,
                n=summary.n,
                n_planned=summary.planned,
            )
            for metric in scores.metrics
            for cell, summary in zip(scores.cells, scores.summary(metric), strict=True)
        ),
        comparisons=comparison_rows(score_comparisons(scores)),
    )


def objective_values(objectives: Sequence[Objective], point: EvaluatedPoint) -> dict[str, float | None]:
    """Objective → value of a finished point; empty for others."""
    names = [str(goal.max or goal.min) for goal in objectives]
    return dict(zip(names, point.values, strict=False))


def _points(results: StudyResults) -> tuple[PointRow, ...]:
    return tuple(
        _point(results.plan, cell, evaluated)
        for cell, points in results.evaluated_points.items()
        for evaluated in points
    )


def _point(plan: Plan, cell: str, evaluated: EvaluatedPoint) -> PointRow:
    return PointRow(
        cell=cell,
        point=evaluated.point.index,
        status=evaluated.status,
        values=objective_values(plan.objectives, evaluated),
        repeats=len(evaluated.repeats),
        drawn=dict(evaluated.point.values),
        reason=evaluated.reason,
    )


def best_points_answer(
    results: SearchResults, offered: Mapping[str, Sequence[FrontPoint]]
) -> BestPointsAnswer:
    """The best point of each searched cell, or its front."""
    plan = results.plan
    rows = [
        BestPointRow(
            **dict(_point(plan, cell, each.evaluated)), unbeaten=each.unbeaten, beaten_by=each.beaten_by
        )
        for cell, points in offered.items()
        for each in points
    ]
    return BestPointsAnswer(study=results.name, front=plan.has_front, points=tuple(rows))


def label_advice(labels: NextLabels) -> Advice:
    """Advice for a start."""
    advice = labels.advice
    return Advice.model_validate(
        {
            "start": None if labels.start is None else labels.start.cell.name,
            "counted": labels.counted,
            "image_labels": labels.labels.image_labels,
            "masks": labels.labels.masks,
            "hours": advice.hours,
            "image_labels_bought": advice.bought.image_labels,
            "masks_bought": advice.bought.masks,
            "choice": advice.choice,
            "reason": advice.reason,
            "image_labels_gain": advice.image_labels,
            "masks_gain": advice.masks,
            "difference": advice.difference,
            "p_masks": advice.p_masks,
        },
        from_attributes=True,
    )
