"""The overlay sheet: the same images in every cell that it shows; the lineage sheet: stages of one trial."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from assay.analysis.results.results import StudyResults
from assay.report.masks.sheets import lineage_sheets, overlay_sheet
from assay.storage import Environment, Record, Store
from assay.study import Trial
from tests.analysis.made_lineage import keep_lineage
from tests.analysis.made_studies import make_plan, make_record
from trainables.errors import InputError
from trainables.evaluation.heatmaps import Probe, maps_table

PLAN = make_plan()
FIRST, SECOND, *_ = PLAN.cells


def trial(cell: str, seed: int) -> Trial:
    return next(t for t in PLAN.trials if (t.cell, t.seed) == (cell, seed))


def probe(sample: str, grey: int) -> Probe:
    heatmap = np.linspace(0, 1, 32 * 24, dtype=np.float32).reshape(32, 24)
    image = np.full((32, 24, 1), grey, np.uint8)
    return Probe(f"{sample}.png", True, "hole", 0.9, image, heatmap, heatmap > 0.7)


def with_maps(store: Store, probes: Mapping[tuple[str, int], str]) -> dict[str, Record]:
    """Records of the trials (cell, seed), each with a probe for each letter; seeds differ in grey."""
    records: dict[str, Record] = {}
    for (cell, seed), samples in probes.items():
        one = trial(cell, seed)
        attempt = store.begin_attempt(one.id, Environment())
        table = maps_table([probe(sample, 40 + 40 * seed) for sample in samples], 0.5)
        digest = store.write_table(f"{attempt.prefix}/maps.parquet", table)
        files = {f"{attempt.name}/maps.parquet": digest}
        records[one.id] = make_record(one, files=files, attempt=attempt.name)
    return records


def sheet(store: Store, probes: Mapping[tuple[str, int], str]) -> bytes:
    picture = overlay_sheet(StudyResults(PLAN, with_maps(store, probes)), store)
    return bytes(str(picture.shape), "ascii") + picture.tobytes()


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        (
            {(FIRST.name, 0): "ab", (FIRST.name, 1): "ab", (SECOND.name, 1): "ab"},
            {(FIRST.name, 1): "ab", (SECOND.name, 1): "ab"},
        ),
        ({(FIRST.name, 1): "ab", (FIRST.name, 0): "ab"}, {(FIRST.name, 0): "ab"}),
        (
            {(FIRST.name, 0): "abc", (SECOND.name, 0): "xab"},
            {(FIRST.name, 0): "ab", (SECOND.name, 0): "ab"},
        ),
        (
            {(FIRST.name, 0): "", (SECOND.name, 0): "", (FIRST.name, 1): "ab"},
            {(FIRST.name, 1): "ab"},
        ),
    ],
    ids=[
        "the repeat with maps in the most cells",
        "of equally full repeats the first",
        "only images that all cells have",
        "no repeat whose trials kept no image",
    ],
)
def test_the_first_of_the_fullest_repeats_is_shown_with_the_images_common_to_its_cells(
    kept: dict[tuple[str, int], str], shown: dict[tuple[str, int], str], store: Store
) -> None:
    assert sheet(store, kept) == sheet(store, shown)


@pytest.mark.parametrize("probes", [{}, {(FIRST.name, 0): "a", (SECOND.name, 0): "b"}])
def test_without_a_common_image_there_is_no_picture(store: Store, probes: dict[tuple[str, int], str]) -> None:
    with pytest.raises(InputError, match="probe image"):
        overlay_sheet(StudyResults(PLAN, with_maps(store, probes)), store)


def test_each_cell_has_a_sheet_of_photo_truth_and_stages(store: Store) -> None:
    trials = [t for t in PLAN.trials if t.seed == 1][:2]
    records = {t.id: keep_lineage(store, t, "ab") for t in trials}
    sheets = dict(lineage_sheets(StudyResults(PLAN, records), store))
    assert list(sheets) == ["00-supervision_full_stop_off.png", "01-supervision_full_stop_on.png"]
    sheet = sheets["00-supervision_full_stop_off.png"]
    height, width = 7 * 32, 7 * 24  # enlarged, as pictures of 32 pixels are small
    assert sheet.shape == (37 + 2 * (height + 10), sheet.shape[1], 3)
    places = (sheet.shape[1] - (4 - k) * (width + 10) for k in range(4))
    _, truth, cam, crop = (sheet[37 : 37 + height, x : x + width].astype(int) for x in places)
    assert (truth == 255).all(axis=2).any(), "the truth is outlined"
    left, right = cam[28:70, 3], cam[28:70, 143]
    assert np.ptp(left, axis=1).max() < np.ptp(right, axis=1).min(), "the higher the more coloured"
    assert np.abs(crop[:, : width // 2 - 7] - 90).max() <= 1


@pytest.mark.parametrize("samples", ["", "ab"])
def test_without_stages_or_probes_there_is_no_sheet(samples: str, store: Store) -> None:
    record = keep_lineage(store, PLAN.trials[0], samples)
    if samples:
        maps = {path: digest for path, digest in record.files.items() if "maps" in path}
        record = record.model_copy(update={"files": maps})
    assert list(lineage_sheets(StudyResults(PLAN, {record.id: record}), store)) == []
