"""Folders as people lay them out, crossed: names × depth × naming of masks × empty masks × format.

``python -m tests.data.layout_trials [COUNT]`` makes so many of them (all without a number), has `assay init`
look at each, and counts those that are read, refused and misread. What is read must have the normal and
defective images that were made, each defective one with its mask: a mask is never a photo. A setting that a
refusal names is tried, and has to read the layout.
"""

from __future__ import annotations

import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.data.made_images import noise, write
from trainables.data.inspect.survey import survey_images
from trainables.errors import InputError

__all__ = ["Outcome", "Trial", "all_trials", "run_trial", "some_trials"]

_GOOD = ("good", "OK", "normal")
_BAD = ("defect", "NG", "Anomaly", "ko")
_IMAGES = ("images", "Img", "JPEGImages", "img_dir")
# The last three are no word for masks: such folders are read where they hold nothing else, or refused.
_MASKS = (
    "masks",
    "Mask",
    "ground_truth",
    "GT",
    "labels",
    "annotations",
    "seg",
    "ann_dir",
    "outlines",
    "x",
    "new",
)
# Of one word each: the good images, those of defects, and their masks. {g}, {b}, {i} and {m} are names.
_PLACES = (
    ("{g}", "{b}", "{m}"),
    ("{g}", "{b}", "{b}"),
    ("{i}/{g}", "{i}/{b}", "{m}/{b}"),
    ("{g}/{i}", "{b}/{i}", "{b}/{m}"),
    ("data/{i}/{g}", "data/{i}/{b}", "data/{m}/{b}"),
    ("{g}", "scratch", "scratch_{m}"),
    ("{g}", "scratch", "{m}_scratch"),
    ("{g}", "scratch", "{m}/scratch"),
    ("{g}/{i}", "scratch/{i}", "scratch/{m}"),
    ("{g}", "{b}/hole", "{m}/hole"),
    ("{g}", "{b}/hole", "{m}"),
    ("{i}", "{i}", "{m}"),
    ("{i}/train", "{i}/train", "{m}/train"),
    ("train_{i}", "train_{i}", "train_{m}"),
    ("train/{i}", "train/{i}", "train/{m}"),
    ("train", "train", "train_{m}"),
    ("train/{g}", "test/{b}", "{m}/{b}"),
    ("train/{g}", "train/{b}", "train/{m}"),
    ("line1/{g}", "line1/{b}", "line1/{m}"),
    ("line1/{g}/{i}", "line1/{b}/{i}", "line1/{b}/{m}"),
    (".", ".", "{m}"),
)
_NAMINGS = ("{}", "{}_mask", "gt_{}", "{}_label", "{}-GroundTruth", "{}_zz")
_FORMATS = (".png", ".bmp", ".jpg")
_COUNTS = (5, 4)  # normal and defective images
# In the order of a trial's fields.
_AXES: tuple[tuple[Any, ...], ...] = (
    _PLACES,
    tuple(product(_GOOD, _BAD, _IMAGES, _MASKS)),
    _NAMINGS,
    _FORMATS,
    (1, 255),
    (False, True),
    (False, True),
)


class Trial(NamedTuple):
    """A layout."""

    places: tuple[str, str, str]
    names: tuple[str, str, str, str]  # of folders of normal and defective images, of images and of masks
    naming: str
    format: str
    value: int  # of defects in masks
    empty: bool  # normal images have a mask too, which is empty
    alike: bool  # images of both kinds have the same names


class Outcome(NamedTuple):
    """Result of a trial; what was read, or why not."""

    kind: str  # read, refused or misread
    text: str


def all_trials() -> Iterator[Trial]:
    """Every layout of which the images can be told from each other."""
    trials = (Trial(*crossed) for crossed in product(*_AXES))
    return (trial for trial in trials if _can_be_told_apart(trial))


