"""The measurements of a GPU, proved where there is none: each part runs, and what fails stays its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.check import BEGIN, run_part
from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.runs import Bench, LeftOutError
from benchmarks.shared import END

ROOT = Path(__file__).parents[2]
CPU = Bench(torch.device("cpu"), quick=True)


def _fails(_bench: Bench) -> Iterator[str]:
    yield "first row"
    raise RuntimeError("CUDA error: an illegal memory access")


def _lasts(_bench: Bench) -> Iterator[str]:
    yield "first row"
    time.sleep(600)


def _dies(_bench: Bench) -> Iterator[str]:
    yield "first row"
    sys.exit(7)


def _is_left_out(_bench: Bench) -> Iterator[str]:
    yield "first row"
    raise LeftOutError("ray is not installed here.")


@pytest.mark.parametrize(
    ("part", "last"),
    [
        (_fails, "\nError: RuntimeError: CUDA error: an illegal memory access"),
        (_lasts, "\nCut after 2 s, the limit of this part."),
        (_dies, "\nThe part's process ended with code 7."),
        (_is_left_out, "Left out: ray is not installed here."),
    ],
)
def test_a_part_that_goes_wrong_says_so_after_what_it_has_measured(part: object, last: str) -> None:
    assert list(run_part(part, CPU, 2.0)) == ["first row", last]


def test_every_part_runs_on_a_cpu_without_the_platform_and_is_written_to_the_page(
    tmp_path: Path,
) -> None:
    page = tmp_path / "gpu.md"
    page.write_text(f"Before.\n{BEGIN}old\n{END}After.\n", encoding="utf-8")
    done = _gpu_check("--device", "cpu", "--quick", "--output", str(page))
    assert done.returncode == 0, done.stderr
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    block, _, after = rest.partition(END)
    assert (before, after) == ("Before.\n", "After.\n")
    sections = dict(part.split("\n\n", 1) for part in block.strip().split("### ")[1:])
    assert list(sections) == list(PARTS)
    for title, text in sections.items():
        assert "Error:" not in text, f"{title}: {text}"
        assert "ended with code" not in text, f"{title}: {text}"
        assert ("Left out" in text) == (title == "A study on shares of a GPU"), f"{title}: {text}"
    assert "equal to the bit | equal to the bit" in sections["Repeatability"]
    assert sections["Training steps of SegDecNet"].count("| 64 × 128 |") == 5
    assert sections["A study on shares of a GPU"].strip() == "Left out: ray is not installed here."


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_sentence_says_so() -> None:
    done = _gpu_check()
    assert done.returncode == 2
    assert done.stderr.startswith("error: torch sees no GPU here")
    assert done.stderr.count("\n") == 1


def test_the_parts_together_take_ten_minutes_at_most() -> None:
    assert sum(limit for _, limit in PARTS.values()) <= 600


# A machine for GPUs often lacks most of what assay needs: the measurements do without.
_WITHOUT = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"ray", "mlflow", "optuna", "streamlit", "assay", "typer", "ruamel"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
runpy.run_module("benchmarks.gpu.check", run_name="__main__", alter_sys=True)
"""


def _gpu_check(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
