"""A command that finds no room for a file names it, and leaves nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.storage import Store
from tests.cli.test_init import make_images
from tests.helpers.mounting import in_own_mounts
from tests.production.trained import train

ROOT = Path(__file__).parents[2]
Answers = dict[str, dict[str, Any]]

# The arguments, what is named, and what is left.
CASES: dict[str, tuple[str, str, list[str]]] = {
    "report": ("report toy --output r.html --storage {storage}", "r.html", []),
    "export": ("export --trial {trial} --to mlflow --output m --storage {storage} --cache {cache}", "m", []),
    "overlays": ("predict --trial {trial} {good} --output p --storage {storage}", "p", ["p/predictions.csv"]),
    "coco": (
        "predict --trial {trial} {good} --output p --storage {storage} --no-overlays --annotations coco",
        "p",
        ["p/predictions.csv"],
    ),
    "labelme": (
        "predict --trial {trial} {good} --output p --storage {storage} --no-overlays --annotations labelme",
        "p",
        ["p/predictions.csv"],
    ),
    "init: the sheet": ("init --images {images} --output s.yaml --cache {cache}", "contact_sheet.png", []),
    "init: a plug-in": ("init --method blur_net", "blur_net", []),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> Answers:
    folder = tmp_path_factory.mktemp("full")
    images = make_images(folder / "own")
    record = train("toy", Store(folder / "storage"), cache_root)
    places = {"storage": folder / "storage", "cache": cache_root, "trial": record.id}
    known = {**places, "images": images, "good": images / "good"}
    cases = {name: [word.format(**known) for word in line.split()] for name, (line, _, _) in CASES.items()}
    program = [sys.executable, "-m", "tests.cli.full_disk", str(folder), json.dumps(cases)]
    done = subprocess.run(
        in_own_mounts(program), capture_output=True, text=True, cwd=ROOT, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES)
def test_a_full_disk_is_told_with_the_file_and_leaves_nothing_half_written(
    case: str, answers: Answers
) -> None:
    _, named, left = CASES[case]
    answer = answers[case]
    assert answer["code"] == 2
    assert f"error: {named} cannot be written: No space left on device." in answer["said"]
    assert answer["left"] == left
