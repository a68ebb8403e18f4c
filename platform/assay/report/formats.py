"""The forms in which a report is written, and the files that each makes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from urllib.parse import quote

from assay.analysis.label_analysis import LabelAnalysis
from assay.analysis.stage_scores import stage_summaries
from assay.analysis.study_analysis import StudyAnalysis
from assay.report.build import study_page
from assay.report.csv_tables import answers_csv, cells_csv, comparisons_csv, stages_csv
from assay.report.page.html import html_page
from assay.report.page.latex import latex_page
from assay.report.page.markdown import markdown_page
from assay.report.page.model import Page, PictureForm
from assay.report.two_studies import SideBySide
from assay.storage.record import Record, UnreadableRecord
from assay.study import Plan
from trainables.errors import InputError

__all__ = ["Form", "form_of", "pair_files", "report_files"]

_LATEX_PATH = re.compile(r"[\w.+-]+", re.ASCII)


class Form(StrEnum):
    """What `--format` takes."""

    MARKDOWN = "md"
    LATEX = "latex"
    HTML = "html"
    CSV = "csv"

    @property
    def suffix(self) -> str:
        """How its files end."""
        return ".tex" if self is Form.LATEX else f".{self.value}"


def form_of(form: Form | None, suffix: str) -> Form:
    """The form that was asked for; if none was, that of the file's suffix (none: Markdown).

    Raises:
        InputError: If the two contradict each other, or neither says it.
    """
    named = next((known for known in Form if known.suffix == suffix), None)
    if form is not None and named is not None and form is not named:
        raise InputError(
            f"--format {form} writes {form.suffix}, found an --output that ends with {suffix}. Leave out one "
            "of the two."
        )
    if form is None and named is None and suffix:
        known = ", ".join(one.suffix for one in Form)
        raise InputError(
            f"a report ends with {known}, found an --output that ends with {suffix}. Rename it, or add "
            "--format."
        )
    return form or named or Form.MARKDOWN


def report_files(
    form: Form,
    plan: Plan,
    records: Mapping[str, Record],
    answers: StudyAnalysis,
    *,
    problems: Sequence[UnreadableRecord] = (),
    importance: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
    labels: LabelAnalysis | None = None,
    name: str = "",
) -> dict[str, bytes]:
    """Path → content of the files of a report, the report itself first.

    Args:
        form: How it is written.
        plan: All that was to be trained.
        records: The records there are, by trial id.
        answers: What they say.
        problems: Records that could not be read.
        importance: Of a search: cell → parameter → share of the objective's variance.
        labels: What labels buy.
        name: The report's file name. Without one there are no other files: no pictures beside Markdown and
            LaTeX, no CSV of comparisons and stages.

    Raises:
        InputError: If LaTeX could not find pictures beside a file of that name.
    """
    if form is Form.CSV:
        files = {name: cells_csv(plan, records, answers, problems).encode()}
        if name:
            files[f"{_stem(name)}_comparisons{form.suffix}"] = comparisons_csv(answers).encode()
        if name and stage_summaries(plan, records):
            files[f"{_stem(name)}_stages{form.suffix}"] = stages_csv(plan, records).encode()
        return files
    return page_files(form, study_page(plan, records, answers, problems, importance, labels=labels), name)


def pair_files(form: Form, pair: SideBySide, name: str = "") -> dict[str, bytes]:
    """Path → content of the files of two studies side by side; CSV is their comparisons."""
    if form is Form.CSV:
        return {name: answers_csv(pair.answers).encode()}
    return page_files(form, pair.page, name)


def page_files(form: Form, page: Page, name: str) -> dict[str, bytes]:
    """Path → content of a page and of the pictures beside it.

    Raises:
        InputError: If LaTeX could not find pictures beside a file of that name.
    """
    if form is Form.HTML:
        return {name: html_page(page).encode()}
    beside = page.pictures if name else ()
    forms: tuple[PictureForm, ...] = (
        ("svg", "png") if form is Form.MARKDOWN else ("pdf",)
    )  # the first is shown
    shown = {picture.stem: f"{_stem(name)}_files/{picture.stem}.{forms[0]}" for picture in beside}
    if form is Form.MARKDOWN:
        text = markdown_page(page, {stem: quote(path) for stem, path in shown.items()})
    elif shown and not _LATEX_PATH.fullmatch(name):
        raise InputError(
            f"LaTeX finds pictures by letters, digits and . + - _ only, found {name}. Rename --output."
        )
    else:
        text = latex_page(page, shown)
    files = {f"{_stem(name)}_files/{one.stem}.{kind}": one.draw(kind) for one in beside for kind in forms}
    return {name: text.encode(), **files}


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name
