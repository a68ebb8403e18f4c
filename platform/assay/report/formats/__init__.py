"""The formats of reports: a file each, and those that other packages add (entry points ``assay.reports``).

>>> FORMATS["md"].study_files(StudyResults.read(store, "quickstart"))[""]
"""

from __future__ import annotations

from assay.report.report_format import Files, ReportFormat, pictures_beside, stem
from trainables.errors import InputError
from trainables.registry import Registry

__all__ = ["FORMATS", "Files", "ReportFormat", "format_of", "pictures_beside", "stem"]

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
