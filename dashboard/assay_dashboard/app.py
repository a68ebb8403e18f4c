"""The frame around every page: navigation, the study at hand, and what to do where there is none.

``assay dashboard`` runs ``python -m assay_dashboard run …/app.py -- --storage URI`` with the right settings.
The storage comes from the command line only, never from the URL. The pages lie in ``views/``: what is in a
folder ``pages/`` Streamlit runs alone, without this frame, when it is the first thing that a server is asked
for.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from assay.storage import Store
from assay.study import SearchPlan
from assay_dashboard import study_view as reading
from assay_dashboard.layout import begin, errors_shown, escaped, follow
from assay_dashboard.predictions import has_predictions
from assay_dashboard.state import choose_study, chosen_study, settle_study, storage_uri
from trainables.errors import InputError

HERE = Path(__file__).parent


# Title and icon; the file has the name of the title.
_PAGES = {
    "Answer": "lightbulb",
    "Studies": "list",
    "Table": "table_chart",
    "Effects": "align_horizontal_center",
    "Search": "tune",
    "Masks": "compare",
    "Misses": "error",
    "Labels": "edit",
    "Trial": "show_chart",
    "Compare": "difference",
}
_FIRST = "Answer"


def main() -> None:
    """Run the script once: the header, then the page."""
    st.set_page_config(layout="wide", page_icon=str(HERE / "icon.png"))
    st.html(HERE / "style.css")
    store = reading.open_store(storage_uri())
    question, empty = _study_at_hand(store)
    pages = [
        st.Page(
            HERE / "views" / f"{title.lower()}.py",
            title=title,
            icon=f":material/{icon}:",
            url_path=title.lower(),
            default=title == _FIRST,
            visibility="hidden" if title in empty else "visible",
        )
        for title, icon in _PAGES.items()
    ]
    page = st.navigation(pages, position="top")
    begin(store)
    with errors_shown():
        _header((page.title == _FIRST and question) or page.title, store)
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
    plan, study = view.results.plan, view.results.plan.study
    filled = {
        "Effects": len(view.results.reported.cells) > 1,
        "Search": isinstance(plan, SearchPlan),
        "Masks": bool(view.kept_maps),
        "Misses": bool(has_predictions(view)),
        "Labels": study.labelling is not None or len({str(cell.supervision) for cell in plan.cells}) > 1,
        "Compare": len(names) > 1,
    }
    return study.question.strip(), [title for title, has in filled.items() if not has]


def _header(title: str, store: Store) -> None:
    """The name of the page, or the question that it answers, and the select of the study."""
    left, right = st.columns([3, 1], vertical_alignment="center")
    left.title(escaped(" ".join(title.split())), anchor=False)
    with right:
        choose_study(store.studies())


main()
