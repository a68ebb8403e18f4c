"""The frame around every page: navigation, the study at hand, and what to do where there is none.

``assay dashboard`` runs ``streamlit run dashboard/app.py -- --storage URI`` with the right settings. The
storage comes from the command line only, never from the URL. The pages lie in ``views/``: what is in a folder
``pages/`` Streamlit runs alone, without this frame, when it is the first thing that a server is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from assay.storage import Store
from assay_dashboard import study_view as reading
from assay_dashboard.formatting import escaped
from assay_dashboard.layout import begin, errors_shown, follow
from assay_dashboard.state import choose_study, chosen_study, settle_study, storage_uri
from trainables.errors import InputError

HERE = Path(__file__).parent


class _Page(NamedTuple):
    file: str
    title: str
    icon: str
    is_filled: Callable[[reading.StudyView], bool] = lambda _: True  # false: the study has nothing for it


_PAGES = (
    _Page("answer.py", "Answer", ":material/lightbulb:"),
    _Page("studies.py", "Studies", ":material/list:"),
    _Page("table.py", "Table", ":material/table_chart:"),
    _Page("effects.py", "Effects", ":material/align_horizontal_center:", lambda view: view.compares),
    _Page("search.py", "Search", ":material/tune:", lambda view: view.searches),
    _Page("masks.py", "Masks", ":material/compare:", lambda view: bool(view.kept_maps)),
    _Page("labels.py", "Labels", ":material/edit:", lambda view: view.prices_labels),
    _Page("trial.py", "Trial", ":material/show_chart:"),
    _Page("compare.py", "Compare", ":material/difference:", lambda view: len(view.store.studies()) > 1),
)


def main() -> None:
    """Run the script once: the header, then the page."""
    st.set_page_config(layout="wide", page_icon=str(HERE / "icon.png"))
    st.html(HERE / "style.css")
    store = reading.open_store(storage_uri())
    view = _study_at_hand(store)
    pages = [
        st.Page(
            path,
            title=page.title,
            icon=page.icon,
            url_path=path.stem,
            default=page.file == _PAGES[0].file,
            visibility="visible" if view is None or page.is_filled(view) else "hidden",
        )
        for page in _PAGES
        if (path := HERE / "views" / page.file).exists()
    ]
    page = st.navigation(pages, position="top")
    begin(store)
    with errors_shown():
        is_answer = view is not None and page.title == _PAGES[0].title
        _header((view.results.plan.study.question.strip() if is_answer and view else "") or page.title, store)
        page.run()
    follow(store)  # also of a page that ended early: what it waits for may come


def _study_at_hand(store: Store) -> reading.StudyView | None:
    """The study whose tabs are shown; None where there is none, or the page says why it cannot be read."""
    try:
        settle_study(store.studies(), lambda: reading.newest(store))
        name = chosen_study()
        return None if name is None else reading.view(store, name)
    except (InputError, OSError):
        return None


def _header(title: str, store: Store) -> None:
    """The name of the page, or the question that it answers, and the select of the study."""
    left, right = st.columns([3, 1], vertical_alignment="center")
    left.title(escaped(" ".join(title.split())), anchor=False)
    with right:
        choose_study(store.studies())


main()
