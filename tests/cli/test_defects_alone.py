"""A set without normal images, from `assay init` to a table of classes and the dashboard."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from assay.storage import Store
from assay.study import read_study
from tests.cli.small_study import Assay
from tests.dashboard.conftest import PAGES, texts_of
from tests.data.defects_alone import CLASSES, make_defects_alone, make_steel_folders
from tests.data.made_images import make_folder

UNNAMED = ("class_1", "class_2", "class_3")


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (make_defects_alone, CLASSES),
        (partial(make_defects_alone, named=False), UNNAMED),
        (make_steel_folders, UNNAMED),
    ],
    ids=["a table with names", "a table without names", "folders"],
)
def test_init_names_the_classes_of_index_masks_and_asks_for_masks_alone(
    make: Callable[[Path], Path], names: tuple[str, ...], assay: Assay, tmp_path: Path
) -> None:
    images, file = make(tmp_path / "steel"), tmp_path / "steel.yaml"
    answer = assay("init", "--images", images, "--output", file)
    assert answer.code == 0, answer.err
    study = read_study(file)
    assert study.data.options["mask_classes"] == dict(zip("123", names, strict=True))
    assert (study.trainable, study.config["image_weight"]) == ("supervised", 0)
    assert (study.metrics.primary, study.data.splits) == ("pixel_iou", "published")


def test_the_steps_that_few_images_make_are_told(assay: Assay, tmp_path: Path) -> None:
    folder, file = make_defects_alone(tmp_path / "steel", train=9), tmp_path / "steel.yaml"
    assert assay("init", "--images", folder, "--output", file).code == 0
    assert "; 210 steps at least (min_steps)" in file.read_text(encoding="utf-8")


def test_defects_alone_go_from_init_to_a_table_of_classes_and_the_dashboard(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, file = make_defects_alone(tmp_path / "steel"), tmp_path / "steel.yaml"
    storage = tmp_path / "storage"
    assert assay("init", "--images", images, "--output", file).code == 0
    text = file.read_text(encoding="utf-8")
    for long, short in (("epochs: 60", "epochs: 2\n  min_steps: 30"), ("[0, 1, 2]", "[0]")):
        assert long in text
        text = text.replace(long, short)
    file.write_text(text, encoding="utf-8")
    run = assay("run", file, "--data", images, "--storage", storage, "--local", "--processes", "0")
    assert run.code == 0, run.err
    answer = assay("report", "steel", "--storage", storage, "--format", "md")
    assert answer.code == 0, answer.err
    rows = [line.split(" | ")[0].strip("| ") for line in answer.out.splitlines()]
    assert {*CLASSES, "mean over 3 classes", "small", "large"} <= set(rows)
    record = next(iter(Store(storage).records(Store(storage).trials()).values()))
    assert record.result is not None
    assert record.result.epochs == 30  # one step each
    assert record.result.undefined["image_ap"] == "no normal image"
    assert "AP, AUROC" in answer.out
    (crack,) = [score for score in record.result.defects if score.name == "crack"]
    regions = Store(storage).read_part(record, "regions.parquet")
    assert regions is not None
    assert regions["defect_class"].to_pylist().count("crack") == crack.regions > 0
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # Streamlit puts the page there
    monkeypatch.setattr("sys.argv", ["app.py", "--storage", str(storage)])
    app = AppTest.from_file(str(PAGES / "views" / "table.py"), default_timeout=60)
    app.session_state["study"] = "steel"
    assert "mean over 3 classes" in texts_of(app.run())


def test_without_normal_images_and_masks_there_is_nothing_to_learn(assay: Assay, tmp_path: Path) -> None:
    images = make_defects_alone(tmp_path / "steel")
    table = (images / "images.csv").read_text(encoding="utf-8")
    (images / "images.csv").write_text(table.replace("masks/03.png", ""), encoding="utf-8")
    answer = assay("init", "--images", images, "--output", tmp_path / "steel.yaml")
    assert answer.code == 2
    assert "has no normal image, and masks of 14 of 15 images. Add the masks" in answer.err
    few = make_folder(tmp_path / "few", good=2)
    assert "3 normal images or more" in assay("init", "--images", few, "--output", tmp_path / "few.yaml").err
