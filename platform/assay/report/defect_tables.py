"""Sections of a report on classes: defects by class and size, and means over classes.

Rows of one class or size stand together, so that cells are compared where they must be.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from assay.analysis.breakdowns import DefectSummary, Share, class_factor, class_means, defect_summaries
from assay.analysis.results import StudyResults
from assay.report.ablation_table import level_columns, level_texts, metric_title
from assay.report.page.model import NOTHING, Column, Section, TextTable

__all__ = ["class_mean_section", "class_sections", "defect_section"]

_INTRO = (
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
        *level_columns(results.plan),
        *(
            Column(title, "right")
            for title in ("regions", "area to", "found", "outlined", "missed", "images")
        ),
    )
    rows = tuple(
        (
            _title(summary),
            *level_texts(results.plan, summary.cell),
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
    return Section("Defects by class and size", _INTRO, TextTable(columns, rows), notes)


def class_mean_section(results: StudyResults) -> Section | None:
    """Means over the classes that a factor chooses; None where none does."""
    means = class_means(results)
    if not means:
        return None
    study, metrics = results.plan.study, results.metrics
    factor = class_factor(study, results.reported.cells)
    others = [name for name in study.factors if name != factor]
    compared = {name for mean in means for name in mean.figures}
    columns = (
        *(Column(name, "left") for name in others),
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
        count = f"{len(mean.classes)}{' with a published figure' if mean.published else ''}"
        values: list[str] = []
        for metric in metrics:
            of_metric = mean.means[metric.name]
            values.append(_mean_spread(of_metric, metric.decimals))
            if metric.name in compared:
                figure = mean.figures.get(metric.name)
                values.append(NOTHING if figure is None else f"{figure:.3f}")
        repeats = str(len(mean.means[metrics[0].name]))
        rows.append((*(mean.levels[name] for name in others), count, *values, repeats))
    intro = f"Each level of `{factor}` weighs alike: mean ± sd over the repeats that have all of them."
    return Section(f"Means over {factor}", intro, TextTable(columns, tuple(rows)))


def _title(summary: DefectSummary) -> str:
    return f"mean over {summary.name} classes" if summary.of == "mean" else summary.name


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
