"""A report format of another package is found by its entry point, wherever the program's own ones are."""

from __future__ import annotations

import pytest

from assay.analysis.results.results import StudyResults
from assay.analysis.study_pair import pair_studies
from assay.report.formats import FORMATS, format_of
from tests.analysis.made_studies import STUDY, make_plan, make_records
from trainables.errors import InputError

RESULTS = StudyResults(make_plan(), make_records(make_plan()))


def test_it_stands_beside_those_of_the_program() -> None:
    assert set(FORMATS) >= {"md", "latex", "html", "csv", "tsv"}


@pytest.mark.parametrize(("name", "suffix"), [("tsv", ""), (None, ".tsv"), ("tsv", ".tsv")])
def test_it_is_chosen_by_its_name_or_by_the_suffix_of_the_file(name: str | None, suffix: str) -> None:
    files = format_of(name, suffix).study_files(RESULTS, "x.tsv")
    assert set(files) == {"x.tsv"}
    row = files["x.tsv"].decode().splitlines()[2]
    assert row == "full	✓	0.880 ± 0.010	4.0 ± 1.0	0.440 ± 0.005	3"


def test_it_writes_two_studies_side_by_side() -> None:
    plan = make_plan(STUDY.replace("study: additions", "study: longer"))
    files = FORMATS["tsv"].pair_files(pair_studies(RESULTS, StudyResults(plan, make_records(plan))), "")
    assert files[""].decode().startswith("additions and longer\n")


@pytest.mark.parametrize(
    ("name", "suffix", "message"),
    [
        ("tsv", ".md", "--format tsv writes .tsv, found an --output that ends with .md"),
        ("tsw", "", "no report format 'tsw'; did you mean `tsv`"),
        (None, ".docx", r"a report ends with .*\.tsv, found an --output that ends with .docx"),
    ],
    ids=["two answers", "unknown name", "unknown suffix"],
)
def test_what_it_cannot_be_is_refused(name: str | None, suffix: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        format_of(name, suffix)
