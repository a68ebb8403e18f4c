"""The section of a report on the stages of a model: what each is worth, and the floors it must rise above.

Cells whose values are equal in every repeat share a row: they differ in a later stage, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay.analysis.breakdowns import SIZE_METRIC, STAGE_METRICS, StageSummary, stage_summaries
from assay.analysis.results import StudyResults
from assay.report.ablation_table import mean_spread
from assay.report.page.model import NOTHING, Column, Section, TextTable, numbered
from trainables.data.inspect.findings import summarise
from trainables.evaluation.metrics import METRICS

__all__ = ["stage_section"]

_NAMED_CELLS = 3  # more are named in a note
_INTRO = (
    "What each stage is worth, mean ± sd over repeats as in the first table, against masks that only the "
    "evaluation reads. Maps are decided at 0.5; no threshold is chosen for them."
)
_ORACLE = "Oracle: at the threshold that is best on these masks, which no method can know."
_SHARED = (
    "Cells in one row have the same values in every repeat: what they differ in comes later in the chain, or "
    "changes nothing here."
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
        *([Column("cells", "left")] if named else []),
        *(Column(METRICS[metric].title, "right") for metric in metrics),
        Column("n", "right"),
    )
    rows: list[tuple[str, ...]] = []
    links: dict[tuple[int, int], tuple[str, ...]] = {}
    of_cells: list[str] = []
    shared = False
    for alike in _alike(scores):
        first, cells = alike[0], [stage.summaries[0].cell.name for stage in alike]
        shared |= len(cells) > 1
        texts = [_cells(cells, planned, f"{_title(first)}: ", of_cells)] if named else []
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
        return ", ".join(cells)
    mark = numbered(stage + ", ".join(cells), notes)
    return f"{summarise(cells, 1)} {mark}"


def _values(stage: StageSummary, metrics: Sequence[str]) -> Iterator[str]:
    of_metric = {summary.metric: summary for summary in stage.summaries}
    for metric in metrics:
        summary = of_metric.get(metric)
        yield NOTHING if summary is None else mean_spread(summary, METRICS[metric])
