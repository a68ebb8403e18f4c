"""Exit codes of `assay run`, by how its trials ended."""

from __future__ import annotations

from typing import Any

import pytest

from assay.cli.run import exit_code
from assay.engine import Outcome


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ({"finished": 18}, 0),
        ({"finished": 17, "diverged": 1}, 0),
        ({"finished": 17, "failed": 1}, 1),
        ({"finished": 17, "missing": 1}, 1),
        ({"finished": 12, "postponed": 6}, 0),
        ({"finished": 5, "missing": 13, "interrupted": True}, 130),
        ({"finished": 5, "failed": 1, "missing": 12, "interrupted": True}, 130),
        ({"finished": 5, "failed": 1, "missing": 12, "lost": "raylet of Ray ended"}, 3),
        ({"finished": 5, "missing": 13, "lost": "raylet of Ray ended", "interrupted": True}, 130),
    ],
)
def test_exit_codes(counts: dict[str, Any], code: int) -> None:
    nothing = dict.fromkeys(("finished", "failed", "diverged", "pruned", "missing", "postponed"), 0)
    outcome = Outcome(**{**nothing, "interrupted": False, **counts}, trained_now=0, seconds=1.0)
    assert exit_code(outcome) == code
