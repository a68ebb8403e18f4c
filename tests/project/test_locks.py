"""The locks agree with the readable lists, and their tools say what they find."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.project.audit import audited, holes
from tests.project.licences import LOCKS, locked

ROOT = Path(__file__).parents[2]


def pins(path: str) -> dict[str, str]:
    """Package → version in a list or a lock, names as registries write them."""
    text = (ROOT / path).read_text(encoding="utf-8")
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\\n]+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


@pytest.mark.parametrize(
    ("listed", "lock"),
    [("requirements.txt", "locks/requirements.txt"), ("requirements-dev.txt", "locks/dev.txt")],
)
def test_a_lock_has_what_its_list_names(listed: str, lock: str) -> None:
    locked_pins = {**pins("locks/torch.txt"), **pins(lock)}
    stale = {name: version for name, version in pins(listed).items() if locked_pins.get(name) != version}
    assert not stale, "run `make lock`"


@pytest.mark.parametrize("lock", sorted(path.name for path in (ROOT / "locks").glob("*.txt")))
def test_every_package_of_a_lock_has_hashes(lock: str) -> None:
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / "locks" / lock).read_text(encoding="utf-8"))
    packages = [entry for entry in entries if "==" in entry.splitlines()[0]]
    assert packages
    assert [entry.splitlines()[0] for entry in packages if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("name", ["locks/dev.txt", "locks/torch.txt"])
def test_the_locks_agree_with_each_other(name: str) -> None:
    ours, others = pins("locks/requirements.txt"), pins(name)
    assert {
        package: version for package, version in others.items() if ours.get(package, version) != version
    } == {}


def test_the_page_of_licences_has_every_package_of_this_system() -> None:
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| ([a-z0-9.-]+) \|", page, re.MULTILINE)) - {"package"}
    lines = [line for lock in LOCKS for line in lock.read_text(encoding="utf-8").splitlines()]
    elsewhere = {line.partition("==")[0] for line in lines if "win32" in line}
    assert rows >= locked() - elsewhere, "run `make licences`"


ANSWER = json.dumps(
    {
        "dependencies": [
            {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]},
            {"name": "b", "version": "1", "vulns": []},
            {"name": "c", "skip_reason": "not found"},
        ]
    }
)


def test_a_hole_is_named_with_what_mends_it() -> None:
    assert holes(ANSWER) == ["a 1: CVE-1, mended in 2"]


def test_a_package_that_the_database_does_not_know_is_not_audited() -> None:
    assert [package["name"] for package in audited(ANSWER)] == ["a", "b"]
