"""The report of a study as a :class:`Page`: question, ablation table, comparisons, footnotes, trials.

Each section is made by a function of its own from the study's results and nothing else. The conclusions are
drawn by :mod:`assay.analysis`, and :mod:`assay.report.formats` writes the page.
"""

from __future__ import annotations

from collections import Counter

from assay.analysis.results import StudyResults
from assay.analysis.search_results import SearchResults
from assay.report.ablation_table import ablation_table, best_notes
from assay.report.answer import study_answer
from assay.report.cell_tables import interval_section, trial_section
from assay.report.comparison_tables import claim_question, comparison_sections
from assay.report.defect_tables import class_sections
from assay.report.footnotes import footnotes
from assay.report.label_tables import label_sections
from assay.report.page.model import Page, Section
from assay.report.pictures import study_pictures
from assay.report.search_tables import search_line, search_sections
from assay.report.stage_tables import stage_section
from assay.study.names import counted

__all__ = ["compared_sections", "count_line", "study_page", "table_notes"]


def study_page(results: StudyResults, *, brief: bool = False) -> Page:
    """The page of a study.

    Args:
        results: The study as trained.
        brief: Begin with the answer in sentences, and leave out the numbers behind it: details, further
            metrics, classes, what labels buy and what mattered in a search.
    """
    study = results.plan.study
    return Page(
        title=results.name,
        question=study.question.strip(),
        count=count_line(results),
        table=ablation_table(results),
        notes=table_notes(results),
        intervals=interval_section(results),
        sections=tuple(section for section in compared_sections(results) if not section.detail)
        if brief
        else (*compared_sections(results), *class_sections(results), *label_sections(results)),
        pictures=tuple(study_pictures(results)),
        search=search_sections(results, brief=brief) if isinstance(results, SearchResults) else (),
        trials=trial_section(results),
        all_trials=f"`assay report {results.name} --format html` lists them all, and "
        f"`studies/{results.name}/summary.parquet` below the storage has a row for each trial and metric.",
        answer=_sentences(results) if brief else (),
    )


def _sentences(results: StudyResults) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Kinds of verdicts and their sentences; empty where the study compares nothing yet."""
    answer = study_answer(results)
    if answer is None:
        return ()
    question = f"Differences in {results.primary.title} {claim_question(answer.claims)}"
    more = {group: f"{group.left_out} more below." for group in answer.groups if group.left_out > 0}
    return (
        ("", (question,)),
        *(
            (group.title, tuple(filter(None, (*group.sentences, more.get(group), group.takes))))
            for group in answer.groups
        ),
    )


def table_notes(results: StudyResults) -> tuple[str, ...]:
    """The notes below the ablation table, without those that its cells refer to by number."""
    return (*best_notes(results), *footnotes(results))


def compared_sections(results: StudyResults) -> tuple[Section, ...]:
    """Comparisons, effects and stages; what labels buy is not among them."""
    stages = stage_section(results)
    return (*comparison_sections(results), *([stages] if stages is not None else ()))


def count_line(results: StudyResults) -> str:
    """``18 trials of 6 cells: 17 finished, 1 diverged. Data: synthetic, 240 images, 60 defective.``"""
    plan, records = results.plan, results.records
    count = Counter(records[t.id].status if t.id in records else "missing" for t in plan.trials)
    order = ("finished", "diverged", "pruned", "failed", "missing")
    states = ", ".join(f"{count[status]} {status}" for status in order if count[status])
    data = "; ".join(
        f"{m.reader}, {m.images} images, {m.defective} defective" for m in plan.manifests.values()
    )
    text = f"{counted(len(plan.trials), 'trial')} of {counted(len(plan.cells), 'cell')}: {states}."
    if isinstance(results, SearchResults):
        searched = search_line(results.plan, results.evaluated_points)
        text = f"{searched} {counted(len(plan.trials), 'trial')}: {states or 'none'}."
    return f"{text} Data: {data}." if data else text
