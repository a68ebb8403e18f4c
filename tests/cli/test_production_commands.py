"""`assay predict` and `assay export` as a user meets them."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import cv2
import mlflow.pyfunc
import numpy as np
import pytest

from assay.storage import Record, Store
from tests.cli.small_study import Assay
from tests.data.cases.parts import make_parts
from tests.production.trained import train


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> tuple[Path, str]:
    """A storage with one trained trial, and the start of its id."""
    storage = tmp_path_factory.mktemp("shop")
    return storage, train("toy", Store(storage), cache_root).id[:6]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((40, 50), 60 * i, np.uint8))
    return folder


def test_predict_writes_a_table_and_pictures(
    assay: Assay, shop: tuple[Path, str], photos: Path, tmp_path: Path
) -> None:
    storage, trial = shop
    out = tmp_path / "found"
    answer = assay("predict", "--trial", trial, photos, "--output", out, "--masks", "--storage", storage)
    assert answer.code == 0, answer.err
    assert f"3 images predicted, 2 defective: {out / 'predictions.csv'}" in answer.out
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert names == [
        *(f"{kind}/{i}.png" for kind in ("masks", "overlays") for i in range(3)),
        "predictions.csv",
    ]


def test_predict_names_unreadable_files_and_ends_with_1(
    assay: Assay, shop: tuple[Path, str], photos: Path, tmp_path: Path
) -> None:
    storage, trial = shop
    (photos / "broken.png").write_bytes(b"no image")
    answer = assay(
        "predict", "--trial", trial, photos, "--no-overlays", "--format", "parquet", "--output",
        tmp_path / "found", "--storage", storage,
    )  # fmt: skip
    assert answer.code == 1
    assert "3 images predicted" in answer.out
    assert (
        f"not predicted: {photos / 'broken.png'}: expected a JPEG, PNG, BMP, TIFF or WebP image" in answer.err
    )
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["predictions.parquet"]


def test_predict_ends_with_1_where_files_are_of_no_format_that_is_read(
    assay: Assay, shop: tuple[Path, str], photos: Path, tmp_path: Path
) -> None:
    storage, trial = shop
    (photos / "b.heic").write_bytes(b"a photo of a telephone")
    answer = assay("predict", "--trial", trial, photos, "--output", tmp_path / "found", "--storage", storage)
    assert answer.code == 1
    assert "3 images predicted" in answer.out
    assert "1 file is not read: " in answer.err
    assert "b.heic: heic is no format that is read" in answer.err


def test_predict_warns_of_images_that_may_be_masks(
    assay: Assay, shop: tuple[Path, str], photos: Path, tmp_path: Path
) -> None:
    storage, trial = shop
    (photos / "masks").mkdir()
    cv2.imwrite(str(photos / "masks" / "0.png"), np.full((40, 50), 255, np.uint8))
    answer = assay("predict", "--trial", trial, photos, "--output", tmp_path / "found", "--storage", storage)
    assert answer.code == 0
    assert (
        f"1 of 4 images may be masks, by the names of their folders, such as {photos / 'masks'}" in answer.err
    )


@pytest.mark.parametrize("form", ["labelme", "coco"])
def test_predicted_outlines_come_back_as_the_predicted_masks(
    form: str, assay: Assay, shop: tuple[Path, str], photos: Path, tmp_path: Path
) -> None:
    storage, trial = shop
    out = tmp_path / "found"
    answer = assay(
        "predict", "--trial", trial, photos, "--masks", "--annotations", form, "--output", out,
        "--storage", storage,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    written = out / ("labelme" if form == "labelme" else "annotations.json")
    answer = assay("data", "import", written, "--images", photos)
    assert answer.code == 0, answer.err
    assert "data: {reader: table, path: imported.csv, splits: per_seed}" in answer.out
    for photo in sorted(photos.glob("*.png")):
        mask = cv2.imread(str(out / "masks" / photo.name), cv2.IMREAD_UNCHANGED)
        imported = photos / "imported_masks" / f"{photo.name}.png"
        assert imported.exists() == mask.any()
        if imported.exists():
            np.testing.assert_array_equal(cv2.imread(str(imported), cv2.IMREAD_UNCHANGED), mask)


@pytest.mark.parametrize("form", ["labelme", "coco"])
def test_outlines_of_a_photo_whose_name_is_not_utf8_are_refused_before_anything_is_written(
    form: str, assay: Assay, shop: tuple[Path, str], photos: Path, tmp_path: Path
) -> None:
    storage, trial = shop
    (photos / "0.png").rename(photos / os.fsdecode(b"g\xfc.png"))
    answer = assay(
        "predict", "--trial", trial, photos, "--annotations", form, "--output", tmp_path / "found",
        "--storage", storage,
    )  # fmt: skip
    assert answer.code == 2
    assert f"--annotations names photos in UTF-8, found {photos}/g\\xfc.png. Rename" in answer.err
    assert not (tmp_path / "found").exists()


@pytest.fixture(scope="module")
def parts_shop(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> tuple[Path, Record]:
    """A storage with a trial on parts with four views."""
    storage, parts = tmp_path_factory.mktemp("parts_shop"), make_parts(tmp_path_factory.mktemp("parts"))
    data = '{reader: folder, item: "{part}_{view}", splits: per_seed}'
    return storage, train("toy", Store(storage), cache_root, data, parts)


def test_metrics_of_parts_are_recorded_beside_those_of_images(parts_shop: tuple[Path, Record]) -> None:
    storage, trial = parts_shop
    table = Store(storage).read_part(trial, "predictions.parquet")
    assert table is not None
    parts: dict[str, list[tuple[bool, bool]]] = {}  # label and decision of each view
    for row in table.to_pylist():
        parts.setdefault(row["item"], []).append((row["label"], row["decision"]))
    assert {len(views) for views in parts.values()} == {4}
    decided = [tuple(map(any, zip(*views, strict=True))) for views in parts.values()]
    result = trial.result
    assert result is not None
    assert result.metrics["part_fn"] == decided.count((True, False))
    assert result.metrics["part_fp"] == decided.count((False, True))


def test_predict_decides_on_parts_where_the_study_has_them(
    assay: Assay, parts_shop: tuple[Path, Record], tmp_path: Path
) -> None:
    storage, trial = parts_shop
    root, out = make_parts(tmp_path / "parts"), tmp_path / "found"
    (root / "good" / "overview.png").write_bytes((root / "good" / "part_01_back.png").read_bytes())
    (root / "good" / "part_02_back.png").write_bytes(b"no image")
    answer = assay(
        "predict", "--trial", trial.id, root / "good", root / "defect", "--output", out,
        "--storage", storage,
    )  # fmt: skip
    assert answer.code == 1
    assert "not named like {part}_{view}, and so parts of their own: 1 image, such as " in answer.err
    with (out / "predictions.csv").open() as photos, (out / "parts.csv").open() as parts:
        views, rows = list(csv.DictReader(photos)), {row["part"]: row for row in csv.DictReader(parts)}
    assert set(rows) == {f"part_{number:02}" for number in range(12)} | {str(root / "good" / "overview.png")}
    for part, row in rows.items():
        of_part = [view for view in views if part in view["image"]]
        assert float(row["score"]) == max(float(view["score"]) for view in of_part if view["score"])
        assert int(row["views"]) == len(of_part)
        assert int(row["defective_views"]) == sum(view["decision"] == "true" for view in of_part)
        assert row["decision"] == (
            "true" if row["defective_views"] != "0" else "" if part == "part_02" else "false"
        )
    assert rows["part_02"]["unread_views"] == "1"


def test_a_part_whose_name_is_not_utf8_has_its_row(
    assay: Assay, parts_shop: tuple[Path, Record], tmp_path: Path
) -> None:
    storage, trial = parts_shop
    good, out = make_parts(tmp_path / "parts") / "good", tmp_path / "found"
    (good / "part_01_back.png").rename(good / os.fsdecode(b"p\xfc_back.png"))
    answer = assay("predict", "--trial", trial.id, good, "--output", out, "--storage", storage)
    assert answer.code == 0, answer.err
    with (out / "parts.csv").open(encoding="utf-8") as parts:
        assert "p\\xfc" in {row["part"] for row in csv.DictReader(parts)}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--trial", "{trial}", "nowhere"], "there is no file or folder 'nowhere'"),
        (
            ["--trial", "ffff", "{photos}", "--output", "{photos}_new"],
            r"no trial in .* has an id .* 'ffff'\. Trials with a model: \w+ \(toy, base, seed 0\)\.",
        ),
        (["--trial", "{trial}", "{photos}", "--output", "{photos}"], "--output is a new or empty folder"),
        (["--trial", "{trial}", "{photos}", "--output", "{photos}/new"], "outside the folders of photos"),
        (["{photos}", "--output", "{photos}_new"], "takes one model, --trial ID or --model DIR, found none"),
        (["--trial", "{trial}", "--model", "{photos}", "{photos}", "--output", "{photos}_new"], "found both"),
        (["--model", "{photos}", "{photos}", "--output", "{photos}_new"], "found no .*model.onnx"),
    ],
)
def test_predict_refuses_bad_input_with_2(
    arguments: list[str], told: str, assay: Assay, shop: tuple[Path, str], photos: Path
) -> None:
    storage, trial = shop
    named = [text.format(trial=trial, photos=photos) for text in arguments]
    answer = assay("predict", *named, "--storage", storage)
    assert answer.code == 2
    assert re.search(told, answer.err)


def test_export_says_what_it_checked(assay: Assay, shop: tuple[Path, str], tmp_path: Path) -> None:
    storage, trial = shop
    out = tmp_path / "model"
    answer = assay("export", "--trial", trial, "--to", "mlflow", "--output", out, "--storage", storage)
    assert answer.code == 0, answer.err
    assert "max difference of scores" in answer.out
    assert (out / "MLmodel").is_file()
    assert (out / "README.md").is_file()
    again = assay("export", "--trial", trial, "--to", "onnx", "--output", out, "--storage", storage)
    assert again.code == 2
    assert "--output is a new or empty folder" in again.err


@pytest.mark.parametrize("named", [True, False], ids=["--data", "ASSAY_DATA"])
def test_a_root_without_the_data_of_a_trial_is_refused_only_where_the_export_names_it(
    assay: Assay,
    parts_shop: tuple[Path, Record],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    named: bool,
) -> None:
    storage, trial = parts_shop
    root, out = tmp_path / "elsewhere", tmp_path / "model"
    root.mkdir()
    monkeypatch.setenv("ASSAY_DATA", str(root))
    answer = assay(
        "export", "--trial", trial.id, "--to", "mlflow", "--output", out,
        "--storage", storage, *(("--data", root) if named else ()),
    )  # fmt: skip
    assert answer.code == (2 if named else 0), answer.err
    assert out.exists() is not named
    if not named:
        assert "ASSAY_DATA does not have the data of trial" in answer.err
        assert "checked on 4 small photos that the trial kept" in answer.out


def test_sync_with_models_makes_each_kept_model_loadable_once(
    assay: Assay, shop: tuple[Path, str], cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, _ = shop
    command = ("mlflow", "--sync", "--models", "--storage", storage, "--cache", cache_root)
    answer = assay(*command)
    assert answer.code == 0, answer.err
    (uri,) = re.findall(r'mlflow\.pyfunc\.load_model\("(models:/m-\w+)"\)', answer.out)
    assert uri in assay(*command).out
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{storage}/mlflow.db")
    found = mlflow.pyfunc.load_model(uri).predict(np.zeros((2, 40, 50), np.uint8))
    assert found["mask"].shape == (2, 40, 50)


def test_models_without_sync_are_refused(assay: Assay, tmp_path: Path) -> None:
    for option, way in (("--models", "--sync --models"), ("--register", "--sync --models --register")):
        answer = assay("mlflow", option, "--storage", tmp_path)
        assert answer.code == 2
        assert f"assay mlflow {way}" in answer.err


def test_an_unknown_export_format_is_refused_with_the_known_ones(
    assay: Assay, shop: tuple[Path, str], tmp_path: Path
) -> None:
    storage, trial = shop
    answer = assay(
        "export", "--trial", trial, "--to", "omnx", "--output", tmp_path / "x", "--storage", storage
    )
    assert answer.code == 2
    assert "there is no export format 'omnx'; did you mean `onnx`?" in answer.err


def test_a_replay_of_a_storage_without_studies_says_that_it_has_none(assay: Assay, tmp_path: Path) -> None:
    answer = assay("mlflow", "--sync", "--storage", tmp_path / "mistyped")
    assert (answer.code, answer.out) == (0, f"no study was run into {tmp_path / 'mistyped'} yet\n")
    assert not (tmp_path / "mistyped").exists()
