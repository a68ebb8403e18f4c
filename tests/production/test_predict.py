"""Predictions for files: what the evaluation would have said, for every file that can be read."""

from __future__ import annotations

import json
import os
import shutil
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Self

import cv2
import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch

from assay.production.model import load_model
from assay.production.onnx_file import load_onnx
from assay.production.palette_png import palette_png
from assay.production.photos import find_photos
from assay.production.predict import Pictures, PredictionProgress, predict
from assay.production.rows import PhotoRow, RowWriter, TableFormat
from assay.production.side_by_side import SideBySide
from assay.storage import Store
from assay.study import Trial
from tests.production.conftest import Exported, Trained
from trainables.contract import Prediction, Predictor
from trainables.data import open_manifest
from trainables.data.files.sources import decode_image
from trainables.errors import InputError
from trainables.evaluation.overlay import PALETTE
from trainables.runtime.device import CUBLAS_WORKSPACE

Train = Callable[[str], Trained]


def silent(progress: PredictionProgress) -> None:
    """Nobody looks."""


class Busy:
    """A predictor that one batch at a time may use."""

    def __init__(self, inner: Predictor) -> None:
        self.inner, self.used = inner, False

    def predict(self, images: torch.Tensor) -> Prediction:
        assert not self.used
        self.used = True
        time.sleep(0.01)
        prediction = self.inner.predict(images)
        self.used = False
        return prediction

    def save(self, folder: Path) -> None:
        self.inner.save(folder)

    def to(self, device: torch.device) -> Self:
        return self


def judged(
    trial: Trained,
    paths: list[Path],
    folder: Path,
    on_progress: Callable[[PredictionProgress], None] = silent,
    white: float | None = None,
    **which: bool,
) -> list[dict[str, Any]]:
    """The rows of a prediction, read from its table."""
    folder.mkdir(exist_ok=True)
    with RowWriter(folder / "table.parquet", "parquet") as rows:
        photos = find_photos([str(path) for path in paths])
        model = load_model(*trial)
        if white is not None:
            model = replace(model, card=model.card.model_copy(update={"white": white}))
        predict(model, photos, rows, Pictures(folder, **which), on_progress)
    return pq.read_table(folder / "table.parquet").to_pylist()


def write(path: Path, image: np.ndarray[Any, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def surface(seed: int = 0, size: tuple[int, int] = (50, 70)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(40, 200, size, np.uint8)


@pytest.mark.parametrize("name", ["segdec", "unet", "unet_in_tiles"])
def test_scores_are_those_of_the_evaluation(
    name: str, trained: Train, cache_root: Path, tmp_path: Path
) -> None:
    store, record = trained(name)
    recorded = store.read_part(record, "predictions.parquet").to_pylist()
    manifest = open_manifest(Trial.model_validate(record.trial).data, None, cache_root)
    files = [manifest.root / manifest.by_sample[row["sample"]].image for row in recorded]
    found = judged(trained(name), files, tmp_path)
    assert [row["image"] for row in found] == [str(file) for file in files]
    assert [row["score"] for row in found] == pytest.approx([row["score"] for row in recorded], abs=1e-6)
    assert [row["decision"] for row in found] == [row["decision"] for row in recorded]


def test_depth_and_channels_of_a_file_do_not_matter(trained: Train, tmp_path: Path) -> None:
    grey = surface()
    files = [
        write(tmp_path / "grey.png", grey),
        write(tmp_path / "deep.png", grey.astype(np.uint16) * 257),
        write(tmp_path / "deep.tif", grey.astype(np.uint16) * 257),
        write(tmp_path / "rgba.png", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGRA)),
        write(tmp_path / "colour.bmp", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)),
    ]
    for name in ("toy", "unet"):  # grey and colour
        rows = judged(trained(name), files, tmp_path / name, white=65535)
        assert [row["error"] for row in rows] == [None] * 5
        scores = [row["score"] for row in rows]
        assert scores == pytest.approx(scores[:1] * 5, abs=1e-6)  # batches of two sizes round differently


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_judged(
    trained: Train, tmp_path: Path
) -> None:
    whole = write(tmp_path / "a.png", surface())
    (tmp_path / "b.png").write_bytes(whole.read_bytes()[:300])
    (tmp_path / "c.jpg").write_bytes(b"")
    write(tmp_path / "d.png", surface(1))
    told: list[PredictionProgress] = []
    rows = judged(trained("toy"), [tmp_path], tmp_path / "found", told.append)
    assert [row["score"] is None for row in rows] == [False, True, True, False]
    assert "the PNG is truncated" in rows[1]["error"]
    assert told[-1].done == told[-1].total == 4
    assert [text.partition(":")[0] for text in told[-1].broken] == [rows[1]["image"], rows[2]["image"]]


def test_pictures_have_the_photos_size_and_the_tables_pixels(trained: Train, tmp_path: Path) -> None:
    photo = surface()
    photo[10:30, 20:50] = 0  # the toy sees dark spots
    file = write(tmp_path / "in" / "x.png", photo)
    (row,) = judged(trained("toy"), [file], tmp_path / "out", masks=True, overlays=True)
    mask = cv2.imread(str(tmp_path / "out" / row["mask"]), cv2.IMREAD_UNCHANGED)
    drawn = cv2.imread(str(tmp_path / "out" / row["overlay"]))
    assert mask.shape == drawn.shape[:2] == (row["height"], row["width"]) == (50, 70)
    assert set(np.unique(mask)) == {0, 255}
    assert int((mask == 255).sum()) == row["defect_pixels"] > 0
    coloured = drawn.max(axis=2) != drawn.min(axis=2)
    assert np.array_equal(coloured, mask == 255)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (30, 1), (50, 70)])
