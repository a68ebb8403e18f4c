"""The frame around every page: navigation, the study at hand, and what to do where there is none.

``assay dashboard`` runs ``python -m assay_dashboard run …/app.py -- --storage URI`` with the right settings.
The storage comes from the command line only, never from the URL. The pages lie in ``views/``: what is in a
folder ``pages/`` Streamlit runs alone, without this frame, when it is the first thing that a server is asked
for.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import streamlit as st

from assay.analysis.results.results import StudyResults
from assay.report.formats import FORMATS, ReportFormat
from assay.storage import Store
from assay_dashboard import study_view as reading
from assay_dashboard.components import track_choices
from assay_dashboard.layout import begin, errors_shown, escaped, follow, plain
from assay_dashboard.predictions import has_predictions
from assay_dashboard.state import check_link, choose_study, chosen_study, settle_study, storage_uri
from trainables.errors import InputError

HERE = Path(__file__).parent


_PAGES = {
    "answer": "Answer",
    "table": "Table",
    "images": "Images",
    "labels": "Labelling cost",
    "runs": "Runs",
}
_FIRST = "Answer"
_DOWNLOADS = ("md", "latex", "csv")  # formats of the program itself; those of other packages follow


def main() -> None:
    """Run the script once: the header, then the page."""
    # The page's settings come first, or Streamlit would draw it narrow and then wide.
    icon = str(HERE / "icon.png")
    st.set_page_config(layout="wide", page_icon=icon)
    st.html(HERE / "style.css")
    store = reading.open_store(storage_uri())
    question, empty = _study_at_hand(store)

    # A page that has nothing to show for this study is hidden, but its address still works: a link to it
    # says why it is empty.
    pages = [
        st.Page(
            HERE / "views" / f"{name}.py",
            title=title,
            url_path=name,
            default=title == _FIRST,
            visibility="hidden" if title in empty else "visible",
        )
        for name, title in _PAGES.items()
    ]

    # What stands here is part of every page; an error in any of it takes the page's place and not the
    # frame's.
    page = st.navigation(pages, position="top")
    begin(store)
    track_choices(key="entries")
    with errors_shown():
        _bar(store)
        name = chosen_study()
        st.set_page_config(page_title=" · ".join(filter(None, [name, page.title, "assay"])), page_icon=icon)
        of_study = page.title == _FIRST and question
        with st.container(key="question" if of_study else "page-name"):
            st.title(escaped(" ".join((of_study or page.title).split())), anchor=False)
        if name is not None:
            for note in check_link(page.title, reading.view(store, name).results.plan):
                plain(note, "warn")
        page.run()
    follow(store)  # also of a page that ended early: what it waits for may come


def _study_at_hand(store: Store) -> tuple[str, list[str]]:
    """The study's question, and titles of the pages for which it has nothing.

    Both are empty where it cannot be read, which the page then says.
    """
    try:
        names = store.studies()
        settle_study(names, lambda: reading.newest(store))
        name = chosen_study()
        if name is None:
            return "", []
        view = reading.view(store, name)
    except (InputError, OSError):
        return "", []

    # Labels can be priced only where cells differ in them, or where the study says what they cost.
    plan, study = view.results.plan, view.results.plan.study
    costs = study.labelling is not None or len({str(cell.supervision) for cell in plan.cells}) > 1
    filled = {
        "Images": bool(view.kept_maps) or bool(has_predictions(view)),
        "Labelling cost": costs,
    }
    return study.question.strip(), [title for title, has in filled.items() if not has]


def _bar(store: Store) -> None:
    """The select of the study and its report; on a wide window they stand beside the tabs."""
    with st.container(key="study-bar", horizontal=True, vertical_alignment="center", gap="small"):
        choose_study(store.studies())
        name = chosen_study()
        if name is None:
            return
        try:
            results = reading.view(store, name).results
        except (InputError, OSError):
            return  # the page says why
        with st.popover("Report", icon=":material/download:", width="content"):
            # The file is made when it is asked for: a report of many trials takes seconds.
            for form in (FORMATS[key] for key in (*_DOWNLOADS, *_further_formats())):
                st.download_button(
                    form.title,
                    partial(_report, results, form),
                    file_name=f"{name}{form.suffix}",
                    mime=form.mime,
                    on_click="ignore",
                    type="tertiary",
                    key=f"download-{form.title}",
                )


def _further_formats() -> list[str]:
    """Names of the report formats that other packages bring."""
    return [key for key in FORMATS if FORMATS.plugin(key) is not None]


def _report(results: StudyResults, form: ReportFormat) -> bytes:
    """The report as `assay report` prints it."""
    return form.study_files(results, "")[""]


main()
