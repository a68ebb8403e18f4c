"""A training program as a user of the command line meets it: run, report, predict, export, and run again."""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from assay.storage import Record, Store
from tests.cli.small_study import Assay
from tests.program.made_program import DESCRIPTION, STUDY, write_program

ONE_MODEL = DESCRIPTION.replace("--seed {seed}", "--seed 0")  # it ignores its seed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose program has an interpreter of its own and ignores its seed."""
    folder = tmp_path_factory.mktemp("programs") / "study"
    description = f"python: {sys.executable}\n{ONE_MODEL}"
    study = STUDY.replace("seeds: [0]", "seeds: [0, 1]") + "keep: {models: all, probes: 2}\n"
    write_program(folder, description=description, study=study)
    return folder


@pytest.fixture
def storage(folder: Path, assay: Assay) -> Path:
    """The storage with its two trials; trained once."""
    storage = folder.parent / "storage"
    answer = assay("run", folder / "own.yaml", "--storage", storage, "--local")
    assert answer.code == 0, answer.err
    return storage


def record_of(storage: Path) -> Record:
    store = Store(storage)
    record = store.record(sorted(store.trials())[0])
    assert isinstance(record, Record)
    return record


def test_seeds_that_left_the_same_bits_are_told(assay: Assay, storage: Path) -> None:
    notes = assay("report", "own", "--notes", "--storage", storage).out
    assert "seeds 0, 1 left the same bits. Does bright read its seed" in " ".join(notes.split())


def test_packages_of_its_interpreter_are_in_the_record(storage: Path) -> None:
    packages = record_of(storage).environment.program_packages
    assert packages["numpy"] == np.__version__
    assert packages["python"].startswith("3.")


def test_predict_asks_the_stored_program(assay: Assay, storage: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(3):
        cv2.imwrite(str(photos / f"{i}.png"), np.full((32, 32), 60 * i, np.uint8))
    trial = record_of(storage).id
    answer = assay("predict", "--trial", trial, photos, "--output", tmp_path / "out", "--storage", storage)
    assert answer.code == 0, answer.err
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").read_text().splitlines()))
    assert [float(row["score"]) for row in rows] == pytest.approx([60 * i / 255 * 0.9 for i in range(3)])


def test_export_hands_out_the_files(assay: Assay, storage: Path, tmp_path: Path) -> None:
    trial, out = record_of(storage).id, tmp_path / "out"
    answer = assay("export", "--trial", trial, "--to", "files", "--output", out, "--storage", storage)
    assert answer.code == 0, answer.err
    assert (out / "kept" / "model.txt").read_text() == "0 0.9"
    assert sorted(path.name for path in (out / "program").iterdir()) == ["predict.py", "train.py"]


def test_onnx_names_the_way_out(assay: Assay, storage: Path, tmp_path: Path) -> None:
    trial, out = record_of(storage).id, tmp_path / "out"
    answer = assay("export", "--trial", trial, "--to", "onnx", "--output", out, "--storage", storage)
    assert answer.code == 2
    assert "Use `--to files`" in " ".join(answer.err.split())


def test_the_study_that_the_storage_keeps_is_planned_without_its_files(
    assay: Assay, folder: Path, storage: Path
) -> None:
    copy = folder.parent / "copy"
    shutil.copytree(storage, copy, dirs_exist_ok=True)
    answer = assay("plan", copy / "studies" / "own" / "study.yaml", "--storage", copy)
    assert "2 done, 0 to train" in answer.out, answer.err


def test_settings_are_listed(assay: Assay, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    shown = assay("settings", "./bright.yaml", "gain").out
    assert "how bright is defective" in shown
