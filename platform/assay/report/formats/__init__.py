"""The formats of reports: a file each, and those that other packages add (entry points ``assay.reports``).

>>> FORMATS["md"].study_files(read_results(store, "quickstart"), "")[""]

A format is a ``FORMAT``::

    FORMAT = ReportFormat.of_pages("txt", ".txt", title="Text", mime="text/plain", write=write_text)

    def write_text(page: Page, name: str) -> Files:
        return {name: f"{page.title}: {page.count}".encode()}

``name`` is the file's name; where it is empty the report is printed, and there are no files beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from trainables.errors import InputError
from trainables.registry import Registry

if TYPE_CHECKING:
    from assay.analysis.results.results import StudyResults
    from assay.analysis.scores.score_file import AnalysedScores
    from assay.analysis.study_pair import StudyPair
    from assay.report.page.model import Page, PictureForm

__all__ = ["FORMATS", "Files", "ReportFormat", "format_of", "pictures_beside", "stem"]

Files = dict[str, bytes]  # path beside the report → content; the report itself first


@dataclass(frozen=True)
class ReportFormat:
    """A form of reports, as ``--format`` takes it.

    Its three functions raise ``InputError`` where the format cannot be written under a name.
    """

    name: str
    suffix: str  # of its files, with the dot
    title: str  # on a button
    mime: str  # of a download
    study_files: Callable[[StudyResults, str], Files]
    pair_files: Callable[[StudyPair, str], Files]  # of two studies side by side
    score_files: Callable[[AnalysedScores, str], Files]  # of the verdicts on a table of scores

    @classmethod
    def of_pages(
        cls, name: str, suffix: str, *, title: str, mime: str, write: Callable[[Page, str], Files]
    ) -> Self:
        """A format that writes all pages alike: of a study, of two side by side, of a table of scores."""

        def study_files(results: StudyResults, name: str) -> Files:
            from assay.report.pages import study_page

            return write(study_page(results), name)

        def pair_files(pair: StudyPair, name: str) -> Files:
            from assay.report.pages import pair_page

            return write(pair_page(pair), name)

        def score_files(scores: AnalysedScores, name: str) -> Files:
            from assay.report.pages import score_page

            return write(score_page(scores), name)

        return cls(name, suffix, title, mime, study_files, pair_files, score_files)


FORMATS: Registry[ReportFormat] = Registry(
    ReportFormat,
    noun="report format",
    group="assay.reports",
    package="assay.report.formats",
    attribute="FORMAT",
)
_DEFAULT = "md"


def format_of(name: str | None, suffix: str) -> ReportFormat:
    """The format called ``name``; if None, that of the file's suffix (none: Markdown).

    Raises:
        InputError: If there is no such format, the two contradict each other, or neither says it.
    """
    by_suffix = next((known for known in FORMATS.values() if suffix and known.suffix == suffix), None)
    if name is not None:
        chosen = FORMATS.find(name)
        if by_suffix is not None and by_suffix.name != name:
            raise InputError(
                f"--format {name} writes {chosen.suffix}, found an --output that ends with {suffix}. Leave "
                "out one of the two."
            )
        return chosen
    if by_suffix is None and suffix:
        known = ", ".join(format_.suffix for format_ in FORMATS.values())
        raise InputError(
            f"a report ends with {known}, found an --output that ends with {suffix}. Rename it, or add "
            "--format."
        )
    return by_suffix or FORMATS[_DEFAULT]


def stem(name: str) -> str:
    """A file's name without its suffix."""
    return name.rpartition(".")[0] or name


def pictures_beside(page: Page, name: str, kinds: Sequence[PictureForm]) -> tuple[dict[str, str], Files]:
    """Draw the pictures of a page into the folder beside the report; none where it has no file's name.

    Returns:
        Picture → path of its first kind, which the page shows, and path → content of all kinds.
    """
    beside = page.all_pictures if name else ()
    folder = f"{stem(name)}_files"
    shown = {picture.stem: f"{folder}/{picture.stem}.{kinds[0]}" for picture in beside}
    drawn = {f"{folder}/{picture.stem}.{kind}": picture.draw(kind) for picture in beside for kind in kinds}
    return shown, drawn
