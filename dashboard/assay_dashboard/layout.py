"""Parts that pages share: the study at hand, messages where there is none, texts, live updates."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

import altair as alt
import streamlit as st

from assay.analysis.names import study_names, variant_name
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.report.masks.payload import MOST_CELLS
from assay.report.page.html import escape, html_notes, html_section
from assay.report.page.inline import inline
from assay.report.page.model import Section, TextTable
from assay.report.pages import count_line
from assay.report.tables.cells import highlighted_cells
from assay.storage import Store
from assay.storage.lease import StopKind, clear_stop, holder, request_stop, stop_requested
from assay_dashboard import study_view as reading
from assay_dashboard.plots import Chart, Theme
from assay_dashboard.state import (
    CELL,
    CELLS,
    REPEAT,
    STUDY,
    choose_part_of,
    choose_several,
    chosen_study,
    read_only,
    storage_uri,
)
from assay_dashboard.study_view import StudyEntry
from trainables.errors import InputError

__all__ = [
    "EVERY",
    "INK",
    "ago",
    "begin",
    "choose_cells",
    "choose_part",
    "counted",
    "draw",
    "duration",
    "errors_shown",
    "escaped",
    "follow",
    "head",
    "message",
    "missing",
    "missing_probes",
    "missing_verdicts",
    "notes",
    "nothing_found",
    "nothing_yet",
    "paragraph",
    "plain",
    "progress_bar",
    "section",
    "stop_button",
    "study_view",
    "theme",
    "to_cells",
    "to_trial",
    "watched",
]


Part = Callable[[reading.StudyView], None]  # draws a part of a page
EVERY = 2.0  # seconds between two reads of the storage
INK: dict[Theme, str] = {"light": "#30363d", "dark": "#E8E8E8"}  # of texts in charts
_SEEN = "_seen"  # what is on the page: study → its version, None → the studies there are
_DRAWN = "_drawn"  # the theme in which the charts are drawn


class _PageEnds(Exception):  # noqa: N818 nothing went wrong
    """The page ends here. After ``st.stop`` nobody would look for changes: its fragments tick no more."""


def study_view() -> reading.StudyView:
    """The study that the reader chose. Where there is none, the page says what to do and ends."""
    store, name = reading.open_store(storage_uri()), chosen_study()
    if name is None:
        message(
            "There is no such study here. Choose a study above." if store.studies() else nothing_yet(store)
        )
        raise _PageEnds
    return watched(store, name)


def nothing_yet(store: Store) -> str:
    """A message on a storage without a study, which may have been moved."""
    gone = store.local_path is not None and not store.local_path.exists()
    where = (
        f"There is no folder {store.uri}: no study has been run into it yet, or it was moved."
        if gone
        else f"No study has been run into {store.uri} yet."
    )
    return f"{where} `assay run STUDY` starts one."


def watched(store: Store, name: str) -> reading.StudyView:
    """A study that the page shows. The page is run again when the study changes or can be read again."""
    with st.spinner("Reading the study …"):
        st.session_state.setdefault(_SEEN, {})[name] = _state(store, name)
        return reading.view(store, name)


def head(view: reading.StudyView) -> None:
    """Show the study's question, and how many of its trials ended how."""
    results = view.results
    count = results.once("count", lambda: count_line(results))
    st.html(paragraph(results.plan.study.question.strip(), "question") + paragraph(count, "quiet"))


@contextmanager
def errors_shown() -> Generator[None]:
    """Show an error in the place of what cannot be read, and let a page end early.

    The body of a fragment needs this itself. It is run again alone, without the page around it.
    """
    try:
        yield
    except _PageEnds:
        return
    except (InputError, OSError) as error:
        text = str(error)
        message(text[:1].upper() + text[1:])


def message(text: str) -> None:
    """A sentence in the place of what cannot be shown."""
    plain(text, "message")


def missing(text: str, yaml: str = "") -> None:
    """A sentence on what is not there, and the lines of the study file that would fill its place."""
    lines = f'<pre class="yaml">{escape(yaml)}</pre>' if yaml else ""
    st.html(paragraph(f"{text} This in the study file fills the place:" if yaml else text, "message") + lines)


def missing_probes(text: str, results: StudyResults) -> None:
    """A sentence on missing probe images, which trials that have ended do not get later."""
    if results.plan.study.keep.probes:
        missing(text)
        return
    ended = any(record.status == "finished" for record in results.records.values())
    later = " Trials that have ended get none later, so seeds are to be added, too." if ended else ""
    missing(text + later, "keep: {probes: 12}")


