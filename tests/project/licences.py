"""The page of licences: ``python -m tests.project.licences docs/licences.md``, by pip-licenses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["LOCKS", "locked", "page"]

LOCKS = [Path(__file__).parents[2] / "locks" / name for name in ("requirements.txt", "torch.txt")]
_HEAD = """\
# Licences

Written by `make licences` (pip-licenses) from the packages of `locks/requirements.txt` and `locks/torch.txt`
as they are installed on Linux with Python 3.11. Packages of other systems are left out, and so are the
libraries of NVIDIA in `locks/cuda.txt`, which have terms of their own. assay itself is under Apache-2.0. The
licences of data sets are named by their readers.

| package | version | licence |
|---|---|---|
"""
_LONGEST = 80  # characters; some packages put the whole text where its name belongs


def locked() -> set[str]:
    """Names in the locks, as registries write them."""
    return {
        name for lock in LOCKS for name in re.findall(r"^([a-z0-9.-]+)==", lock.read_text(), re.MULTILINE)
    }


def page(python: str = sys.executable) -> str:
    """The page, ending in a newline."""
    command = [sys.executable, "-m", "piplicenses", "--python", python, "--format", "json", "--from", "mixed"]
    command += ["--with-system"]
    rows = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    ours = locked()
    lines = [
        f"| {name} | {row['Version']} | {_short(row['License'])} |"
        for row in rows
        if (name := re.sub(r"[-_.]+", "-", row["Name"]).lower()) in ours
    ]
    return _HEAD + "\n".join(sorted(lines)) + "\n"


def _short(licence: str) -> str:
    """A licence's name, of a whole text its first line."""
    line = (licence.strip().splitlines() or ["not said"])[0].replace("|", "/")
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(*sys.argv[2:]), encoding="utf-8")