def test_a_written_overlay_shows_what_was_drawn(size: tuple[int, int]) -> None:
    indices = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    read = cv2.imdecode(np.frombuffer(palette_png(indices, PALETTE), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(read, PALETTE[indices])


@pytest.mark.parametrize("name", ["segdec", "unet", "unet_in_tiles"])
def test_two_batches_at_once_say_what_one_after_the_other_says(
    name: str, trained: Train, tmp_path: Path
) -> None:
    files = [write(tmp_path / "in" / f"{i:02d}.png", surface(i)) for i in range(40)]
    threads, rows = torch.get_num_threads(), list[list[dict[str, Any]]]()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            rows.append(judged(trained(name), files, tmp_path / str(count)))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    for column in ("image", "decision", "defect_pixels"):
        assert [row[column] for row in rows[1]] == [row[column] for row in rows[0]]
    assert [row["score"] for row in rows[1]] == pytest.approx([row["score"] for row in rows[0]], abs=1e-6)


@pytest.mark.parametrize("name", ["segdec", "unet"])
def test_an_exported_model_predicts_what_the_trial_predicts(
    name: str, trained: Train, exported: Callable[[str, str], Exported], tmp_path: Path
) -> None:
    files = [write(tmp_path / "in" / f"{i:02d}.png", surface(i)) for i in range(20)]
    expected = judged(trained(name), files, tmp_path / "own", masks=True)
    model = load_onnx(exported(name, "onnx").folder / "model.onnx", threads=1)
    (tmp_path / "found").mkdir()
    with RowWriter(tmp_path / "table.parquet", "parquet") as rows:
        photos = find_photos([str(file) for file in files])
        predict(model, photos, rows, Pictures(tmp_path / "found", masks=True), silent)
    rows_found = pq.read_table(tmp_path / "table.parquet").to_pylist()
    assert [row["decision"] for row in rows_found] == [row["decision"] for row in expected]
    assert [row["score"] for row in rows_found] == pytest.approx([row["score"] for row in expected], abs=1e-5)


@pytest.mark.parametrize(("device", "exact"), [("cuda", True), ("cpu", False)])
def test_a_gpu_predicts_with_the_arithmetic_of_the_evaluation(
    trained: Train, monkeypatch: pytest.MonkeyPatch, device: str, exact: bool
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # torch's default
    monkeypatch.setenv(CUBLAS_WORKSPACE[0], "restored in the end")
    monkeypatch.delenv(CUBLAS_WORKSPACE[0])
    with suppress(RuntimeError, AssertionError):  # without a GPU the weights find no place on it
        load_model(*trained("toy"), torch.device(device))
    on = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    assert (torch.backends.cudnn.allow_tf32, on, CUBLAS_WORKSPACE[0] in os.environ) == (
        not exact,
        exact,
        exact,
    )


def test_a_predictor_that_changes_itself_is_asked_one_batch_at_a_time(trained: Train) -> None:
    model = load_model(*trained("toy"))
    busy = replace(model, predictor=Busy(model.predictor))
    photos = [model.prepare(surface(i)[:, :, None]) for i in range(4)]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with SideBySide(busy, 8) as scorer:
            assert scorer.count == 2
            answers = [decided.result() for decided in [scorer.decide(photos) for _ in range(8)]]
    finally:
        torch.set_num_threads(threads)
    assert all(np.array_equal(answer.score, model.decide(photos).score) for answer in answers)


def test_equal_names_keep_apart_and_folders_are_mirrored(tmp_path: Path) -> None:
    for name in ("a/x.png", "b/x.png", "b/x.jpg", "b/x.jpg.png", "b/deep/X.png"):
        write(tmp_path / name, surface())
    photos = find_photos([str(tmp_path)])
    assert [str(photo.place) for photo in photos] == [
        "a/x.png", "b/deep/X.png", "b/x.jpg.png", "b/x.jpg-2.png", "b/x.png",
    ]  # fmt: skip


@pytest.mark.parametrize("paths", [["a", "a"], ["a", "a/x.png"], ["a/*.png", "./a/../a"], ["**/*.png"]])
def test_a_photo_is_judged_once_however_it_is_named(
    paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a" / "x.png", surface())
    (tmp_path / "a" / "notes.txt").write_text("no image")
    monkeypatch.chdir(tmp_path)
    assert [photo.path.name for photo in find_photos(paths)] == ["x.png"]


@pytest.mark.parametrize("path", ["../out/y.png", "link/y.png", "in/../../out"])
def test_no_picture_leaves_its_root(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "out" / "y.png", surface())
    write(tmp_path / "work" / "in" / "x.png", surface())
    (tmp_path / "work" / "link").symlink_to(tmp_path / "out")
    monkeypatch.chdir(tmp_path / "work")
    photos = find_photos([path, "in"])
    assert len(photos) == 2
    assert not [photo for photo in photos if photo.place.is_absolute() or ".." in photo.place.parts]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("none.png", "no file or folder 'none.png'"),
        ("empty", "leads to no image"),
        ("*.tif", "leads to no image"),
    ],
)
def test_a_path_without_images_is_refused(
    path: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=told):
        find_photos([path])


def test_an_interruption_leaves_what_was_judged(trained: Train, tmp_path: Path) -> None:
    for i in range(200):
        write(tmp_path / "in" / f"{i:03d}.png", surface(i))

    def interrupt(progress: PredictionProgress) -> None:
        if progress.done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged(trained("toy"), [tmp_path / "in"], tmp_path / "out", interrupt, masks=True)
    rows = pq.read_table(tmp_path / "out" / "table.parquet").to_pylist()
    assert 20 <= len(rows) < 200
    assert [Path(row["image"]).name for row in rows] == [f"{i:03d}.png" for i in range(len(rows))]
    assert all((tmp_path / "out" / row["mask"]).is_file() for row in rows)


@pytest.mark.parametrize(
    "lagging", ["predict.decode_image", "side_by_side.SideBySide.decide", "predict.palette_png"]
)
def test_no_more_photos_are_in_memory_than_are_in_flight(
    lagging: str, trained: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write(tmp_path / "in" / f"{i:03d}.bmp", surface(i)) for i in range(200)]
    photos: list[weakref.ref[Any]] = []
    in_memory: list[int] = []
    on_time = resolve_name(f"assay.production.{lagging}")

    def late(*values: Any) -> Any:
        time.sleep(0.005)
        return on_time(*values)

    def decode(*source: Any) -> Any:
        image = late(*source) if on_time is decode_image else decode_image(*source)
        photos.append(weakref.ref(image))
        in_memory.append(sum(photo() is not None for photo in photos))
        return image

    monkeypatch.setattr(f"assay.production.{lagging}", late)
    monkeypatch.setattr("assay.production.predict.decode_image", decode)
    assert len(judged(trained("toy"), files, tmp_path / "out", overlays=True)) == 200
    assert max(in_memory) <= 64 + 8  # in flight, and those that four readers and four writers let go


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_rows_that_an_interruption_meets_on_their_way_into_the_table_are_in_it(
    form: TableFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr("assay.production.rows._ROWS_AT_ONCE", {"csv": 16, "parquet": 16})
    monkeypatch.setattr("assay.production.rows._table", interrupt)
    names = [f"{number}.png" for number in range(16)]
    path = tmp_path / "table"
    with suppress(KeyboardInterrupt), RowWriter(path, form) as table:
        for name in names:
            table.add(PhotoRow(name, 0.5, True, 1, 2, 3, None, None, None))
    read = pyarrow.csv.read_csv(path) if form == "csv" else pq.read_table(path)
    assert read["image"].to_pylist() == names


def test_csv_holds_what_parquet_holds(trained: Train, tmp_path: Path) -> None:
    files = [write(tmp_path / "in" / f"{i}, ü.png", surface(i)) for i in range(3)]
    rows = judged(trained("toy"), files, tmp_path / "out")
    photos = find_photos([str(file) for file in files])
    with RowWriter(tmp_path / "table.csv", "csv") as table:
        predict(load_model(*trained("toy")), photos, table, Pictures(tmp_path), silent)
    read = pyarrow.csv.read_csv(tmp_path / "table.csv").to_pylist()
    assert [(row["image"], row["score"], row["decision"]) for row in read] == [
        (row["image"], row["score"], row["decision"]) for row in rows
    ]


def test_a_trial_of_a_copy_without_models_says_so(trained: Callable[[str], Trained], tmp_path: Path) -> None:
    store, record = trained("toy")
    unpacked = Store(shutil.copytree(store.uri, tmp_path / "storage"))
    models = [f"{store.trial(record.id)}/{path}" for path in record.files if "/model/" in path]
    for path in models:
        (tmp_path / "storage" / path).unlink()
    (tmp_path / "left_out.json").write_text(json.dumps(dict.fromkeys(models, 1)))
    with pytest.raises(
        InputError, match=r"the model of trial .* was left out of this copy of a storage: .* Ask who made it"
    ):
        load_model(unpacked, record)
