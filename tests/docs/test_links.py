"""Links of the documents lead somewhere, and the site builds from them without a warning."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import assay
from tests.docs.pages import PAGES, ROOT, anchors, links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_a_page_lead_to_files_and_headings(page: Path) -> None:
    dead = [target for target in links(page) if not _leads_somewhere(page, target)]
    assert not dead


@pytest.mark.parametrize(
    "page",
    [
        page for page in PAGES if page.name not in {"CHANGELOG.md", "CONTRIBUTING.md"}
    ],  # of other times and packages
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_source_files_that_a_page_names_exist(page: Path) -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)", page.read_text(encoding="utf-8")))
    roots = [ROOT / root for root in ("", "platform/assay", "trainables", "dashboard/assay_dashboard")]
    missing = [name for name in named if not any((root / name).exists() for root in roots)]
    assert not missing


def test_every_page_of_the_folder_and_of_an_extra_is_in_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / target).resolve() for target in links(index)}
    pages = {page for page in PAGES if page.parent != ROOT} - {index}
    assert pages <= linked


def test_citation_has_what_its_format_requires() -> None:
    citation = YAML(typ="safe").load(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert all(citation[key] for key in ("message", "title", "authors"))
    assert str(citation["version"]) == assay.__version__


def test_the_changelog_opens_with_the_version_and_day_of_the_citation() -> None:
    citation = YAML(typ="safe").load(ROOT / "CITATION.cff")
    (newest, *_) = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest == f"{assay.__version__} — {citation['date-released']}"


def test_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("furo")
    build = [sys.executable, "-m", "sphinx", "-c", "docs", "--fail-on-warning", "--quiet", ".", str(tmp_path)]
    answer = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    pages = [page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")]
    loaded = [
        part for page in pages for part in page.split("<") if part.startswith(("script src=", "link rel="))
    ]
    assert pages
    assert not [part for part in loaded if "://" in part]


def _leads_somewhere(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    return path.exists() and (not anchor or anchor in anchors(path))
