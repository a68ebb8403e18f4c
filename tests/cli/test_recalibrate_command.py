"""`assay predict --recalibrate` as a user meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.exports import EXPORTS
from assay.production.check import check_photos
from assay.production.export import export_model
from assay.production.onnx_file import load_onnx
from assay.storage import Store
from tests.cli.small_study import Assay
from tests.production.test_recalibration import good_photos
from tests.production.trained import train


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> Path:
    """An exported model."""
    folder = tmp_path_factory.mktemp("recalibrate")
    store = Store(folder / "storage")
    record = train("toy", store, cache_root)
    photos = check_photos(store, record, None, cache_root)
    export_model(store, record, EXPORTS["onnx"], folder / "model", photos)
    return folder / "model"


def test_the_command_writes_a_model_and_predicts_with_it(assay: Assay, model: Path, tmp_path: Path) -> None:
    good, out = good_photos(tmp_path / "good", 30), tmp_path / "out"
    answer = assay(
        "predict", good, "--model", model, "--recalibrate", good, "--false-alarms", "0.1", "--sure", "0.9",
        "--output", out, "--no-overlays",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    card = load_onnx(out / "model" / "model.onnx").card
    assert f"→ {card.thresholds.image:.6g}: at most 10 % false alarms, 90 % sure" in answer.out
    assert "30 images predicted, 0 defective" in answer.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--recalibrate", "good"], "above 0 and below 1, found none"),
        (["--recalibrate", "good", "--false-alarms", "1"], "above 0 and below 1, found 1"),
        (["--recalibrate", "good", "--false-alarms", "nan"], "above 0 and below 1, found nan"),
        (["--recalibrate", "good", "--false-alarms", "0.1", "--sure", "95"], "found 95. For 95 % write"),
        (["--false-alarms", "0.1"], "found 0.1 and no --recalibrate"),
        (["--recalibrate", "good", "--false-alarms", "0.01"], "takes 299 good parts"),
        ([], "a prediction takes images, found none"),
    ],
)
def test_what_promises_nothing_is_refused(
    options: list[str], words: str, assay: Assay, model: Path, tmp_path: Path
) -> None:
    good = good_photos(tmp_path / "good", 3)
    given = [str(good) if option == "good" else option for option in options]
    answer = assay("predict", "--model", model, *given, "--output", tmp_path / "out")
    assert answer.code == 2
    assert words in " ".join(answer.err.split())
    assert not (tmp_path / "out").exists()


def test_a_trial_is_exported_first(assay: Assay, tmp_path: Path) -> None:
    good = good_photos(tmp_path / "good", 3)
    answer = assay("predict", "--trial", "3f9c", "--recalibrate", good, "--false-alarms", "0.1")
    assert answer.code == 2
    assert "assay export --trial 3f9c --to onnx" in " ".join(answer.err.split())


def test_another_format_is_refused_with_the_one_that_takes_a_new_threshold(
    assay: Assay, tmp_path: Path
) -> None:
    good, other = good_photos(tmp_path / "good", 3), tmp_path / "other"
    other.mkdir()
    (other / "MLmodel").touch()  # of an MLflow model
    answer = assay("predict", "--model", other, "--recalibrate", good, "--false-alarms", "0.5")
    assert answer.code == 2
    assert "write it with `assay export --trial TRIAL --to onnx`" in " ".join(answer.err.split())
