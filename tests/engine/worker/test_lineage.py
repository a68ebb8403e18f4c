"""What a record says of a model's stages, and that no training mask is opened before fit is over."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.made_images import make_folder
from tests.engine.staged_study import STAGED, StagedStudy
from tests.helpers.results import result_bytes
from trainables.data import make_split, open_manifest
from trainables.evaluation.stage_maps import STAGE_MAPS_SCHEMA

_SYNTHETIC = STAGED[STAGED.index("data:") : STAGED.index("supervision:")]
PARTS = STAGED.replace(_SYNTHETIC, "data: {{reader: folder, path: parts, splits: per_seed}}\n")

_recorders: list[list[str]] = []  # a hook of the interpreter cannot be taken away again


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open":
        for recorder in _recorders:
            recorder.append(str(arguments[0]))


sys.addaudithook(_note)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Every file that this process opens, in order."""
    _recorders.append([])
    yield _recorders[-1]
    _recorders.clear()


@pytest.fixture
def study(tmp_path: Path, cache_root: Path) -> StagedStudy:
    return StagedStudy.of(tmp_path / "storage", cache_root, seeds=(0,))


@pytest.fixture
def parts(tmp_path: Path) -> StagedStudy:
    """On photos and masks in folders, so that masks are files."""
    make_folder(tmp_path / "root" / "parts", good=12, defect=12)
    cache, root = tmp_path / "cache", tmp_path / "root"
    return StagedStudy.of(tmp_path / "storage", cache, seeds=(0,), text=PARTS, root=root, seconds=0.3)


def training_masks(study: StagedStudy) -> set[str]:
    """Paths of the masks that training must not see: all of its part."""
    trial = study.plan.trials[0]
    manifest = open_manifest(trial.data, study.root, study.cache)
    split = make_split(manifest, trial.data, trial.supervision, trial.seed, trial.fold)
    paths = {manifest.by_sample[sample].mask for sample in split.train}
    return {str(manifest.root / path) for path in paths if path is not None}


def test_a_record_holds_stages_training_labels_and_baseline_maps(study: StagedStudy) -> None:
    study.train(study.plan.trials[:1])
    (record,) = study.records().values()
    assert [(one.of, one.stage) for one in record.result.stages] == [
        ("test", "cam"),
        ("test", "final_cam"),
        ("test", "pseudo"),
        ("floor", "random"),
        ("floor", "centre prior"),
        ("floor", "blur residual"),
        ("floor", "cam × blur residual"),
        ("floor", "size only"),
        ("train", "pseudo"),
    ]
    # Photographs of one size tell a forest nothing: the AP is the share of defective images.
    assert record.result.stages[-2].metrics == {"image_ap": pytest.approx(0.5, abs=0.05)}
    labels = record.result.stages[-1].metrics
    assert labels.keys() == {"pixel_iou", "pixel_iou_positive"}
    assert 0 < labels["pixel_iou"] < 1


def test_the_attempt_keeps_the_pictures_of_the_probes(study: StagedStudy) -> None:
    study.train(study.plan.trials[:1])
    (record,) = study.records().values()
    lineage, maps = (study.store.read_part(record, f"{part}.parquet") for part in ("lineage", "maps"))
    assert lineage.schema == STAGE_MAPS_SCHEMA
    assert set(lineage["sample"].to_pylist()) == set(maps["sample"].to_pylist())
    assert lineage.num_rows == 2 * 4


def test_stages_are_part_of_what_is_identical(study: StagedStudy) -> None:
    study.train(study.plan.trials[:1])
    (record,) = study.records().values()
    assert (
        json.loads(result_bytes(record))["result"]["stages"]
        == record.model_dump(mode="json")["result"]["stages"]
    )


def test_no_mask_of_a_training_image_is_opened_before_fit_has_returned(
    parts: StagedStudy, opened: list[str]
) -> None:
    hidden = training_masks(parts)
    assert len(hidden) > 5
    opened.clear()
    parts.train(parts.plan.trials[:1])
    (returned,) = [i for i, path in enumerate(opened) if path.endswith("/config.json")]  # the model is saved
    assert hidden.isdisjoint(opened[:returned])
    assert hidden <= set(opened[returned:]), "the evaluation did compare pseudo labels with them"


def test_without_the_files_of_training_masks_only_their_measurement_is_lost(
    parts: StagedStudy, tmp_path: Path
) -> None:
    parts.train(parts.plan.trials[:1])
    (whole,) = parts.records().values()
    again = StagedStudy(tmp_path / "again", parts.cache, parts.text, parts.root)
    trial, hidden = again.plan.trials[0], training_masks(again)

    def remove() -> None:
        while again.store.progress(trial.id) is None:
            time.sleep(0.01)
        for path in hidden:
            Path(path).unlink()

    remover = threading.Thread(target=remove)
    remover.start()
    again.train([trial])
    remover.join()
    record = again.records()[trial.id]
    assert record.result.weights_hash == whole.result.weights_hash
    assert record.result.metrics == whole.result.metrics
    assert record.result.stages == whole.result.stages[:-1]
    (note,) = set(record.result.notes) - set(whole.result.notes)
    assert note.startswith("pseudo labels are not measured: ")
