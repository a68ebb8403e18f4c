"""A terminal of 80 columns: the answer on one screen, no table cut or broken, the rest when asked for."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from math import ceil
from pathlib import Path

import numpy as np
import pytest

from assay.api.planning import read_plan
from assay.demo.demo import unpack_demo
from assay.storage import Store
from assay.storage.plans import write_plan
from assay.storage.preregistration import preregister
from assay.study import Trial
from tests.analysis.made_studies import make_record

COLUMNS = 80
_RECIPES = [
    f"{network}_{augmentation}"
    for network in ("the_published_network", "half_the_width", "twice_as_many_epochs", "a_warm_up_schedule")
    for augmentation in (
        "without_augmentation", "with_flips", "with_flips_and_rotations", "with_elastic_deformation",
        "with_photometric_changes", "with_mixed_images", "with_cut_out_rectangles", "with_all_of_these",
        "with_noise_added", "with_the_blur_of_a_lens",
    )
]  # fmt: skip
_SEGDEC = """\
trainable: segdec
data: {reader: synthetic, splits: published}
config: {preset: ksdd, image_size: [128, 64]}
"""
FORTY = f"""
study: forty
question: Which of forty recipes with long names is worth its time, and which of them can be left out?
{_SEGDEC}factors:
  recipe: {{{", ".join(f"{name}: {{config: {{epochs: {i + 1}}}}}" for i, name in enumerate(_RECIPES))}}}
design: {{full: all}}
comparisons: [{{factor: recipe, from: {_RECIPES[0]}}}]
resolve: 0.02
repeats: {{seeds: [0, 1, 2, 3, 4, 5]}}
metrics: {{primary: image_ap, report: [image_auroc, fp, fn, pixel_iou]}}
resources: {{workers: 1, cpus: 1}}
"""
# The same of a method that trains in no time.
_TOYS = FORTY.replace(
    _SEGDEC,
    "trainable: toy\n"
    "data: {reader: synthetic, options: {images: 48, positives: 24, items: 24, size: [64, 64]}}\n"
    "supervision: weak\n",
)
NOT_TRAINED = 12  # trials of the forty variants
AWAY = "http://127.0.0.1:9"  # where no MLflow answers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> Path:
    """The quickstart as it ended, and a study of forty variants with long names that has nearly ended."""
    folder = tmp_path_factory.mktemp("screen")
    unpack_demo(folder / "storage")
    (folder / "forty.yaml").write_text(_TOYS, encoding="utf-8")
    store = Store(folder / "storage")
    plan = read_plan(folder / "forty.yaml", data=None, cache=cache_root, say=lambda text: None)
    preregister(store, plan)
    write_plan(store, plan)
    place = {cell.name: number for number, cell in enumerate(plan.cells)}

    def scores(trial: Trial) -> dict[str, float]:
        random = np.random.default_rng([trial.seed, place[trial.cell]])
        ap = 0.75 + 0.1 * float(np.sin(place[trial.cell])) + float(random.normal(0, 0.02))
        counts = {"fp": float(random.integers(0, 30)), "fn": float(random.integers(0, 9))}
        return {"image_ap": ap, "image_auroc": ap - 0.01, "pixel_iou": ap / 2, **counts}

    for trial in plan.trials[NOT_TRAINED:]:
        store.write_record(make_record(trial, scores))
    return folder


def on_screen(folder: Path, cache: Path, *arguments: str) -> list[str]:
    """Lines that a command leaves on a terminal, without colours; commands to copy may be longer ones."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 200, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment |= {"TERM": "xterm", "ASSAY_CACHE": str(cache)}
    command = [sys.executable, "-m", "assay", *arguments, "--storage", "storage"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=environment, cwd=folder
    ) as process:
        os.close(theirs)
        parts: list[bytes] = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            parts.append(part)
    os.close(ours)
    lines = _drawn(b"".join(parts).decode())
    assert process.returncode == 0, lines
    return lines


def _drawn(sent: str) -> list[str]:
    """What is left of a stream to a terminal once its progress bars were drawn over and erased."""
    lines, row, column = [""], 0, 0
    for code, sign in re.findall(r"(\x1b\[[0-9;?]*[a-zA-Z])|([^\x1b])", sent):
        if code.endswith("A"):
            row -= int(code[2:-1] or 1)
        elif code.endswith("K"):
            lines[row] = ""
        elif sign == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif sign == "\r":
            column = 0
        elif sign:
            lines[row] = lines[row].ljust(column)[:column] + sign + lines[row][column + 1 :]
            column += 1
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


@pytest.mark.parametrize(
    ("arguments", "most"),
    [
        (("report", "quickstart"), 40),
        (("status", "quickstart"), 40),
        (("status",), 40),
        (("plan", "quickstart"), 40),
        (("run", "quickstart", "--local"), 40),
        (("report", "forty"), 60),
        (("status", "forty"), 60),
        (("plan", "forty.yaml"), 60),
        (("run", "forty.yaml", "--local", "--processes", "0", "--tracking-uri", AWAY), 60),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else " ".join(value[:2]),
)
def test_a_study_fits_a_screen_of_eighty_columns(
    folder: Path, cache_root: Path, arguments: tuple[str, ...], most: int
) -> None:
    lines = on_screen(folder, cache_root, *arguments)
    assert 1 < sum(max(1, ceil(len(line) / COLUMNS)) for line in lines) <= most
    assert all(len(line) <= COLUMNS or "assay " in line for line in lines)
    # Variants and comparisons have names, and no key of a study file.
    assert not re.search(r"masks=|stop=|recipe=|: \w+ → \w+|image_ap|(?<!grid )\bcells?\b", "\n".join(lines))


@pytest.mark.parametrize("study", ["quickstart", "forty"])
def test_numbers_stand_whole_in_the_tables_of_a_screen(folder: Path, cache_root: Path, study: str) -> None:
    text = "\n".join(on_screen(folder, cache_root, "report", study))
    assert "…" not in text
    assert len(re.findall(r"[+−]\d\.\d{3} \[−?\d\.\d{3}, −?\d\.\d{3}\]", text)) >= 4  # comparisons
    assert len(re.findall(r"\d\.\d{3} ± \d\.\d{3}", text)) >= 5  # variants


def test_the_rest_of_a_report_is_shown_by_the_command_that_its_end_names(
    folder: Path, cache_root: Path
) -> None:
    short = on_screen(folder, cache_root, "report", "forty")
    command = " ".join(" ".join(short).rpartition("Notes and numbers behind it: assay ")[2].split())
    assert command.startswith("report forty --notes")
    whole = on_screen(folder, cache_root, "report", "forty", "--notes")
    assert len(whole) > 2 * len(short)
    assert any("a warm up schedule with the blur of a lens" in line for line in whole)


def test_a_report_that_is_piped_is_markdown(folder: Path) -> None:
    command = [sys.executable, "-m", "assay", "report", "quickstart", "--storage", str(folder / "storage")]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.startswith("# quickstart\n")
    assert "\n## Notes\n" in out
