"""A report format of another package: a line for each cell."""

from __future__ import annotations

from assay.report.formats import Files, ReportFormat
from assay.report.page.model import Page


def _write(page: Page, name: str) -> Files:
    lines = [page.title, *("\t".join(row) for row in page.table.rows)]
    return {name: "\n".join([*lines, ""]).encode()}


FORMAT = ReportFormat.of_pages("tsv", ".tsv", title="TSV", mime="text/tab-separated-values", write=_write)
