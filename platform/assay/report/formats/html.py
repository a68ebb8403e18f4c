"""Reports as one HTML file that holds its pictures."""

from __future__ import annotations

from assay.report.formats import Files, ReportFormat
from assay.report.page.model import Page


def _write(page: Page, name: str) -> Files:
    from assay.report.page.html import html_page

    return {name: html_page(page).encode()}


FORMAT = ReportFormat.of_pages("html", ".html", title="HTML", mime="text/html", write=_write)
