"""`assay labels --next`: which of a user's images to draw masks of, as a file for a labelling tool."""

from __future__ import annotations

import csv
import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

from assay.cli.labels import Rule
from assay.engine.pack_site import PackSite
from assay.engine.worker import train_trials
from tests.cli.small_study import Assay
from tests.data.made_images import make_folder
from tests.engine.made_packs import make_pack
from tests.engine.toy_study import ToyStudy
from trainables.data import make_split, open_manifest
from trainables.data.spec import ChoiceRule

STUDY = """
study: mine
trainable: toy
data: {reader: folder, splits: per_seed}
config: {epochs: 1, image_size: [16, 16]}
supervision: {mixed: 2}
repeats: {seeds: [0, 1]}
metrics: {primary: image_ap}
resources: {workers: 1, cpus: 1}
keep: {models: all, probes: 0}
"""


class Mine(NamedTuple):
    """A study on a folder in which half of the defective images have no mask."""

    study: ToyStudy
    unlabelled: set[str]  # paths of the training part of seed 0, as the list names them

    def options(self, *words: str) -> Sequence[str]:
        root, cache = str(self.study.root), str(self.study.cache)
        where = ("--data", root, "--cache", cache, "--storage", self.study.store.uri)
        return ("labels", "mine", *words, *where)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Mine:
    folder = tmp_path_factory.mktemp("mine")
    root = make_folder(folder / "data", good=20, defect=24)
    for number in range(0, 24, 2):
        (root / "masks" / f"d{number}.png").unlink()
    study = ToyStudy(folder / "storage", folder / "cache", STUDY, root)
    pack = make_pack("mine", study.plan.trials, keep_models=True, data_root=str(root), cache=str(study.cache))
    train_trials(PackSite(pack, study.store, 0, 1, "here", 0, "cpu"))
    study.store.write_bytes("studies/mine/study.yaml", STUDY.encode())
    study.store.write_table("studies/mine/plan.parquet", study.plan.to_table())
    trial = study.plan.trials[0]
    manifest = open_manifest(trial.data, root, study.cache)
    split = make_split(manifest, trial.data, trial.supervision, trial.seed, trial.fold)
    rows = (manifest.by_sample[sample] for sample in split.train)
    return Mine(study, {row.image for row in rows if row.label and row.mask is None})


@pytest.mark.parametrize("rule", ["random", "uncertainty", "disagreement", "coverage"])
def test_a_list_names_training_images_without_a_mask_best_first(
    assay: Assay, mine: Mine, tmp_path: Path, rule: str
) -> None:
    file = tmp_path / "next.csv"
    answer = assay(*mine.options("--next", "4", "--by", rule, "--output", str(file)))
    assert answer.code == 0, answer.err
    assert f"4 of {len(mine.unlabelled)} defective training images without a mask, by {rule}" in answer.out
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    assert len({row["image"] for row in rows}) == 4
    assert {row["image"] for row in rows} <= mine.unlabelled
    values = [float(row[rule] or 0) for row in rows]
    assert values == sorted(values, reverse=True)


def test_a_list_in_coco_holds_all_images_where_more_are_asked(
    assay: Assay, mine: Mine, tmp_path: Path
) -> None:
    file = tmp_path / "next.json"
    assert assay(*mine.options("--next", "99", "--by", "coverage", "--output", str(file))).code == 0
    content = json.loads(file.read_text(encoding="utf-8"))
    assert {image["file_name"] for image in content["images"]} == mine.unlabelled
    assert {(image["height"], image["width"]) for image in content["images"]} == {(12, 16)}
    assert (content["annotations"], content["categories"]) == ([], [{"id": 1, "name": "defect"}])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--next", "4"), "a list has a length and a file: write --next 10 --output next.csv, found --next"),
        (("--output", "list.csv"), "found --output alone"),
        (("--next", "4", "--output", "list.csv", "--json"), "--json is printed, found it with --next 4"),
        (("--next", "4", "--output", "list.csv", "--hours", "2"), "that --next says, found --hours 2 beside"),
        (("--next", "4", "--output", "list.txt"), "ends with .csv or .json, found list.txt"),
        (("--next", "4", "--output", "list.csv", "--from", "other"), "goes by finished trials of one cell"),
        (
            ("--next", "4", "--output", "list.csv", "--by", "coverage", "--from", "other"),
            "of one cell: found 1 such cell: base. Name one with --from.",
        ),
    ],
    ids=[
        "no file",
        "no length",
        "as JSON",
        "for hours",
        "another format",
        "no such cell",
        "no such cell, and no model to be asked",
    ],
)
def test_a_list_that_cannot_be_made_is_refused(
    assay: Assay, mine: Mine, words: tuple[str, ...], message: str
) -> None:
    answer = assay(*mine.options(*words))
    assert answer.code == 2
    assert message in answer.err


def test_a_file_that_is_there_is_refused_before_a_model_is_asked(
    assay: Assay, mine: Mine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.production.next_labels.list_to_label", lambda *_, **__: pytest.fail("asked"))
    file = tmp_path / "next.csv"
    file.write_text("mine", encoding="utf-8")
    answer = assay(*mine.options("--next", "4", "--output", str(file)))
    assert (answer.code, file.read_text(encoding="utf-8")) == (2, "mine")
    assert f"--output names a new file that ends with .csv or .json, found {file}" in answer.err


def test_a_list_for_which_the_disk_has_no_room_is_not_left_in_part(
    assay: Assay, mine: Mine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("assay.storage.local_disk.os.write", full)
    file = tmp_path / "lists" / "next.csv"
    answer = assay(*mine.options("--next", "4", "--by", "random", "--output", str(file)))
    assert (answer.code, list(file.parent.iterdir())) == (2, [])
    assert f"{file} cannot be written: No space left on device." in answer.err


def test_the_command_offers_every_rule_of_the_study_file():
    assert get_args(Rule) == get_args(ChoiceRule)
