"""Pictures among a run's artifacts."""

from __future__ import annotations

from pathlib import Path

import cv2

from assay.storage import Store
from assay.tracking.overlays import write_overlays
from tests.analysis.made_lineage import keep_lineage
from tests.analysis.made_studies import make_plan


def test_a_model_that_shows_its_stages_has_a_sheet_of_all_its_probes(tmp_path: Path) -> None:
    store = Store(tmp_path / "storage")
    record = keep_lineage(store, make_plan().trials[0], "abcdefgh")
    names = write_overlays(store, record, tmp_path / "overlays")
    assert names == [*(f"{i:02d}-{letter}.png" for i, letter in enumerate("abcdefgh")), "lineage.png"]
    sheet = cv2.imread(str(tmp_path / "overlays" / "lineage.png"))
    assert sheet is not None
    assert sheet.shape[0] == 37 + 8 * (7 * 32 + 10)
