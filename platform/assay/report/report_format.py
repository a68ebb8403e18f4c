"""The form in which a report is written: a name, the suffix of its files, and two functions that write it.

A format is a file in :mod:`assay.report.formats` (or in another package, found by an entry point of the group
``assay.reports``) with a ``FORMAT``::

    FORMAT = ReportFormat.of_pages("txt", ".txt", title="Text", mime="text/plain", write=write_text)

    def write_text(page: Page, name: str) -> Files:
        return {name: f"{page.title}: {page.count}".encode()}

``name`` is the file's name; without one the report is printed, and there are no files beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from assay.analysis.results import StudyResults
    from assay.analysis.score_file import AnalysedScores
    from assay.analysis.study_pair import StudyPair
    from assay.report.page.model import Page, PictureForm

__all__ = ["Files", "ReportFormat", "pictures_beside", "stem"]

Files = dict[str, bytes]  # path beside the report → content; the report itself first


@dataclass(frozen=True)
class ReportFormat:
    """A form of reports, as ``--format`` takes it."""

    name: str
    suffix: str  # of its files, with the dot
    title: str  # on a button
    mime: str  # of a download
    write_study: Callable[[StudyResults, str], Files]
    write_pair: Callable[[StudyPair, str], Files]
    write_scores: Callable[[AnalysedScores, str], Files]

    @classmethod
    def of_pages(
        cls, name: str, suffix: str, *, title: str, mime: str, write: Callable[[Page, str], Files]
    ) -> Self:
        """A format that writes all pages alike: of a study, of two side by side, of a table of scores."""

        def write_study(results: StudyResults, name: str) -> Files:
            from assay.report.build import study_page

            return write(study_page(results), name)

        def write_pair(pair: StudyPair, name: str) -> Files:
            from assay.report.two_studies import pair_page

            return write(pair_page(pair), name)

        def write_scores(scores: AnalysedScores, name: str) -> Files:
            from assay.report.score_page import score_page

            return write(score_page(scores), name)

        return cls(name, suffix, title, mime, write_study, write_pair, write_scores)

    def study_files(self, results: StudyResults, name: str = "") -> Files:
        """Path → content of the files of a report, the report itself first.

        Args:
            results: The study as trained.
            name: The report's file name. Without one there are no other files: no pictures beside Markdown
                and LaTeX, no CSV of comparisons and stages.

        Raises:
            InputError: If the format cannot be written under that name.
        """
        return self.write_study(results, name)

    def pair_files(self, pair: StudyPair, name: str = "") -> Files:
        """Path → content of the files of two studies side by side."""
        return self.write_pair(pair, name)

    def score_files(self, scores: AnalysedScores, name: str = "") -> Files:
        """Path → content of the files of the verdicts on a table of scores."""
        return self.write_scores(scores, name)


def stem(name: str) -> str:
    """A file's name without its suffix."""
    return name.rpartition(".")[0] or name


def pictures_beside(page: Page, name: str, kinds: Sequence[PictureForm]) -> tuple[dict[str, str], Files]:
    """Draw the pictures of a page into the folder beside the report; none where it has no file's name.

    Returns:
        Picture → path of its first kind, which the page shows, and path → content of all kinds.
    """
    beside = page.pictures if name else ()
    folder = f"{stem(name)}_files"
    shown = {picture.stem: f"{folder}/{picture.stem}.{kinds[0]}" for picture in beside}
    drawn = {f"{folder}/{picture.stem}.{kind}": picture.draw(kind) for picture in beside for kind in kinds}
    return shown, drawn
