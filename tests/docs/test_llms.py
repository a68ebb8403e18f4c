"""``llms.txt`` is the index of today, and leads to every page."""

from __future__ import annotations

from tests.docs.llms import LLMS, llms_text
from tests.docs.pages import PAGES, ROOT, links


def test_the_index_for_agents_is_that_of_the_documentation() -> None:
    assert LLMS.read_text(encoding="utf-8") == llms_text(), "run `python -m tests.docs.llms`"


def test_the_index_for_agents_leads_to_every_page_and_nowhere_else() -> None:
    named = {ROOT / target for target in links(LLMS)}
    assert [path for path in named if not path.is_file()] == []
    assert {page for page in PAGES if page.parent != ROOT} - named == {ROOT / "docs" / "index.md"}
