"""The code of CONTRIBUTING's "A method of your own, whole" is whole: it trains, or is that of the plug-in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from assay.study import plan_study, read_study
from assay.study.file.starter import method_files
from assay.study.settings.methods import method_files as files_of_study
from tests.docs.pages import blocks
from trainables.contract import LocalRun
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.spec import Supervision
from trainables.data.tensors import images_to_tensor
from trainables.plugins.catalogue import find_trainable

CODE = [block.text for block in blocks("python") if block.page == "CONTRIBUTING.md"]
PLUGIN = {path: text for path, text in method_files("my_method").items() if path.endswith(".py")}
STUDY = """\
study: blur
trainable: ./blur.py:TRAINABLE
data: {reader: synthetic}
supervision: none
config: {image_size: [32, 32]}
"""


def surfaces(count: int = 12) -> ImageSet:
    """Flat noise; the first half has a bright spot."""
    rng = np.random.default_rng(0)
    images = {
        f"s{i:02d}": rng.normal(100, 5, (32, 32, 1)).clip(0, 255).astype(np.uint8) for i in range(count)
    }
    for name in list(images)[: count // 2]:
        images[name][10:14, 10:14] = 200
    return ImageSet(tuple(images), np.arange(count) < count // 2, images)


def test_the_method_in_one_file_trains_and_tells_defects_apart(tmp_path: Path) -> None:
    (code,) = (text for text in CODE if text.startswith('"""Defects as what differs'))
    (tmp_path / "blur.py").write_text(code)
    (tmp_path / "blur.yaml").write_text(STUDY)
    study = read_study(tmp_path / "blur.yaml")
    assert files_of_study(study) == {"blur.py": code.encode()}
    (name,) = plan_study(study, None, "cpu").trainables
    method, images = find_trainable(name), surfaces()
    config = method.Config.model_validate({"image_size": [32, 32]})
    data = TrainingData(images, None, Supervision.model_validate("weak"))
    method.fit(config, data, LocalRun()).save(tmp_path)
    batch = images_to_tensor([sample.image for sample in images], torch.device("cpu"))
    score = method.load(tmp_path).predict(batch).score
    assert score[:6].min() > score[6:].max()


@pytest.mark.parametrize("path", PLUGIN)
def test_the_plugins_code_is_shown_as_init_writes_it(path: str) -> None:
    assert PLUGIN[path] in CODE
