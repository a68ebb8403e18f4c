"""All studies of the storage: what each asks, how far it is, its best cell."""

from __future__ import annotations

import streamlit as st

from assay.study.names import count_of_planned
from assay_dashboard import study_view as reading
from assay_dashboard.layout import (
    EVERY,
    ago,
    counted,
    duration,
    errors_shown,
    escaped,
    message,
    nothing_yet,
    paragraph,
    plain,
    progress_bar,
)
from assay_dashboard.state import STUDY, storage_uri

_MANY = 8  # studies from which on they can be searched
_POSITIONS = "_positions"  # study → where it stands in the list


def _line(entry: reading.StudyEntry) -> None:
    with st.container(border=True, key=f"study-{entry.name}"):
        left, middle, right = st.columns([5, 4, 3], gap="large")
        with left:
            st.page_link(
                "views/answer.py", label=f"**{escaped(entry.name)}**", query_params={STUDY: entry.name}
            )
            plain(entry.trouble or entry.question or "No question was written.", "question")
        if entry.trouble:
            return
        middle.html(progress_bar(entry) + paragraph(_state(entry), "quiet") + _problems(entry))
        right.html(_best(entry))


def _state(entry: reading.StudyEntry) -> str:
    if entry.left is None:
        return counted(entry)
    return f"{counted(entry)} · {entry.left.roughly} {duration(entry.left.seconds)} left"


def _problems(entry: reading.StudyEntry) -> str:
    if not entry.problems:
        return ""
    return paragraph(f"Damaged records: {entry.problems}. The page Table names what is left out.", "warn")


def _best(entry: reading.StudyEntry) -> str:
    best = entry.best
    html = ""
    if entry.data_sets > 1 and entry.counts:
        html = paragraph(f"{entry.data_sets} data sets, each with a best of its own", "quiet")
    elif best is None:
        html = paragraph("no result yet", "quiet")
    else:
        # A best mean says little without the images and the repeats that it is over.
        value = f"{best.mean:.{best.metric.decimals}f}"
        number = count_of_planned(best.n, best.planned)
        repeats = f"{'mean of ' if best.n > 1 else ''}{number} repeat{'s' if best.planned > 1 else ''}"
        html += paragraph(f"{best.metric.title} {value}", "big")
        html += paragraph(f"best variant {best.variant} · {best.on} images · {repeats}", "quiet")
    last = entry.last_record
    return html + (paragraph(f"last record {ago(last)}", "quiet") if last else "")


def _in_order(entries: list[reading.StudyEntry]) -> list[reading.StudyEntry]:
    """New studies first, the others where the reader first saw them: no line moves while it is read."""
    # Counted downwards, so a study that comes later stands above the others.
    positions: dict[str, int] = st.session_state.setdefault(_POSITIONS, {})
    for entry in reversed(entries):
        positions.setdefault(entry.name, -len(positions))
    return sorted(entries, key=lambda entry: positions[entry.name])


@st.fragment(run_every=EVERY)
def show(_: reading.StudyView | None = None) -> None:
    """All studies, the one that changed last first."""
    with errors_shown():
        _list()


def _list() -> None:
    store = reading.open_store(storage_uri())
    entries = _in_order(reading.studies(store))
    if not entries:
        message(nothing_yet(store))
        return
    wanted = ""
    if len(entries) > _MANY:
        wanted = st.text_input(
            "Find a study",
            key="find",
            bind="query-params",
            placeholder="Find a study by words of its name or question",
            label_visibility="collapsed",
            max_chars=100,
        )

    # Every word has to be there, in any order.
    words = (wanted or "").casefold().split()
    matches = [
        entry
        for entry in entries
        if all(word in f"{entry.name} {entry.question}".casefold() for word in words)
    ]
    for entry in matches:
        _line(entry)
    if not matches:
        message("No study has these words in its name or question.")
