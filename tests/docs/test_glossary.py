"""The glossary has a sentence and a home for every term, and stays short enough to be read."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from tests.docs.pages import ROOT


class Term(NamedTuple):
    """A row of the glossary."""

    name: str
    meaning: str
    home: str


TEXT = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
TERMS = [
    Term(*row) for row in re.findall(r"^\| (?!term)([^|]+) \| ([^|]+) \| `([^`|]+)` \|$", TEXT, re.MULTILINE)
]


def test_the_glossary_has_at_most_eighty_terms_and_each_once() -> None:
    names = [term.name for term in TERMS]
    assert 0 < len(names) <= 80
    assert len(set(names)) == len(names)


def test_every_row_of_the_glossary_is_read_here() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| term")]
    assert len(rows) == len(TERMS)


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_a_term_is_one_sentence_and_has_a_home(term: Term) -> None:
    assert re.fullmatch(r"[^.]+(?:\.\w[^.]*)*\.", term.meaning)
    assert (ROOT / term.home).is_file()
