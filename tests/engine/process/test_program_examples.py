"""The programs of docs/own-program.md train from their files as they are, and their stored models predict."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from assay.engine.process.fork_server import ForkServer
from assay.production.model import load_model
from tests.engine.process.program_trials import train_study

EXAMPLES = Path(__file__).parents[2] / "program" / "examples"
STUDY = """\
study: example
trainable: ./{file}
data: {{reader: synthetic, options: {{images: 48, positives: 24, items: 24, size: [64, 64]}}}}
config: {{image_size: [64, 64]}}
supervision: {supervision}
repeats: {{seeds: [0]}}
metrics: {{primary: image_ap}}
"""


@pytest.mark.parametrize(
    ("file", "supervision", "ap"),
    [("unet/my_unet.yaml", "full", 0.6), ("conf/spots.yaml", "weak", 0.6), ("shell/size.yaml", "weak", 0.3)],
)
def test_an_example_trains_from_its_files_as_they_are(
    tmp_path: Path, cache_root: Path, server: ForkServer, *, file: str, supervision: str, ap: float
) -> None:
    folder, name = file.split("/")
    if folder == "shell" and shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    shutil.copytree(EXAMPLES / folder, tmp_path / folder)
    study = tmp_path / folder / "example.yaml"
    study.write_text(STUDY.format(file=name, supervision=supervision))
    store, record = train_study(study, cache_root, server)
    assert record.status == "finished", record.reason
    assert record.result is not None
    assert record.result.metrics["image_ap"] > ap
    image = np.full((64, 64, 1), 100, np.uint8)
    assert 0 <= load_model(store, record).decide([image]).score[0] <= 1


@pytest.mark.parametrize(
    ("file", "supervision", "ap"),
    [
        ("networks/smp.yaml", "full", 0.6),
        ("networks/monai.yaml", "full", 0.6),
        ("padim/padim.yaml", "none", 0.6),
    ],
)
def test_a_model_of_a_library_trains_in_an_environment_of_its_own(
    tmp_path: Path, cache_root: Path, server: ForkServer, *, file: str, supervision: str, ap: float
) -> None:
    python = os.environ.get("ASSAY_VISION_PYTHON")
    if python is None:
        pytest.skip("ASSAY_VISION_PYTHON names no interpreter with the packages of docs/own-program.md")
    folder, name = file.split("/")
    shutil.copytree(EXAMPLES / folder, tmp_path / folder)
    with (tmp_path / file).open("a") as description:
        description.write(f"python: {python}\n")
    study = tmp_path / folder / "example.yaml"
    study.write_text(STUDY.format(file=name, supervision=supervision))
    _, record = train_study(study, cache_root, server)
    assert record.status == "finished", record.reason
    assert record.result is not None
    assert record.result.metrics["image_ap"] > ap
    assert record.environment.program_packages


@pytest.mark.parametrize("loss", ["bce", "dice"])
def test_the_same_network_trains_as_a_module_of_at_most_35_lines(
    tmp_path: Path, cache_root: Path, server: ForkServer, loss: str
) -> None:
    assert len((EXAMPLES / "unet" / "__init__.py").read_text().splitlines()) <= 35
    shutil.copytree(EXAMPLES / "unet", tmp_path / "unet")
    study = tmp_path / "example.yaml"
    text = STUDY.format(file="unet:TRAINABLE", supervision="full")
    study.write_text(text.replace("config: {", f"config: {{preset: one_cycle, epochs: 2, loss: {loss}, "))
    store, record = train_study(study, cache_root, server)
    assert record.status == "finished", record.reason
    image = np.full((64, 64, 1), 100, np.uint8)
    assert 0 <= load_model(store, record).decide([image]).score[0] <= 1


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*/*.yaml")), ids=lambda file: file.name)
def test_a_description_needs_at_most_fifteen_lines(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 15
