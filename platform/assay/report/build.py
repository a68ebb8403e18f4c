"""The answer of a study as a :class:`Page`: question, ablation table, comparisons, footnotes, trials.

Numbers come from records only, through :mod:`assay.report.ablation_table` and
:mod:`assay.report.comparison_tables`. What is concluded from them is
:mod:`assay.analysis.statistics`, and how a page is written :mod:`assay.report.page`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from assay.analysis.label_analysis import LabelAnalysis
from assay.analysis.study_analysis import StudyAnalysis
from assay.report.ablation_table import ablation_table
from assay.report.cell_tables import interval_section, trial_section
from assay.report.comparison_tables import best_notes, sections
from assay.report.footnotes import footnotes
from assay.report.label_tables import label_sections
from assay.report.page.model import Page, Section
from assay.report.pictures import study_pictures
from assay.report.search_tables import evaluated_points, search_line, search_sections
from assay.report.stage_tables import stage_section
from assay.storage.record import Record, UnreadableRecord
from assay.study import Plan

__all__ = ["answer_sections", "count_line", "study_page", "table_notes"]


def study_page(
    plan: Plan,
    records: Mapping[str, Record],
    answers: StudyAnalysis,
    problems: Sequence[UnreadableRecord] = (),
    importance: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
    *,
    labels: LabelAnalysis | None = None,
) -> Page:
    """The page of a study.

    Args:
        plan: All that was to be trained.
        records: The records there are, by trial id (``store.records_of(ids).records``).
        answers: What the records say (``analyse_study``).
        problems: Records that could not be read: named under the table.
        importance: Of a search: cell → parameter → share of the objective's variance.
        labels: What labels buy (``analyse_labels``).
    """
    further = label_sections(plan, labels) if labels is not None else ()
    return Page(
        title=plan.study.study,
        question=plan.study.question.strip(),
        count=count_line(plan, records),
        table=ablation_table(plan, records, problems, answers),
        notes=table_notes(plan, records, answers, problems),
        intervals=interval_section(plan, records, problems, answers),
        sections=(*answer_sections(plan, records, answers), *further),
        pictures=study_pictures(plan, records, answers),
        search=search_sections(plan, records, importance) if plan.study.search is not None else (),
        trials=trial_section(plan, records, problems),
    )


def table_notes(
    plan: Plan,
    records: Mapping[str, Record],
    answers: StudyAnalysis,
    problems: Sequence[UnreadableRecord] = (),
) -> tuple[str, ...]:
    """What stands below the ablation table, without the notes that its cells refer to by number."""
    return (*best_notes(plan, answers), *footnotes(plan, records, problems))


def answer_sections(plan: Plan, records: Mapping[str, Record], answers: StudyAnalysis) -> tuple[Section, ...]:
    """Comparisons, effects and stages; what labels buy is not among them."""
    stages = stage_section(plan, records)
    return (*sections(plan, answers), *([stages] if stages is not None else ()))


def count_line(plan: Plan, records: Mapping[str, Record]) -> str:
    """``18 trials of 6 cells: 17 finished, 1 diverged. Data: synthetic, 240 images, 60 defective.``"""
    count = Counter(records[t.id].status if t.id in records else "missing" for t in plan.trials)
    order = ("finished", "diverged", "pruned", "failed", "missing")
    found = ", ".join(f"{count[status]} {status}" for status in order if count[status])
    data = "; ".join(
        f"{m.reader}, {m.images} images, {m.defective} defective" for m in plan.manifests.values()
    )
    text = f"{len(plan.trials)} trials of {len(plan.cells)} cells: {found}."
    if plan.study.search is not None:
        searched = search_line(plan, evaluated_points(plan, records))
        text = f"{searched} {len(plan.trials)} trials: {found or 'none'}."
    return f"{text} Data: {data}." if data else text
