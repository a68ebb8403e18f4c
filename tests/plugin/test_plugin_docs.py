"""CONTRIBUTING shows the code of the test package as it is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)


@pytest.mark.parametrize(
    ("opener", "file"), [("def read_pairs", "pairs.py"), ("METRIC = HeatmapMetric", "defects_missed.py")]
)
def test_a_block_of_contributing_stands_in_its_file(opener: str, file: str) -> None:
    (block,) = [block for block in BLOCKS if block.startswith(opener)]
    assert block in (ROOT / "tests" / "plugin" / "assay_toy" / file).read_text()