def some_trials(count: int) -> list[Trial]:
    """So many layouts, the same each time: drawn one by one, since there are a million of them."""
    rng = random.Random(0)
    drawn: dict[Trial, None] = {}
    while len(drawn) < count:
        trial = Trial(*map(rng.choice, _AXES))
        if _can_be_told_apart(trial):
            drawn[trial] = None
    return list(drawn)


def _can_be_told_apart(trial: Trial) -> bool:
    good, bad, masks = (_place(trial, at) for at in range(3))
    if good == bad and (trial.alike or not trial.empty):
        return False  # one folder holds no name twice, and every image in it needs a mask
    return bad != masks or trial.naming != "{}"


def _place(trial: Trial, at: int) -> str:
    good, bad, images, masks = trial.names
    return trial.places[at].format(g=good, b=bad, i=images, m=masks)


def _mask(trial: Trial, seed: int) -> NDArray[np.uint8]:
    mask = np.zeros((32, 48), np.uint8)
    if seed >= 0:
        mask[8 : 18 + seed, 10 : 24 + seed] = 255 if trial.format == ".jpg" else trial.value
    return mask


def make(trial: Trial, root: Path) -> None:
    """Write the images and masks of a layout."""
    good, bad, masks = (root / _place(trial, at) for at in range(3))
    # Masks of normal images lie as those of defective ones do.
    good_masks = Path(str(masks).replace(f"/{trial.names[1]}", f"/{trial.names[0]}"))
    for number in range(_COUNTS[0]):
        stem = f"a{number}" if trial.alike else f"good{number}"
        write(good / f"{stem}.png", noise(number, 32, 48))
        if trial.empty and (good_masks != masks or not trial.alike):
            write(good_masks / f"{trial.naming.format(stem)}{trial.format}", _mask(trial, -1))
    for number in range(_COUNTS[1]):
        stem = f"a{number}" if trial.alike else f"bad{number}"
        write(bad / f"{stem}.png", noise(100 + number, 32, 48))
        write(masks / f"{trial.naming.format(stem)}{trial.format}", _mask(trial, number))


def run_trial(trial: Trial, folder: Path) -> Outcome:
    """Make a layout in an empty folder and look at it."""
    make(trial, folder / "root")
    options: dict[str, Any] = {"mask_above": 0} if trial.value == 1 else {}
    try:
        return _read(folder, options)
    except InputError as error:
        text = str(error)
    # The setting that a refusal names has to read the layout; JPEGs are no masks with any setting.
    advice = re.search(r"Set (masks: .*?) in data\.options", text)
    if advice is None or trial.format == ".jpg":
        return Outcome("refused", text)
    settings = dict(setting.split(": ") for setting in advice[1].split(", "))
    outcome = _read(folder, options | {name: value.strip('"') for name, value in settings.items()})
    return Outcome("refused", text) if outcome.kind == "read" else outcome


def _read(folder: Path, options: dict[str, Any]) -> Outcome:
    survey = survey_images(folder / "root", folder / "cache", options)
    counts = (survey.normal, survey.defective, survey.with_mask)
    text = f"{counts} by {survey.spec.reader} {survey.spec.options}"
    return Outcome("read" if counts == (*_COUNTS, _COUNTS[1]) else "misread", text)


def main(count: int | None) -> int:
    """Run trials and print their counts and what was misread; the number of those."""
    trials = list(all_trials()) if count is None else some_trials(count)
    counts: Counter[str] = Counter()
    for trial in trials:
        folder = Path(tempfile.mkdtemp())
        outcome = run_trial(trial, folder)
        shutil.rmtree(folder)
        counts[outcome.kind] += 1
        if outcome.kind == "misread":
            sys.stdout.write(f"{trial}: {outcome.text}\n")
    kinds = ", ".join(f"{counts[kind]} {kind}" for kind in ("read", "refused", "misread"))
    sys.stdout.write(f"{len(trials)} tried: {kinds}\n")
    return counts["misread"]


if __name__ == "__main__":
    sys.exit(bool(main(int(sys.argv[1]) if len(sys.argv) > 1 else None)))
