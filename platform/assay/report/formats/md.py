"""Reports in Markdown, with pictures as SVG and PNG beside them."""

from __future__ import annotations

from urllib.parse import quote

from assay.report.formats import Files, ReportFormat, pictures_beside
from assay.report.page.model import Page


def _write(page: Page, name: str) -> Files:
    from assay.report.page.markdown import markdown_page

    shown, pictures = pictures_beside(page, name, ("svg", "png"))
    text = markdown_page(page, {picture: quote(path) for picture, path in shown.items()})
    return {name: text.encode(), **pictures}


FORMAT = ReportFormat.of_pages("md", ".md", title="Markdown", mime="text/markdown", write=_write)
