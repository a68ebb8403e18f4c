"""The first page of a study: its question and its answer on one screen.

Verdicts in sentences and as a plot, the table beside them, the most telling pair of masks, and what runs now.
"""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from assay.analysis.results.results import StudyResults
from assay.analysis.results.watch import score
from assay.report.figures.effects import comparisons_plot, effects_plot
from assay.report.headline import Answer, AnswerGroup
from assay.report.page.model import Column, Section, TextTable, numbered, superscript
from assay.report.tables.cells import in_order, level_columns, metric_title, study_bold_notes
from assay.report.tables.comparisons import claim_question
from assay.storage.progress import Running
from assay.study.planning.repeats import repeat_name
from assay_dashboard import study_view as reading
from assay_dashboard.cells import ablation
from assay_dashboard.first_look import pair_html, telling_pair
from assay_dashboard.layout import (
    EVERY,
    ago,
    counted,
    draw,
    duration,
    errors_shown,
    missing,
    missing_probes,
    missing_verdicts,
    paragraph,
    plain,
    progress_bar,
    section,
    stop_button,
    study_view,
    theme,
)
from assay_dashboard.plots import difference_plot
from assay_dashboard.state import CELL, CELLS, REPEAT, STUDY

_ROWS = 6  # of the plot, or as many as have a sentence
_CELLS = 8  # of the table
_FACTORS = 3  # with more the table names its cells
_RUNNING = 3  # trials that are named
_STEP = 34  # pixels of a row of the plot


@st.fragment(run_every=EVERY)
def _now(view: reading.StudyView) -> None:
    """Progress of the study, and what runs: by heartbeats, which are no reason to draw the page again."""
    with errors_shown():
        entry = reading.entry(view.store, view.name)
        parts = [counted(entry)]
        if entry.left is not None and entry.held:
            parts.append(f"{entry.left.roughly} {duration(entry.left.seconds)} left")
        if entry.last_record is not None:
            parts.append(f"last record {ago(entry.last_record)}")
        running = [t for t in reading.view(view.store, view.name).running if t.silent is None]
        with st.container(key="answer-now"):
            if entry.done < entry.total:
                st.html(progress_bar(entry))
            with st.container(horizontal=True, vertical_alignment="center", key="answer-state"):
                st.html(paragraph(" · ".join(parts), "quiet"), width="content")
                stop_button(view.store, view.name, "study", view.name)
            for trial in running[:_RUNNING]:
                _running(view, trial)
            if len(running) > _RUNNING:
                plain(f"{len(running) - _RUNNING} more run now.", "quiet")


def _running(view: reading.StudyView, running: Running) -> None:
    """A trial that runs, with its numbers, and the way to its log."""
    trial = running.trial
    repeat = repeat_name(trial.seed, trial.fold)
    with st.container(horizontal=True, vertical_alignment="center", key=f"running-{trial.id}"):
        place = {STUDY: view.name, CELL: trial.cell, REPEAT: repeat}
        st.page_link("views/trial.py", label="Log", icon=":material/article:", query_params=place)
        text = f"Runs now: {trial.cell}, {repeat}{_numbers(running, view.results.primary.name)}"
        plain(text, "quiet")


def _numbers(running: Running, primary: str) -> str:
    progress = running.progress
    if progress is None:
        return ", before its first epoch"
    stage = f"{progress.stage}, " if progress.stage else ""
    left = f"about {duration(running.left)} left" if running.left is not None else ""
    of_epoch = f"{stage}epoch {progress.epoch} of {progress.epochs}"
    return ": " + " · ".join(filter(None, [of_epoch, score(progress.metrics, primary), left]))


def _verdicts(answer: Answer) -> None:
    """A line for each kind of finding: its name at the left, its sentences beside it."""
    metric = answer.results[0].scored_by.title
    claim = paragraph(f"Differences in {metric} {claim_question(answer.claims)}", "quiet")
    groups = "".join(_group(group) for group in answer.groups)
    notes = "".join(paragraph(note, "quiet") for note in answer.notes)
    with st.container(key="answer-verdicts"):
        st.html(f'{claim}<div class="verdicts">{groups}</div>{notes}')


