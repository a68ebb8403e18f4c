"""A study whose method is a file beside it, as a user writes both."""

from __future__ import annotations

from pathlib import Path

from assay.study import Plan, plan_study, read_study
from trainables.data import open_manifest

__all__ = ["CODE", "STUDY", "plan_of", "write"]

CODE = """\
from dataclasses import replace

from assay_toy import method

TRAINABLE = replace(method.TRAINABLE, name="blur", title="Blur")
"""
STUDY = """\
study: own
trainable: ./blur.py:TRAINABLE
data: {reader: synthetic, options: {images: 48, positives: 24, items: 24, size: [32, 32]}}
supervision: weak
config: {epochs: 2}
repeats: {seeds: [0]}
keep: {models: all, probes: 2}
"""


def write(folder: Path, code: str = CODE) -> Path:
    """Write the method and the study into a folder; returns the study file."""
    folder.mkdir(exist_ok=True)
    (folder / "blur.py").write_text(code)
    (folder / "own.yaml").write_text(STUDY)
    return folder / "own.yaml"


def plan_of(study: Path, cache: Path) -> Plan:
    """The plan of a study file on its images."""
    return plan_study(read_study(study), lambda spec: open_manifest(spec, None, cache), "cpu")