def missing_verdicts(results: StudyResults) -> None:
    """The reason why no comparison has a verdict, and what would bring one."""
    study = results.plan.study
    # Each reason has its own remedy, from the most basic one on.
    if results.plan.has_front:
        missing(
            "With several objectives no point is best, and none is compared. The front is on the page Runs."
        )
    elif not results.reported.cells:
        lines = (
            "replicate: {best: 1, seeds: [100, 101, 102, 103, 104, 105]}" if study.replicate is None else ""
        )
        missing("The search has no winner yet. Its points are on the page Runs.", lines)
    elif study_analysis(results).comparisons or study_analysis(results).main_effects:
        title = results.primary.title
        missing(f"No verdict yet: it needs a value of {title} from the same repeat in both variants.")
    elif study.factors:
        missing("The study has no comparisons.", f"comparisons: [{{factor: {next(iter(study.factors))}}}]")
    else:
        missing("The winner is compared with nothing. The page Runs says why.")


def plain(text: str, kind: str = "") -> None:
    """A text from outside, as it is: neither Markdown nor HTML."""
    st.html(paragraph(text, kind))


def paragraph(text: str, kind: str = "") -> str:
    """A text as HTML that shows it as it is, backticks as code; ``kind``: a class of ``style.css``."""
    shown = inline(text, escape, lambda code: f"<code>{escape(code)}</code>")
    return f'<p class="{escape(kind)}">{shown}</p>'


def theme() -> Theme:
    """The theme of the reader's browser."""
    return "dark" if st.context.theme.type == "dark" else "light"


def draw(chart: Chart | alt.Chart, described: str) -> None:
    """A chart, with its texts in the colour of the page's: Streamlit's own are too pale on white to be read.

    Args:
        chart: It fills the width.
        described: What those hear who do not see it.
    """
    # Streamlit's theme is not in the chart itself, so its texts get the colour of the page's.
    ink = INK[theme()]
    named = {"labelColor": ink, "titleColor": ink}
    chart.config = {"text": {"color": ink}, "axis": named, "legend": named}  # each `configure_…` copies all
    st.altair_chart(chart, alt=described)


def section(part: Section) -> None:
    """A section of the report, as the report writes it."""
    st.html(f'<div class="report">{html_section(part)}</div>')


def notes(table: TextTable, below: Sequence[str]) -> None:
    """The notes of a table, folded away."""
    with st.expander("What the numbers mean"):
        st.html(f'<div class="report">{html_notes(table, below)}</div>')


def choose_part(page: str, parts: Mapping[str, Part]) -> Part:
    """What draws the part of a page that the reader chose; there is no choice of a single one.

    The parameter of the URL has the page's name: one that all pages had would follow the reader to a page
    that does not know its value.
    """
    names = list(parts)
    return parts[choose_part_of(page, names) if len(names) > 1 else names[0]]


def nothing_found(text: str, usual: Mapping[str, object]) -> None:
    """Say that a filter leaves nothing, and offer the way back; ``usual``: widgets that then show all."""
    with st.container(horizontal=True, vertical_alignment="center"):
        plain(text, "message")
        st.button("Show all", icon=":material/undo:", on_click=partial(st.session_state.update, usual))


def choose_cells(results: StudyResults, names: Collection[str]) -> list[str]:
    """The variants that the reader chose, on this page or another; at first those that tell most."""
    return choose_several(
        st,
        f"Variants, up to {MOST_CELLS}",
        list(names),
        key=CELLS,
        usual=highlighted_cells(results, names, MOST_CELLS),
        words=study_names(results).variant,
        most=MOST_CELLS,
        wrap=True,
    )


def to_trial(results: StudyResults, cell: str, repeat: str, name: str | None = None) -> None:
    """A link to the page of a run; ``name``: of its variant, where the page has one of its own."""
    variant = variant_name(results, cell) if name is None else name
    place = {STUDY: results.name, "runs": "Run", CELL: cell, REPEAT: repeat}
    st.page_link("views/runs.py", label=f"Open {escaped(variant)}, {escaped(repeat)}", query_params=place)


def to_cells(results: StudyResults, cells: Sequence[str]) -> None:
    """Links to the images and to the runs of some variants."""
    names = escaped(" and ".join(variant_name(results, cell) for cell in cells))
    links = {("images", "Masks"): ":material/compare:", ("table", "Variants"): ":material/table_chart:"}
    with st.container(horizontal=True):
        for (page, part), icon in links.items():
            place = {STUDY: results.name, page: part, CELLS: list(cells)}
            what = "Images" if page == "images" else "Runs"
            st.page_link(f"views/{page}.py", label=f"{what} of {names}", icon=icon, query_params=place)


