"""The recipe of a node's image: what can be said of it without building it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "Containerfile").read_text(encoding="utf-8").replace("\\\n", "")
PINNED = (ROOT / "requirements.txt").read_text(encoding="utf-8")
COPIED = [line.split()[1:] for line in RECIPE.splitlines() if line.startswith("COPY")]


def default(argument: str) -> str:
    (value,) = re.findall(rf"^ARG {argument}=(\S+)$", RECIPE, re.MULTILINE)
    return value


def test_an_image_has_the_ray_that_is_pinned_unless_another_one_is_asked_for() -> None:
    (wanted,) = re.findall(r'"(ray\[\S+==\$\{RAY\})"', RECIPE)
    (pinned,) = re.findall(r"^ray\S+", PINNED, re.MULTILINE)
    assert wanted.replace("${RAY}", default("RAY")) == pinned


def test_an_image_has_every_other_package_as_it_is_pinned(tmp_path: Path) -> None:
    (command,) = re.findall(r"^RUN (grep .+? > others\.txt)", RECIPE, re.MULTILINE)
    (tmp_path / "requirements.txt").write_text(PINNED, encoding="utf-8")
    subprocess.run(["bash", "-ec", command], cwd=tmp_path, check=True)
    kept = (tmp_path / "others.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in PINNED.splitlines() if line not in kept] == re.findall(r"(?m)^ray\b.*$", PINNED)


def test_an_image_has_a_python_on_which_assay_runs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={default('PYTHON')}"


def test_what_is_copied_is_enough_to_install_assay(tmp_path: Path) -> None:
    for *sources, target in COPIED:
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(
                    ROOT / source, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                shutil.copy(ROOT / source, tmp_path / target)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    wanted = {"assay/__main__.py", "assay/studies/quickstart.yaml", "assay_dashboard/app.py"}
    assert wanted | {"trainables/run.py"} <= set(names)
