"""Names of Ray that are not public: in one file, each where it was, and one that moved is named."""

from __future__ import annotations

import ast
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from assay.cli.storage import _ray_release
from assay.engine.cluster import ray_head
from assay.engine.cluster.ray_head import _LEAN, _REREAD, _Name
from tests.conftest import ROOT

_PRIVATE = r"ray\.(_private|_raylet|(\w+\.)+_\w|train\.v2|tune\.execution)"
_HEAD = ROOT / "platform" / "assay" / "engine" / "cluster" / "ray_head.py"


@pytest.mark.parametrize("name", [*_LEAN, *_REREAD], ids=lambda name: ".".join(name[:2]))
def test_ray_has_what_the_lean_start_uses(name: _Name) -> None:
    assert name.problem is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (_Name("ray.nowhere", "x"), r"no module ray\.nowhere"),
        (_Name("ray.util", "nothing_of_this"), r"ray\.util\.nothing_of_this is gone"),
        (_Name("ray.util.placement_group", "placement_group", ("colour",)), "takes no colour any more"),
    ],
)
def test_what_moved_is_named(name: _Name, problem: str) -> None:
    assert re.search(problem, name.problem or "")


def test_every_private_name_that_is_imported_is_listed() -> None:
    listed = {(name.module, name.name.partition(".")[0]) for name in (*_LEAN, *_REREAD)}
    listed |= {tuple(name.module.rsplit(".", 1)) for name in (*_LEAN, *_REREAD)}
    for node in ast.walk(ast.parse(_HEAD.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and re.match(_PRIVATE, f"{node.module}."):
            assert {(node.module, alias.name) for alias in node.names} <= listed


@pytest.mark.parametrize("folder", ["platform", "trainables", "dashboard"])
def test_no_other_file_has_a_private_name_of_ray(folder: str) -> None:
    files = [path for path in sorted((ROOT / folder).rglob("*.py")) if path != _HEAD]
    assert [path for path in files if _uses_private(path)] == []


def _uses_private(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    modules = re.findall(r"^\s*(?:from|import) +(ray\b[\w.]*)", text, re.MULTILINE)
    modules += re.findall(r"[\"'](ray\.[\w.]+)[\"']", text)
    attributes = re.findall(r"\bray\.[\w.]+", text)
    return any(re.match(_PRIVATE, f"{name}.") for name in [*modules, *attributes])


@pytest.mark.parametrize(
    ("tested", "moved", "findings"),
    [
        (True, [], []),
        (False, [], ["was not tried with assay, and may work; 1.0 were"]),
        (True, ["x is gone"], ["is started on this machine the public, slower way: x is gone"]),
    ],
)
def test_doctor_warns_of_a_release_that_was_not_tested_or_moved_names(
    monkeypatch: pytest.MonkeyPatch, tested: bool, moved: list[str], findings: list[str]
) -> None:
    monkeypatch.setattr(ray_head, "TRIED", (version("ray"),) if tested else ("1.0",))
    monkeypatch.setattr(ray_head, "moved", lambda: moved)
    assert [(finding.ok, finding.text) for finding in _ray_release()] == [
        (True, f"{version('ray')} {text}") for text in findings
    ]
