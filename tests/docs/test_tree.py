"""The tree in the README is the one that is there."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import ROOT

WHOLE = ("platform/assay", "platform/assay/extras", "trainables")  # none of their packages is left out
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def shown() -> set[str]:
    """Folders of the tree, as paths from the root.

    A line begins with the folders that it is about. What its text names lies in the first of them.
    """
    (tree,) = re.findall(r"^## The house\n\n```\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    paths: set[str] = set()
    above = ""
    for line in tree.splitlines():
        # Names end with a slash; an indented line lies below the last one that is not.
        about = re.match(r"(?:[\w./-]+/(?: +|$))+", line.lstrip())
        if about is None:
            continue
        names = about[0].split()
        inside = [names[0] + name for name in re.findall(r"\w+/", line.lstrip()[about.end() :])]
        if not line.startswith(" "):
            above = ""
        paths.update(above + name for name in (*names, *inside))
        if not line.startswith(" "):
            above = names[0]
    return {path.rstrip("/") for path in paths}


@pytest.mark.parametrize("path", sorted(shown()))
def test_a_folder_that_the_tree_names_is_there(path: str) -> None:
    assert (ROOT / path).is_dir()


@pytest.mark.parametrize("folder", WHOLE)
def test_no_package_is_left_out(folder: str) -> None:
    packages = {file.parent.relative_to(ROOT).as_posix() for file in (ROOT / folder).glob("*/__init__.py")}
    assert packages
    assert packages <= shown()
