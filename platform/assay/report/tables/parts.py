"""Sections of a report on parts: the stages of a model, defects by class and size, means over classes.

Cells whose values of a stage are equal in every repeat share a row: they differ in a later stage, or not at
all. Rows of one class or size stand together, so that cells are compared where they must be.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from assay.analysis.breakdowns import (
    SIZE_METRIC,
    STAGE_METRICS,
    Share,
    StageSummary,
    class_factor,
    class_means,
    defect_summaries,
    stage_summaries,
)
from assay.analysis.names import study_names, variant_name
from assay.analysis.results.results import StudyResults
from assay.report.page.model import NOTHING, Column, Section, TextTable, numbered
from assay.report.tables.cells import level_columns, level_texts, mean_spread, metric_title
from trainables.data.inspect.findings import summarise
from trainables.evaluation.metrics import METRICS

__all__ = ["class_mean_section", "class_sections", "defect_section", "stage_section"]


# Stages: what each is worth, and the floors it must rise above -----------------------------------------


_NAMED_CELLS = 3  # more are named in a note
_INTRO = (
    "What each stage is worth, mean ± sd over repeats as in the first table, against masks that only the "
    "evaluation reads. Maps are decided at 0.5; no threshold is chosen for them."
)
_ORACLE = "Oracle: at the threshold that is best on these masks, which no method can know."
_SHARED = (
    "Variants in one row have the same values in every repeat: what they differ in comes later in the chain, "
    "or changes nothing here."
)
_SIZE = (
    "`size only`: a forest that knows the photographs' heights and widths, and no pixel. An AP that is not "
    "above it may come from how they were cropped."
)
_TRAIN = (
    "On training images: pseudo labels against the masks that were kept from training. What a label leaves "
    "open counts as background."
)
_FLOORS = (
    "Floors: a random map, a Gaussian in the middle, the distance of each pixel from its blurred "
    "surroundings, and √(CAM · that distance). A stage that is not above them has not learned where defects "
    "are."
)


def stage_section(results: StudyResults) -> Section | None:
    """A row for each stage and each cell that differs in it, floors last; None for methods without stages."""
    scores, planned = stage_summaries(results), len(results.reported.cells)
    if not scores:
        return None
    named = planned > 1
    sizes = any(summary.metric == SIZE_METRIC for stage in scores for summary in stage.summaries)
    metrics = (*STAGE_METRICS, SIZE_METRIC) if sizes else STAGE_METRICS
    columns = (
        Column("stage", "left"),
        *([Column("variants", "left")] if named else []),
        *(Column(METRICS[metric].title, "right") for metric in metrics),
        Column("n", "right"),
    )
    rows: list[tuple[str, ...]] = []
    links: dict[tuple[int, int], tuple[str, ...]] = {}
    of_cells: list[str] = []
    shared = False
    for alike in _alike(scores):
        first, cells = alike[0], [stage.summaries[0].cell.name for stage in alike]
        variants = [variant_name(results, cell) for cell in cells]
        shared |= len(cells) > 1
        texts = [_cells(variants, planned, f"{_title(first)}: ", of_cells)] if named else []
        links[len(rows), len(columns) - 1] = (cells[0],)
        rows.append((_title(first), *texts, *_values(first, metrics), first.summaries[0].count))
    kinds = {stage.of for stage in scores}
    notes = [
        _ORACLE,
        *([_SHARED] if shared else []),
        *([_TRAIN] if "train" in kinds else []),
        *([_FLOORS] if "floor" in kinds else []),
        *([_SIZE] if sizes else []),
    ]
    table = TextTable(columns, tuple(rows), tuple(of_cells), links=links)
    return Section("Stages", _INTRO, table, tuple(notes))


def _alike(scores: list[StageSummary]) -> Iterator[list[StageSummary]]:
    """Cells of a stage whose values are equal in every repeat, together; in the order of their first."""
    groups: dict[tuple[object, ...], list[StageSummary]] = {}
    for stage in scores:
        values = tuple((summary.metric, *sorted(summary.values.items())) for summary in stage.summaries)
        groups.setdefault((stage.of, stage.stage, values), []).append(stage)
    yield from groups.values()


def _title(stage: StageSummary) -> str:
    return {"test": "", "train": "on training images: ", "floor": "floor: "}[stage.of] + stage.stage


def _cells(cells: list[str], planned: int, stage: str, notes: list[str]) -> str:
    if len(cells) == planned:
        return "all"
    if len(cells) <= _NAMED_CELLS:
        return "; ".join(cells)
    mark = numbered(stage + "; ".join(cells), notes)
    return f"{summarise(cells, 1)} {mark}"


def _values(stage: StageSummary, metrics: Sequence[str]) -> Iterator[str]:
    of_metric = {summary.metric: summary for summary in stage.summaries}
    for metric in metrics:
        summary = of_metric.get(metric)
        yield NOTHING if summary is None else mean_spread(summary, METRICS[metric])


# Classes: defects by class and size, and means over classes --------------------------------------------


_DEFECTS = (
    "Connected regions of the test masks: shares of them, mean ± sd over repeats. A region is found where "
    "some pixel of it reaches the pixel threshold, outlined where its IoU is also at least 0.5, and missed "
    "where no pixel does. "
    "Images: of the defective ones that show it, the share decided defective."
)
_SIZES = (
    "Small, medium and large: thirds of the regions of a test part by their area in pixels of the masks as "
    "stored. `area to`: the largest region."
)
_MEAN = (
    "Mean over classes: each class weighs alike, however many regions it has, over the repeats that have all."
)


def class_sections(results: StudyResults) -> Iterator[Section]:
    """The sections on classes and sizes, as far as the study has any."""
    for section in (defect_section(results), class_mean_section(results)):
        if section is not None:
            yield section


def defect_section(results: StudyResults) -> Section | None:
    """A row for each class or size and each cell; None where no record tells of defects."""
    summaries = defect_summaries(results)
    if not summaries:
        return None
    columns = (
        Column("defects", "left"),
        *level_columns(results),
        *(
            Column(title, "right")
            for title in ("regions", "area to", "found", "outlined", "missed", "images")
        ),
    )
    rows = tuple(
        (
            f"mean over {summary.name} classes" if summary.of == "mean" else summary.name,
            *level_texts(results, summary.cell),
            _range(summary.regions),
            NOTHING if not max(summary.largest, default=0) else f"{_range(summary.largest)} px",
            _share(summary.detected),
            _share(summary.outlined),
            _missed(summary.detected),
            _share(summary.flagged),
        )
        for summary in summaries
    )
    kinds = {summary.of for summary in summaries}
    notes = (*([_MEAN] if "mean" in kinds else []), *([_SIZES] if "size" in kinds else []))
    return Section("Defects by class and size", _DEFECTS, TextTable(columns, rows), notes)


def class_mean_section(results: StudyResults) -> Section | None:
    """Means over the classes that a factor chooses; None where none does."""
    means = class_means(results)
    if not means:
        return None
    study, metrics, names = results.plan.study, results.metrics, study_names(results)
    factor = class_factor(study, results.reported.cells)
    assert factor is not None, "means over classes are of a factor that chooses them"
    others = [name for name in study.factors if name != factor]
    compared = {name for mean in means for name in mean.figures}
    columns = (
        *(Column(names.factor_words(name), "left") for name in others),
        Column("classes", "left"),
        *(
            Column(title, "right")
            for metric in metrics
            for title in (metric_title(metric), *(["published"] if metric.name in compared else []))
        ),
        Column("n", "right"),
    )
    rows: list[tuple[str, ...]] = []
    for mean in means:
        count = f"{len(mean.classes)} {mean.of}".rstrip()
        values: list[str] = []
        for metric in metrics:
            of_metric = mean.means[metric.name]
            values.append(_mean_spread(of_metric, metric.decimals))
            if metric.name in compared:
                figure = mean.figures.get(metric.name)
                values.append(NOTHING if figure is None else f"{figure:.3f}")
        repeats = str(len(mean.means[metrics[0].name]))
        rows.append(
            (*(names.level_column(name, mean.levels[name]) for name in others), count, *values, repeats)
        )
    words = names.factor_words(factor)
    intro = f"Each level of {words} weighs alike: mean ± sd over the repeats that have all of them."
    return Section(f"Means over {words}", intro, TextTable(columns, tuple(rows)))


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _share(share: Share | None) -> str:
    return NOTHING if share is None else _mean_spread(share.values)


def _missed(found: Share | None) -> str:
    return NOTHING if found is None else _mean_spread([1 - value for value in found.values])


def _mean_spread(values: Sequence[float], decimals: int = 3) -> str:
    if not values:
        return NOTHING
    mean = f"{statistics.fmean(values):.{decimals}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{decimals}f}"
