"""Runs: one training with curves and log, the points of a search, all studies, two studies compared."""

from __future__ import annotations

from assay.study import SearchPlan
from assay_dashboard.layout import choose_part, study_view
from assay_dashboard.parts import compare, search, studies, trial
from assay_dashboard.state import chosen_study


def _page() -> None:
    if chosen_study() is None:  # the list is the way to one
        studies.show()
        return
    view = study_view()
    # Parts are offered only where the storage has something for them.
    parts = {
        **({"Search": search.show} if isinstance(view.results.plan, SearchPlan) else {}),
        "Run": trial.show,
        "All studies": studies.show,
        **({"Two studies": compare.show} if len(view.store.studies()) > 1 else {}),
    }
    choose_part("runs", parts)(view)


_page()
