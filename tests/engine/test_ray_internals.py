"""Use of Ray's internals: each is where it was, and one that moved is named."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from assay.engine.ray_internals import INTERNALS, Internal

ENGINE = Path(__file__).parents[2] / "platform" / "assay" / "engine"


@pytest.mark.parametrize("internal", INTERNALS, ids=lambda internal: f"{internal.module}.{internal.name}")
def test_ray_has_what_the_engine_uses(internal: Internal) -> None:
    assert internal.problem is None


@pytest.mark.parametrize(
    ("internal", "problem"),
    [
        (Internal("ray.nowhere", "x"), r"no module ray\.nowhere"),
        (Internal("ray.util", "nothing_of_this"), r"ray\.util\.nothing_of_this: nothing_of_this is gone"),
        (Internal("ray.util.placement_group", "placement_group", ("colour",)), "takes no colour any more"),
    ],
)
def test_what_moved_is_named(internal: Internal, problem: str) -> None:
    assert re.search(problem, internal.problem or "")


def test_every_internal_that_is_imported_is_listed() -> None:
    listed = {(internal.module, internal.name.partition(".")[0]) for internal in INTERNALS}
    listed |= {
        (internal.module.rpartition(".")[0], internal.module.rpartition(".")[2]) for internal in INTERNALS
    }
    for path in ENGINE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and re.match(
                r"ray\.(.*\.)?_|ray\.tune\.execution", node.module or ""
            ):
                assert {(node.module, alias.name) for alias in node.names} <= listed, path.name
