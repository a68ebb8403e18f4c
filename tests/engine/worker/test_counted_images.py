"""What a record counts: images and masks, as a person labels them, and no tiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.storage import Record
from tests.engine.toy_study import TOY, ToyStudy
from tests.engine.worker.worker_alone import train_here

COUNTS = ("n_train", "n_positives", "n_masks", "n_validation", "n_calibration", "n_test")


def counted(storage: Path, cache: Path, supervision: str, data: str) -> dict[str, int]:
    text = TOY.format(
        name="toy",
        epochs=1,
        seconds=0.0,
        workers=1,
        pack="auto",
        factor="lr: {x: {config: {lr: 0.1}}}",
        seeds=[0],
    )
    text = text.replace("size: [32, 32]}", f"size: [64, 64]}}{data}")
    text = text.replace("supervision: weak", f"supervision: {supervision}")
    study = ToyStudy(storage, cache, text)
    train_here(study.plan, study.store, cache)
    (record,) = study.records().values()
    assert isinstance(record, Record)
    assert record.result is not None, record
    return {name: getattr(record.result, name) for name in COUNTS}


def test_a_record_counts_the_images_that_choose_the_threshold_alone(tmp_path: Path, cache_root: Path) -> None:
    counts = counted(tmp_path, cache_root, "weak", ", calibration: {share: 0.25}")
    without = counted(tmp_path / "without", cache_root, "weak", "")
    assert counts["n_calibration"] > 0 == without["n_calibration"]
    assert counts["n_train"] + counts["n_calibration"] == without["n_train"]


@pytest.mark.parametrize("supervision", ["none", "{mixed: 3}", "full"])
def test_a_record_counts_the_images_that_tiles_are_cut_from(
    supervision: str, tmp_path: Path, cache_root: Path
) -> None:
    whole = counted(tmp_path / "whole", cache_root, supervision, "")
    tiles = ", tiles: {height: 32, width: 32, overlap: 0}"
    assert counted(tmp_path / "tiled", cache_root, supervision, tiles) == whole
