"""Images: the same test images in several variants, and all that are decided wrongly."""

from __future__ import annotations

from assay_dashboard.layout import choose_part, missing_probes, study_view
from assay_dashboard.parts import masks, misses
from assay_dashboard.predictions import has_predictions


def _page() -> None:
    view = study_view()
    # Pictures and predictions are kept apart from each other, so a study may have either.
    parts = {
        **({"Masks": masks.show} if view.kept_maps else {}),
        **({"Misses and false alarms": misses.show} if has_predictions(view) else {}),
    }
    if not parts:
        missing_probes("No finished run of this study has kept example images yet.", view.results)
        return
    choose_part("images", parts)(view)
    if not view.kept_maps:
        missing_probes("No pictures: no finished run has kept example images yet.", view.results)


_page()
