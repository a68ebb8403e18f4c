"""Trouble with a storage while packs are handed out and taken on: told, and never tried again in vain."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.engine.driver import PackDriver
from assay.engine.packs import Pack
from assay.engine.searcher import STORAGE
from assay.storage import Store
from trainables.errors import StorageError

AWAY = "the storage is away"


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(store: Store, path: str) -> Pack:
        raise StorageError(AWAY)

    monkeypatch.setattr(Pack, "read", read)


@pytest.mark.usefixtures("away")
def test_a_storage_that_is_away_when_a_pack_is_taken_on_is_a_result(tmp_path: Path) -> None:
    config = {"storage": str(tmp_path), "pack": "0", "watched": False, "heartbeat_seconds": 1.0}
    driver = PackDriver.__new__(PackDriver)  # Tune's own constructor asks Ray
    driver.setup(config)
    assert driver.step() == {"repeats": 0, "done": True, STORAGE: AWAY}
    assert driver.reset_config(config)
    assert driver.step() == {"repeats": 0, "done": True, STORAGE: AWAY}
