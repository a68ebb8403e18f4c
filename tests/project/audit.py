"""Known holes in the locked packages: ``python -m tests.project.audit [--strict]``, by pip-audit.

What it finds is printed. A hole that was published overnight does not fail `make check`, which says something
about a change; `make audit` (``--strict``) fails with code 1. Where the database cannot be reached, a line
says so.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["audited", "holes", "main"]

LOCKS = [Path(__file__).parents[2] / "locks" / name for name in ("requirements.txt", "torch.txt")]
_SECONDS = 300
_PROBE = re.compile(r"^jinja2==\S+", re.MULTILINE)  # one package that every database of holes knows


def audited(answer: str) -> list[dict[str, Any]]:
    """The packages that pip-audit looked up, of its JSON; without those that its database does not know."""
    return [package for package in json.loads(answer)["dependencies"] if "vulns" in package]


def holes(answer: str) -> list[str]:
    """The holes in pip-audit's JSON, a line each."""
    return [
        f"{package['name']} {package['version']}: {hole['id']}, mended in "
        f"{', '.join(hole['fix_versions']) or 'no release'}"
        for package in audited(answer)
        for hole in package["vulns"]
    ]


def _asked(*options: str) -> str:
    """Answer of pip-audit; empty where it could not ask."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--disable-pip",
        "--progress-spinner",
        "off",
        "--format",
        "json",
    ]
    try:
        done = subprocess.run(
            [*command, *options], capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout if done.stdout.startswith("{") else ""


def _reached(folder: Path) -> bool:
    probe = folder / "probe.txt"
    match = _PROBE.search(LOCKS[0].read_text(encoding="utf-8"))
    assert match is not None, "MLflow and Flask need it"
    probe.write_text(match.group())
    answer = _asked("--no-deps", "--requirement", str(probe))
    return bool(answer and audited(answer))


def main(folder: Path, *, strict: bool) -> int:
    """Print the holes; returns the exit code. ``folder``: for a scratch file."""
    if not _reached(folder):
        print("no audit: the database of known holes cannot be reached from here")  # noqa: T201
        return int(strict)
    answer = _asked("--require-hashes", *(word for lock in LOCKS for word in ("--requirement", str(lock))))
    if not answer:
        print("no audit: the database of known holes broke off")  # noqa: T201
        return int(strict)
    known = holes(answer)
    print("\n".join(known) or f"no known holes in {len(audited(answer))} locked packages")  # noqa: T201
    return int(strict and bool(known))


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as scratch:
        sys.exit(main(Path(scratch), strict="--strict" in sys.argv[1:]))
