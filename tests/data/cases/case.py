"""A made-up data set as a factory may have it, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from assay.study.file.starter import starter_study
from trainables.data import DataSpec, check_data
from trainables.data.inspect.survey import survey_images
from trainables.errors import InputError

__all__ = ["Case", "Outcome", "Result", "run_case"]

Outcome = Literal["read", "warned", "refused"]


@dataclass(frozen=True)
class Case:
    """One row of the table in docs/data.md, which is a test too.

    Attributes:
        name: The case, as it stands in the table: "12-bit values in 16-bit TIFFs".
        make: Writes the files into an empty folder, which is the data root.
        spec: The study's ``data:`` block; None where `assay init` is to find the layout. `splits: per_seed`
            where it names none.
        outcome: Read without a warning, read with warnings, or refused.
        says: Parts of the output. The first one stands in the table.
    """

    name: str
    make: Callable[[Path], object]
    spec: Mapping[str, Any] | None
    outcome: Outcome
    says: tuple[str, ...] = ()


class Result(NamedTuple):
    """Outcome of a case, and everything that was printed."""

    outcome: Outcome
    text: str


def run_case(case: Case, folder: Path, cache: Path) -> Result:
    """Make the files of ``case`` in ``folder`` and look at them."""
    folder.mkdir()
    case.make(folder)
    try:
        return _survey(folder, cache) if case.spec is None else _check(case.spec, folder, cache)
    except InputError as error:
        return Result("refused", str(error))


def _check(spec: Mapping[str, Any], folder: Path, cache: Path) -> Result:
    report = check_data(DataSpec.model_validate({"splits": "per_seed", **spec}), folder, cache)
    outcome = "refused" if report.faults else "warned" if report.findings else "read"
    return Result(outcome, str(report))


def _survey(folder: Path, cache: Path) -> Result:
    survey = survey_images(folder, cache)
    lines = [f"warning: {finding.text}" for finding in survey.manifest.findings]
    return Result("warned" if lines else "read", "\n".join([starter_study(survey, "made"), *lines]))
