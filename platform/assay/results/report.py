"""The answer of a study as one Markdown page: question, ablation table, comparisons, footnotes.

Numbers come from records only, through :mod:`assay.results.tables` and :mod:`assay.results.answer_tables`;
what is concluded from them is :mod:`assay.results.statistics`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from assay.results.answer_tables import Section, best_notes, sections
from assay.results.answers import StudyAnswers, study_answers
from assay.results.footnotes import footnotes
from assay.results.label_answers import label_answers
from assay.results.label_tables import label_sections
from assay.results.luck import StudyLuck
from assay.results.record import Problem, Record
from assay.results.search_tables import judged_cells, search_line, search_page
from assay.results.tables import TextTable, ablation_table, superscript
from assay.study import Plan

__all__ = ["count_line", "note_lines", "numbered_notes", "report", "section_lines"]


def report(
    plan: Plan,
    records: Mapping[str, Record],
    problems: Sequence[Problem] = (),
    importance: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
    pictures: Mapping[str, str] = MappingProxyType({}),
    *,
    luck: StudyLuck | None = None,
    looks: Sequence[int] = (),
) -> str:
    """The page of a study.

    Args:
        plan: All that was to be trained.
        records: The records there are, by trial id (``store.records_of(ids).records``).
        problems: Records that could not be read: named under the table.
        importance: Of a search: cell → parameter → share of the objective's variance.
        pictures: Caption → path of a picture, as the page names it.
        luck: Test luck, from the predictions (``read_luck``).
        looks: Numbers of seeds at which the study was answered before (``read_looks``).

    Returns:
        Markdown, ending in a newline.
    """
    answers = study_answers(plan, records, problems, luck=luck, looks=looks)
    table = ablation_table(plan, records, problems, answers)
    parts = [f"# {plan.study.study}"]
    if plan.study.question:
        parts.append("> " + plan.study.question.strip().replace("\n", "\n> "))
    parts += [count_line(plan, records), table.markdown()]
    parts.append("\n".join(note_lines(plan, records, problems, table, answers)))
    labels = label_answers(plan, records, problems, looks=looks)
    for section in (*sections(plan, answers), *(label_sections(plan, labels) if labels else ())):
        parts += section_lines(section)
    parts += [f"![{caption}]({path})\n\n*{caption}*" for caption, path in pictures.items()]
    if plan.study.search is not None:
        parts += search_page(plan, records, importance)
    return "\n\n".join(part for part in parts if part) + "\n"


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
        text = (
            f"{search_line(plan, judged_cells(plan, records))} {len(plan.trials)} trials: {found or 'none'}."
        )
    return f"{text} Data: {data}." if data else text


def note_lines(
    plan: Plan,
    records: Mapping[str, Record],
    problems: Sequence[Problem],
    table: TextTable,
    answers: StudyAnswers,
) -> list[str]:
    """The notes under the table as list items: those with a number first."""
    further = [*best_notes(plan, answers), *footnotes(plan, records, problems)]
    return [*numbered_notes(table), *(f"- {note}" for note in further)]


def numbered_notes(table: TextTable) -> list[str]:
    """The notes that a table's cells refer to, as list items."""
    return [f"- {superscript(number)} {note}" for number, note in enumerate(table.notes, start=1)]


def section_lines(section: Section) -> list[str]:
    """A section as parts of a Markdown page."""
    notes = [*numbered_notes(section.table), *(f"- {note}" for note in section.notes)]
    return [f"## {section.title}", section.intro, section.table.markdown(), "\n".join(notes)]
