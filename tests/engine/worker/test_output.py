"""What a training prints, of which the beginning and the end are kept."""

from __future__ import annotations

import hashlib

import pytest

from assay.engine.process.process import Output


@pytest.mark.parametrize("size", [0, 10, 40_000, 70_000, 1_000_000])
def test_of_output_the_first_and_last_bytes_are_kept(size: int) -> None:
    data = bytes(i % 26 + 97 for i in range(size))
    output = Output()
    for start in range(0, size, 4096):
        output.add(data[start : start + 4096])
    text = output.text()
    assert output.size == size
    assert text.startswith(data[:100].decode())
    assert text.endswith(data[-100:].decode())
    assert len(text) <= max(size, 66_000)
    if size <= 65_536:
        assert hashlib.sha256(text.encode()).digest() == hashlib.sha256(data).digest()
