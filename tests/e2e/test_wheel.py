"""Wheel and source archive as users install them: in an environment of its own, used from an empty folder."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tarfile
import time
import urllib.error
import urllib.request
import venv
import zipfile
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

from assay.extras import EXTRAS
from tests.e2e.small_study import ROOT, small_text
from tests.helpers.ports import free_port

PACKAGES = {
    "assay": "platform/assay",
    "assay_dashboard": "dashboard/assay_dashboard",
    "trainables": "trainables",
}
_OURS = ("PYTHON", "ASSAY_", "RAY_ADDRESS")  # variables that lead to this checkout, or to another cluster
STARTS_WITHIN = 60  # seconds, the dashboard


class Installation(NamedTuple):
    """An environment with the wheel in it, and an empty folder to work in."""

    wheel: Path
    wheel_of_source: Path
    site_packages: Path
    programs: Path
    folder: Path
    cache: Path

    def run(self, *command: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """A program of the environment, which sees nothing of this checkout."""
        return subprocess.run(
            [self.programs / command[0], *command[1:]],
            cwd=folder or self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    @property
    def environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        return {**own, "ASSAY_CACHE": str(self.cache)}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> Installation:
    """The wheel of the source archive, installed beside the libraries that these tests run with."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--directory"]
    subprocess.run([*build, folder], cwd=ROOT, check=True, capture_output=True)
    (wheel,), (archive,) = folder.glob("*.whl"), folder.glob("*.tar.gz")

    # pip installs a source archive so: it unpacks it, and builds a wheel there.
    with tarfile.open(archive) as packed:
        packed.extractall(folder / "source", filter="data")
    (source,) = (folder / "source").iterdir()
    subprocess.run(
        [*build, folder / "built", "--target", "wheel"], cwd=source, check=True, capture_output=True
    )
    (wheel_of_source,) = (folder / "built").glob("*.whl")

    venv.create(folder / "venv", with_pip=False)
    (site_packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv/bin/python"), "install", "--no-deps"]
    subprocess.run([*pip, "--no-index", str(wheel_of_source)], check=True, capture_output=True)
    (site_packages / "libraries.pth").write_text(
        str(_libraries_without_optional_ones(folder / "libraries" / "site-packages"))
    )
    empty = folder / "empty"
    empty.mkdir()
    return Installation(wheel, wheel_of_source, site_packages, folder / "venv" / "bin", empty, cache_root)


def _libraries_without_optional_ones(folder: Path) -> Path:
    """A folder with a link to each library of this environment that assay cannot do without."""
    optional = {package for extra in EXTRAS.values() for package in extra.needs}
    folder.mkdir(parents=True)
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        # An editable install is a .pth file that leads to this checkout.
        if entry.suffix != ".pth" and entry.name.split("-")[0] not in optional:
            (folder / entry.name).symlink_to(entry)
    return folder


def test_the_wheel_puts_its_own_three_names_into_site_packages_and_no_other(installed: Installation) -> None:
    names = {
        path.name for path in installed.site_packages.iterdir() if path.suffix not in (".pth", ".dist-info")
    }
    assert names == set(PACKAGES)


def test_the_source_archive_makes_the_same_wheel(installed: Installation) -> None:
    ours, theirs = zipfile.ZipFile(installed.wheel), zipfile.ZipFile(installed.wheel_of_source)
    assert theirs.namelist() == ours.namelist()
    assert [name for name in ours.namelist() if theirs.read(name) != ours.read(name)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_in_the_wheel(installed: Installation, package: str) -> None:
    root = ROOT / PACKAGES[package]
    files = {path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    names = {f"{package}/{path.relative_to(root).as_posix()}" for path in files}
    wanted = {name for name in names if not fnmatch(name, "assay/extras/*/tests/*")}
    assert wanted <= set(zipfile.ZipFile(installed.wheel).namelist())


def test_what_runs_is_the_wheel_and_not_this_checkout(installed: Installation) -> None:
    lines = [f"import {package}; print({package}.__file__)" for package in PACKAGES]
    shown = installed.run("python", "-c", "\n".join(lines))
    files = [str(installed.site_packages / package / "__init__.py") for package in PACKAGES]
    assert shown.stdout.split() == files, shown.stderr


def test_all_studies_of_the_repository_come_with_the_wheel(installed: Installation) -> None:
    shown = installed.run("assay", "studies")
    assert shown.returncode == 0, shown.stderr
    assert all(path.stem in shown.stdout for path in (ROOT / "studies").rglob("*.yaml"))


@pytest.mark.ray
def test_an_empty_folder_is_enough_to_train_report_and_look_at_a_study(installed: Installation) -> None:
    planned = installed.run("assay", "plan", "quickstart", "--no-data")
    assert "= 30 trials" in planned.stdout, planned.stderr
    copied = installed.run("assay", "studies", "copy", "quickstart")
    assert copied.stdout.startswith("wrote quickstart.yaml\n"), copied.stderr
    smaller = small_text(seeds="0", epochs=1).replace("study: small", "study: quickstart")
    (installed.folder / "quickstart.yaml").write_text(smaller)
    trained = installed.run("assay", "run", "quickstart", "--cpus", "1")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "5 finished; 5 trained now" in trained.stdout
    reported = installed.run("assay", "report", "quickstart", "--output", "report.html")
    assert reported.returncode == 0, reported.stderr
    assert "<style>" in (installed.folder / "report.html").read_text()
    assert _dashboard_answers(installed) == "ok"


@pytest.mark.parametrize("name", EXTRAS)
def test_a_command_of_an_extra_answers_in_an_empty_folder_without_optional_packages(
    installed: Installation, tmp_path: Path, name: str
) -> None:
    answers = [
        installed.run(*shlex.split(words.split(">")[0]), folder=tmp_path) for words in EXTRAS[name].commands
    ]
    for done in answers:
        assert done.returncode in (0, 2), done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        if done.returncode == 2:
            assert done.stderr.splitlines()[-1].startswith("error: ")
    lacking = any(f"Install it: pip install 'assay[{name}]'" in done.stderr for done in answers)
    assert lacking == bool(EXTRAS[name].needs)


def _dashboard_answers(installed: Installation) -> str:
    """What the dashboard's server says of its health."""
    port = str(free_port())
    command = [installed.programs / "assay", "dashboard", "--port", port]
    server = subprocess.Popen(
        command, cwd=installed.folder, env=installed.environment, stdout=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + STARTS_WITHIN
        while server.poll() is None and time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1) as answer:
                    return answer.read().decode()
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
    finally:
        server.terminate()
        server.wait(20)
    return f"the server ended with {server.returncode}"
