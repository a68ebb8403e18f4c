"""``llms.txt``: the index of the documentation for agents, in the form that llmstxt.org describes.

``python -m tests.docs.llms`` writes it from ``docs/index.md``.
"""

from __future__ import annotations

import posixpath
import re

from tests.docs.pages import ROOT

__all__ = ["LLMS", "llms_text"]

LLMS = ROOT / "llms.txt"
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)]+)\)")


def llms_text() -> str:
    """The title, the first paragraph as a summary, and the index's lists with paths from the root."""
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    head, *sections = text.split("\n## ")
    summary = " ".join(head.split("\n\n")[1].split())
    lists = [
        f"## {section.splitlines()[0]}\n\n"
        + "\n".join(line for line in section.splitlines() if line[:2] == "- ")
        for section in sections
    ]
    rooted = _LINK.sub(
        lambda link: f"[{link[1]}]({posixpath.normpath(f'docs/{link[2]}')})", "\n\n".join(lists)
    )
    return f"# assay\n\n> {summary}\n\n{rooted}\n"


if __name__ == "__main__":
    LLMS.write_text(llms_text(), encoding="utf-8")
