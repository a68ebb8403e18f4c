"""What the documents promise: their studies are sound, and their commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assay.cli.run import exit_code
from assay.engine import Outcome
from tests.cli.small_study import Assay

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "docs/study-file.md", "ARCHITECTURE.md", "CONTRIBUTING.md")]
EXAMPLES = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL))
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_studies_of_the_documents_can_be_planned(assay: Assay, tmp_path: Path, text: str) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(text, encoding="utf-8")
    answer = assay("plan", path, "--no-data")
    assert answer.code == 0, answer.err


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_the_documents_exist(assay: Assay, page: Path) -> None:
    named = set(re.findall(r"`assay ([a-z]+)", page.read_text("utf-8")))
    unknown = [command for command in named if assay(command, "--help").code != 0]
    assert not unknown


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
    ],
)
def test_exit_codes(counts: dict[str, int], code: int) -> None:
    nothing = dict.fromkeys(("finished", "failed", "diverged", "pruned", "missing", "postponed"), 0)
    outcome = Outcome(**{**nothing, "interrupted": False, **counts}, trained_now=0, seconds=1.0)
    assert exit_code(outcome) == code