def begin(store: Store) -> None:
    """Begin a run of a page: :func:`follow` forgets what the run before has shown."""
    st.session_state[_SEEN] = {None: _state(store, None)}
    st.session_state[_DRAWN] = theme()


@st.fragment(run_every=EVERY)
def follow(store: Store) -> None:
    """Look for changes, and run the page again when there is one. Keys keep scroll and selections."""
    # The version of everything that was shown: a heartbeat alone changes none of it.
    seen: dict[str | None, object] = st.session_state[_SEEN]
    changed = any(_state(store, name) != state for name, state in seen.items())
    if changed or st.session_state[_DRAWN] != theme():
        st.rerun(scope="app")


def _state(store: Store, name: str | None) -> object:
    """The version of a study, or the studies there are; where they cannot be read, why."""
    try:
        return store.studies() if name is None else reading.view(store, name).version
    except (InputError, OSError) as error:
        return str(error)


# Numbers, times and names as the pages write them ------------------------------------------------------


_MARK_UP = re.compile(r"([\\`*_{}\[\]()#+.!|~$:<>&-])")
# Of addresses Markdown makes links, whatever is escaped: a word joiner, which nobody sees, parts them.
_ADDRESS = re.compile(r"https?:(?=//)|www(?=\.)|@", re.IGNORECASE)
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def escaped(text: str) -> str:
    """Escape ``text`` for a place that reads Markdown, which then shows it as it is."""
    return _MARK_UP.sub(r"\\\1", _ADDRESS.sub("\\g<0>\u2060", text))


def duration(seconds: float) -> str:
    """``40 s``, ``5 min``, ``2 h 10 min``, ``3 d 4 h``."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def ago(then: datetime) -> str:
    """``5 min ago``."""
    return f"{duration(max(0.0, (datetime.now(UTC) - then).total_seconds()))} ago"


def counted(entry: StudyEntry) -> str:
    """``17 of 24 finished · 2 running · 1 failed · 4 planned``."""
    parts = [f"{entry.counts.get('finished', 0)} of {entry.total} finished"]
    others = {name: entry.counts.get(name, 0) for name in ("failed", "diverged", "pruned")}
    others = {"running": entry.running, **others, "planned": entry.planned}
    parts += [f"{number} {name}" for name, number in others.items() if number]
    if entry.planned and not entry.held:
        parts.append("nobody runs it")
    return " · ".join(parts)


def progress_bar(entry: StudyEntry) -> str:
    """Shares of what is finished, pruned, lost and running, as HTML made of numbers only."""
    # Whatever ended otherwise counts as lost, so the shares add up.
    numbers = {name: entry.counts.get(name, 0) for name in ("finished", "pruned")}
    numbers |= {"lost": entry.done - sum(numbers.values()), "running": entry.running}
    total = max(1, entry.total)
    pieces = "".join(
        f'<i class="{name}" style="width:{100 * number / total:.3f}%"></i>'
        for name, number in numbers.items()
    )
    label = f"{numbers['finished']} of {entry.total} finished"
    return f'<div class="bar" role="img" aria-label="{label}">{pieces}</div>'


# Buttons that ask a run to stop, as `assay stop` does --------------------------------------------------


_WHEN: dict[StopKind, str] = {"study": "within seconds", "trial": "after its epoch"}


def stop_button(store: Store, study: str, kind: StopKind, name: str) -> None:
    """A button that stops a study that runs, or one of its trials; then one that lets it go on.

    Nothing where nobody runs the study. Without a button where the pages are read-only.

    Args:
        store: Where the study runs.
        study: Its name.
        kind: Of what is stopped.
        name: Of the study, or the trial's id.
    """
    note = holder(store, study)
    if note is None:
        return
    # A request stays until the run has seen it, and can be taken back until then.
    pending = stop_requested(store, kind, name, note.token)
    if pending:
        plain(f"Asked to stop: the {kind} ends {_WHEN[kind]}. `assay run` goes on with it.", "quiet")
    if read_only():
        return
    label, icon = (
        ("Go on", ":material/play_circle:") if pending else (f"Stop {kind}", ":material/stop_circle:")
    )
    act = (
        partial(clear_stop, store, kind, name)
        if pending
        else partial(request_stop, store, kind, name, note.token)
    )
    st.button(label, icon=icon, key=f"{'go-on' if pending else 'stop'}-{kind}", on_click=act, type="tertiary")
