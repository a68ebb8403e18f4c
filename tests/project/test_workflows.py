"""The workflows of GitHub run what the repository has: `.ci/run` and targets of the Makefile."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def read(path: Path) -> dict[str, Any]:
    return YAML(typ="safe").load(path)


def commands(path: Path) -> list[str]:
    """The scripts of a workflow's steps, in order."""
    jobs = read(path)["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_scripts_and_targets_that_exist(path: Path) -> None:
    calls = [
        shlex.split(re.sub(r"\$\{\{.*?\}\}", "X", line))
        for script in commands(path)
        for line in script.splitlines()
    ]
    targets = {word for words in calls if words[0] == "make" for word in words[1:] if "=" not in word}
    scripts = {words[1] for words in calls if words[0] == "bash"}
    assert targets | scripts
    assert targets <= TARGETS
    assert [name for name in scripts if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_steps_of_a_workflow_are_shell(path: Path) -> None:
    for script in commands(path):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_every_push_and_pull_request_runs_what_ci_runs_elsewhere() -> None:
    path = ROOT / ".github" / "workflows" / "ci.yml"
    assert {"push", "pull_request"} <= read(path)["on"].keys()
    assert "bash .ci/run" in commands(path)


def test_a_tag_builds_wheel_source_and_site() -> None:
    path = ROOT / ".github" / "workflows" / "release.yml"
    assert read(path)["on"]["push"].keys() == {"tags"}
    assert "make dist docs" in commands(path)
    uploads = [step["with"]["path"] for step in read(path)["jobs"]["build"]["steps"] if "upload" in str(step)]
    assert uploads == ["dist/", "build/docs/"]
