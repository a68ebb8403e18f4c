"""Solar cells of the package elpv-dataset: labels of four grades, read where it is installed."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.data.published_trees import make_elpv_package
from trainables.data import DataSpec, Manifest, Supervision, check_data, make_split, open_manifest
from trainables.errors import InputError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """16 good and 16 defective cells, 4 of each doubtful grade; half of each are monocrystalline."""
    monkeypatch.syspath_prepend(make_elpv_package(tmp_path / "packages"))
    return tmp_path / "packages" / "elpv_dataset"


def opened(tmp_path: Path, **settings: Any) -> Manifest:
    spec = DataSpec.model_validate({"reader": "elpv", "splits": "per_seed", **settings})
    return open_manifest(spec, None, tmp_path / "cache")


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({}, {None: 16, "defective": 16}),
        ({"classes": ["defective"], "others": "ignore"}, {None: 16, "defective": 16}),
        ({"classes": ["defective"], "others": "normal"}, {None: 24, "defective": 16}),
        ({"classes": ["defective", "probable"]}, {None: 16, "defective": 16, "probable": 4}),
        (
            {"classes": ["defective", "probable"], "others": "normal"},
            {None: 20, "defective": 16, "probable": 4},
        ),
        ({"classes": ["possible"]}, {None: 16, "possible": 4}),
        ({"options": {"cells": "mono"}}, {None: 8, "defective": 8}),
    ],
)
@pytest.mark.usefixtures("package")
def test_doubtful_cells_are_left_out_normal_or_classes_by_name(
    settings: dict[str, Any], counts: dict[str | None, int], tmp_path: Path
) -> None:
    rows = opened(tmp_path, **settings).rows
    assert Counter(row.defect_class for row in rows) == counts
    assert all(row.label == (row.defect_class is not None) and row.mask is None for row in rows)


@pytest.mark.usefixtures("package")
def test_cells_train_with_image_labels_and_have_no_masks(tmp_path: Path) -> None:
    spec = DataSpec(reader="elpv", splits="per_seed")
    manifest = open_manifest(spec, None, tmp_path / "cache")
    assert make_split(manifest, spec, Supervision(kind="weak"), 0, None).masks == ()
    with pytest.raises(InputError, match=r"has no mask.*supervision: weak"):
        make_split(manifest, spec, Supervision(kind="full"), 0, None)


@pytest.mark.usefixtures("package")
def test_check_says_how_many_doubtful_cells_are_left_out(tmp_path: Path) -> None:
    report = check_data(DataSpec(reader="elpv", splits="per_seed"), None, tmp_path / "cache")
    assert report.usable
    assert "doubtful cells left out: 4 possible, 4 probable" in str(report)
    assert "ELPV has image labels alone; only supervision: full needs every mask" in str(report)
    assert "licence: CC BY-NC-SA 4.0" in str(report)


def test_the_package_is_read_where_it_lies_and_never_imported(package: Path, tmp_path: Path) -> None:
    assert opened(tmp_path).root == package / "data"
    assert "elpv_dataset" not in sys.modules


def test_without_the_package_the_message_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys, "path", [path for path in sys.path if not (Path(path) / "elpv_dataset").is_dir()]
    )
    with pytest.raises(
        InputError, match=r"elpv-dataset .* it is not installed: run `pip install elpv-dataset`\."
    ):
        opened(tmp_path)


@pytest.mark.parametrize(
    "row",
    [
        "images/cell0001.png 0.5 mono",
        "images/cell0001.png 1.0 amorphous",
        "../cell0001.png 1.0 mono",
        "1.0 mono",
    ],
)
def test_a_row_that_is_none_of_the_makers_is_refused(row: str, package: Path, tmp_path: Path) -> None:
    (package / "data" / "labels.csv").write_text(f"{row}\n", encoding="ascii")
    with pytest.raises(InputError, match=r"labels\.csv, row 1: expected .* found .*Install it again"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "cells"}, r"reads the installed package elpv-dataset, found data\.path 'cells'"),
        ({"splits": "published"}, "use `splits: per_seed`"),
        ({"classes": ["broken"]}, "unknown class broken.*has: possible, probable, defective"),
    ],
)
@pytest.mark.usefixtures("package")
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        opened(tmp_path, **settings)
