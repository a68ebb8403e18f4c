"""What a newcomer sees: one file in, a table out, and running again costs nothing."""

from __future__ import annotations

import re
from itertools import combinations, pairwise

import pytest

from tests.e2e.small_study import SmallStudy
from tests.helpers.waiting import slowness

pytestmark = pytest.mark.ray


def test_the_run_ends_with_its_table_its_time_and_the_ways_on(small_study: SmallStudy) -> None:
    printed = (small_study.storage / "run.txt").read_text()
    assert "10 trials of 5 variants: 10 finished" in printed
    assert "10 trained now in" in printed
    assert "assay mlflow" in printed
    assert "assay report small" in printed


def test_it_is_never_silent_for_ten_seconds(small_study: SmallStudy) -> None:
    printed = (small_study.storage / "run.txt").read_text()
    stamps = re.findall(r"^\[((?:\d+ min )?\d+ s)\] ", printed, re.MULTILINE)
    total = re.findall(r"trained now in ((?:\d+ min )?\d+ s)$", printed, re.MULTILINE)
    assert stamps
    assert len(total) == 1
    seconds = [0, *map(_seconds, stamps), _seconds(total[0])]  # from the start to the last line
    assert max(b - a for a, b in pairwise(seconds)) < 10 * slowness()


def _seconds(stamp: str) -> float:
    """``1 min 02 s`` → 62."""
    minutes, _, rest = stamp.rpartition(" min ")
    return 60 * float(minutes or 0) + float(rest.removesuffix(" s"))


@pytest.mark.parametrize("seed", [0, 1])
def test_any_two_cells_differ_in_the_hash_of_their_weights(seed: int, small_study: SmallStudy) -> None:
    records = small_study.records()
    hashes = {
        trial.cell: records[trial.id].result.weights_hash  # type: ignore[union-attr]
        for trial in small_study.plan.trials
        if trial.seed == seed
    }
    assert len(hashes) == 5
    assert all(hashes[a] != hashes[b] for a, b in combinations(hashes, 2))


def test_the_cells_of_a_seed_and_its_masks_share_a_split_and_the_seeds_of_a_cell_its_settings(
    small_study: SmallStudy,
) -> None:
    trials = small_study.plan.trials
    splits = {(trial.seed, str(trial.supervision), trial.split) for trial in trials}
    assert len(splits) == 2 * 3  # two seeds, three numbers of masks
    assert len({split for _, _, split in splits}) == 2 * 3
    for cell in {trial.cell for trial in trials}:
        one, other = (trial for trial in trials if trial.cell == cell)
        differs = {"id", "seed", "split"}
        assert one.model_dump(exclude=differs) == other.model_dump(exclude=differs)


def test_running_again_trains_nothing_and_starts_no_ray(small_study: SmallStudy) -> None:
    before = _record_times(small_study)
    again = small_study.ask("run", str(small_study.file))
    assert again.returncode == 0
    assert "0 trained now" in again.stdout
    assert "starting Ray" not in again.stdout
    assert _record_times(small_study) == before


def _record_times(study: SmallStudy) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in study.storage.glob("trials/*/record.json")}


def test_the_report_has_a_row_for_each_cell(small_study: SmallStudy) -> None:
    report = small_study.ask("report", "small").stdout
    table = report.partition("\n## Variants\n")[2].partition("\n#")[0]
    assert len([line for line in table.splitlines() if line.startswith("|") and "±" in line]) == 5


def test_status_and_logs_tell_how_it_went(small_study: SmallStudy) -> None:
    assert "10" in small_study.ask("status", "small", "--once").stdout
    trial = small_study.plan.trials[0].id
    assert "epoch 2/2" in small_study.ask("logs", trial[:8]).stdout


def test_mlflow_holds_study_cell_and_trial_with_the_records_values(small_study: SmallStudy) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{small_study.storage}/mlflow.db")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    trials = {run.data.tags["assay.trial"]: run for run in runs if "assay.trial" in run.data.tags}
    cells = {run.info.run_id for run in runs if "assay.trial" not in run.data.tags}
    assert len(cells) == 5
    for trial, record in small_study.records().items():
        assert record.result is not None
        assert trials[trial].data.tags["mlflow.parentRunId"] in cells
        assert trials[trial].data.metrics["test/image_ap"] == pytest.approx(record.result.metrics["image_ap"])


def test_the_overlay_sheet_shows_the_same_images_in_every_cell(small_study: SmallStudy) -> None:
    import cv2

    file = small_study.storage / "sheet.png"
    assert small_study.ask("report", "small", "--overlays", str(file)).returncode == 0
    sheet = cv2.imread(str(file))
    assert sheet is not None
    height, width, _ = sheet.shape
    assert width > 5 * 64  # a column for each cell
    assert height > 2 * 128  # a row for each probe image
