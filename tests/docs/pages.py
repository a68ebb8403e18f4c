"""The pages of the documentation, and the code blocks and links in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["PAGES", "ROOT", "Block", "anchors", "assay_calls", "blocks", "links"]

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG", "SECURITY")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "platform" / "assay" / "extras").glob("*/README.md")),
]
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(*languages: str) -> list[Block]:
    """All blocks in one of ``languages``, page by page."""
    return [
        Block(_name(page), number, match[1], match[2])
        for page in PAGES
        for number, match in enumerate(_FENCE.finditer(page.read_text(encoding="utf-8")), start=1)
        if match[1] in languages
    ]


def links(page: Path) -> list[str]:
    """Targets of a page's links and pictures that lie in this repository, code left out."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = _LINK.findall(re.sub(r"`[^`\n]*`", "", text))
    return [target for target in targets if "://" not in target]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as code hosts and the site make them."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def assay_calls(text: str) -> Iterator[list[str]]:
    """The words after ``assay`` in each line of a shell block, up to a pipe or the next command."""
    for line in text.replace("\\\n", " ").splitlines():
        match = re.search(r"(?:^|[ /])assay ([a-z].*)", line)
        if match:
            words = shlex.split(match[1], comments=True)
            ends = [words.index(word) for word in ("|", "&&", ";", ">") if word in words]
            yield words[: min(ends)] if ends else words
