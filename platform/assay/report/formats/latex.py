"""Reports in LaTeX, with pictures as PDF beside them."""

from __future__ import annotations

import re

from assay.report.formats import Files, ReportFormat, pictures_beside
from assay.report.page.model import Page
from trainables.errors import InputError

_PATH = re.compile(r"[\w.+-]+", re.ASCII)


def _write(page: Page, name: str) -> Files:
    from assay.report.page.latex import latex_page

    if name and page.all_pictures and not _PATH.fullmatch(name):
        raise InputError(
            f"LaTeX finds pictures by letters, digits and . + - _ only, found {name}. Rename --output."
        )
    shown, pictures = pictures_beside(page, name, ("pdf",))
    return {name: latex_page(page, shown).encode(), **pictures}


FORMAT = ReportFormat.of_pages("latex", ".tex", title="LaTeX", mime="application/x-tex", write=_write)