def _group(group: AnswerGroup) -> str:
    sentences = "".join(paragraph(text) for text in group.sentences)
    more = f"{group.left_out} more on the page Effects. " if group.left_out > 0 else ""
    takes = f"What it would take: {group.takes}" if group.takes else ""
    rest = paragraph(f"{more}{takes}", "quiet") if more or takes else ""
    return f'<div class="kind {group.verdict}">{group.title}</div><div>{sentences}{rest}</div>'


def _plot(results: StudyResults, answer: Answer) -> None:
    most = len(answer.results)
    plot = effects_plot(results, most) if answer.effects else comparisons_plot(results, most)
    assert plot is not None, "an answer has a result"
    named = [result for group in answer.groups for result in group.named]
    others = [result for result in answer.results if result not in named]
    others.sort(key=lambda result: result.difference is None)
    drawn = [*named, *others][: max(_ROWS, len(named))]
    shown = replace(plot, groups={f"On {' or '.join(answer.claims)}": drawn})
    draw(difference_plot(shown, drawn, theme=theme(), step=_STEP), shown.alt)
    if len(answer.results) > len(drawn):
        plain(f"{len(drawn)} of {len(answer.results)}. The page Effects shows all.", "quiet")


def _table(results: StudyResults) -> None:
    """The report's rows with the primary metric and n; of many cells the best."""
    table, names = ablation(results), [cell.name for cell in results.reported.cells]
    order = names if len(names) <= _CELLS else in_order(results, results.primary)[:_CELLS]
    levels = len(level_columns(results.plan))
    primary = next(
        i for i, column in enumerate(table.columns) if column.title == metric_title(results.primary)
    )
    last = len(table.columns) - 1
    named = levels <= _FACTORS
    kept = [*(range(levels) if named else ()), primary, last]
    columns = [*([] if named else [Column("cell", "left")]), *(table.columns[i] for i in kept)]
    places = [names.index(name) for name in order]
    marked = {superscript(number): note for number, note in enumerate(table.notes, 1)}
    below: list[str] = []  # the notes of these rows
    rows: list[tuple[str, ...]] = []
    for place in places:
        shown = [table.rows[place][i] for i in kept]
        count, _, mark = shown[-1].rpartition(" ")
        if mark in marked:
            shown[-1] = f"{count} {numbered(marked[mark], below)}"
        rows.append((*(() if named else (names[place],)), *shown))
    bold = frozenset(
        (row, len(columns) - 2) for row, place in enumerate(places) if (place, primary) in table.bold
    )
    of = f"The best {len(order)} of {len(names)} cells. " if len(order) < len(names) else ""
    notes = (f"{of}Mean ± spread over repeats.", *study_bold_notes(results))
    with st.container(key="answer-table"):
        section(Section("", "", TextTable(tuple(columns), tuple(rows), tuple(below), bold)))
        plain(" ".join(notes), "quiet")


def _masks(view: reading.StudyView) -> None:
    """The image that the first and the best cell decide most differently."""
    with st.container(key="answer-masks"):
        try:
            pair = view.results.once("telling pair", lambda: telling_pair(view))
        except OSError as error:
            plain(f"The pictures are left out: {error}", "warn")
            return
        if pair is None:
            if not view.kept_maps:
                _no_pictures(view.results)
            return
        html = view.results.once("telling html", lambda: pair_html(pair))
        truth = ", truth outlined in white" if pair.has_truth else ""
        text = f"Most different on {pair.sample}, {pair.repeat}: decision in orange{truth}."
        st.html(html + paragraph(text, "quiet"))
        place = {STUDY: view.name, CELLS: list(pair.cells), "sort": "disagreement"}
        st.page_link("views/masks.py", label="More masks", icon=":material/compare:", query_params=place)


def _no_pictures(results: StudyResults) -> None:
    if results.plan.study.keep.probes == 0:
        missing_probes("No pictures: the study keeps no probe images.", results)
    elif any(record.status == "finished" for record in results.records.values()):
        missing("No pictures: no finished trial has kept probe images.")
    else:
        missing("No pictures yet: the first finished trial brings them.")


def _page() -> None:
    view = study_view()
    _now(view)
    with st.spinner("Comparing cells …"):
        results, answer = view.results.without_predictions(), view.answer()
    left, right = st.columns([7, 5], gap="medium")
    with left:
        if answer is not None:
            _verdicts(answer)
            _plot(results, answer)
        else:
            missing_verdicts(results)
    with right:
        if results.reported.cells:
            _table(results)
            _masks(view)


_page()
