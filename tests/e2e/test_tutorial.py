"""The tutorial works: its blocks run from top to bottom in an empty folder, with its short settings."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.docs.pages import ROOT, Block, blocks
from tests.helpers.in_process import assay_here

PAGE = "docs/tutorial.md"
BLOCKS = [block for block in blocks("sh", "python", "yaml", "text") if block.page == PAGE]
_ID = re.compile(r"\b[0-9a-f]{16}\b")
_SHORT = {
    "epochs: 60": "epochs: 1",
    "seeds: [0, 1, 2]": "seeds: [0]",
    "seeds: [0, 1, 2, 3, 4]": "seeds: [0, 1]",
}


class Reader:
    """Somebody who follows the page: writes the files it shows and calls its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("ASSAY_", "MLFLOW_"))
            },
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("platform", "dashboard", "")),
            "ASSAY_CACHE": str(folder / "cache"),
            "COLUMNS": "100",
        }

    def call(self, line: str) -> str:
        """What a command prints, once it has ended well.

        Trainings take this process and not Ray's: the same bytes in less time.
        """
        program, *words = shlex.split(line)
        if program == "assay":
            here = ["--local", "--processes", "0"] if words[0] == "run" else []
            answer = assay_here(*words, *here, environment=self.environment, folder=self.folder)
        else:
            command = [sys.executable, *words]
            answer = subprocess.run(
                command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
            )
        assert answer.returncode == 0, f"{line}\n{answer.stdout}\n{answer.stderr}"
        return answer.stdout

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def study(self) -> str:
        return (self.folder / "surfaces.yaml").read_text(encoding="utf-8")


def block_with(text: str) -> Block:
    """The first block of the page that holds ``text`` and is no output."""
    return next(block for block in BLOCKS if text in block.text and block.language != "text")


def output_of(command: str) -> str:
    """The output that the page shows below a command."""
    at = BLOCKS.index(block_with(command))
    assert BLOCKS[at + 1].language == "text"
    return BLOCKS[at + 1].text


def plain(text: str) -> list[str]:
    """Lines without the ids of trials, which hash the bytes of the images, and without the folder's path."""
    lines = [
        re.sub(r"--data \S+", "--data …", _ID.sub("…", line)).rstrip() for line in text.strip().splitlines()
    ]
    return [line for line in lines if line]


def short(text: str) -> str:
    for written, instead in _SHORT.items():
        text = text.replace(written, instead)
    return text


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """A reader who has made the images of the first step."""
    reader = Reader(tmp_path)
    reader.write("make_images.py", block_with("paint_surface").text)
    reader.call(block_with("make_images.py").text.strip())
    return reader


def test_steps_before_the_training_print_what_the_tutorial_shows(reader: Reader) -> None:
    for command in ("assay data check", "assay init"):
        line = block_with(command).text.strip()
        assert plain(reader.call(line)) == plain(output_of(command))
    yaml = YAML(typ="safe")
    begun, finished = yaml.load(reader.study()), yaml.load(block_with("study: surfaces").text)
    added = {"factors", "design", "comparisons", "labelling", "resolve", "question"}
    assert {key: finished[key] for key in begun if key not in added} == {
        key: begun[key] for key in begun if key not in added
    }
    reader.write("surfaces.yaml", block_with("study: surfaces").text)
    assert plain(reader.call(block_with("assay plan").text.strip())) == plain(output_of("assay plan"))


@pytest.mark.timeout(600)  # six short trainings in two runs
def test_steps_from_the_training_on_work_with_the_short_settings(reader: Reader) -> None:
    reader.write("surfaces.yaml", short(block_with("study: surfaces").text))
    reader.call(block_with("assay run").text.strip())
    reader.call(block_with("--overlays").text.strip())
    assert {"answer.html", "masks.png"} <= {path.name for path in reader.folder.iterdir()}

    more = short(block_with("repeats: {seeds: [0, 1, 2, 3, 4]}").text).strip()
    reader.write("surfaces.yaml", re.sub(r"^repeats: .*$", more, reader.study(), flags=re.MULTILINE))
    for line in block_with("assay run surfaces.yaml --data surfaces\nassay report").text.splitlines():
        report = reader.call(line)
    missing = [heading for heading in _headings() if heading not in report]
    assert not missing

    trial = next(reader.folder.glob("assay-storage/trials/*/*/model")).parents[1].name
    reader.call(re.sub(r"--trial \S+", f"--trial {trial}", block_with("assay predict").text.strip()))
    assert (reader.folder / "found" / "predictions.csv").is_file()


def _headings() -> list[str]:
    """Headings of the report that the tutorial's outputs show, and first columns of its tables."""
    shown = [line for block in BLOCKS if block.language == "text" for line in block.text.splitlines()]
    return [line for line in shown if line.startswith("## ")]
