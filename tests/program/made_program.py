"""A small training program in plain Python, described by a YAML file, as a user has both."""

from __future__ import annotations

import textwrap
from pathlib import Path

from assay.study import Plan, plan_study, read_study
from trainables.data import open_manifest

__all__ = ["DESCRIPTION", "PREDICT", "STUDY", "TRAIN", "plan_of", "write_program"]

TRAIN = """\
import argparse, csv, os, pathlib, sys, time
parser = argparse.ArgumentParser()
for name in ("--data", "--out", "--resume"):
    parser.add_argument(name, type=pathlib.Path)
parser.add_argument("--seed", type=int)
parser.add_argument("--gain", type=float)
args = parser.parse_args()
data, out = args.data, args.out
rows = list(csv.DictReader(open(data / "train/images.csv")))
{body}
(out / "model.txt").write_text(f"{{args.seed}} {{args.gain}}")
"""
PREDICT = """\
import argparse, pathlib
import cv2
parser = argparse.ArgumentParser()
for name in ("--model", "--images", "--out"):
    parser.add_argument(name, type=pathlib.Path)
args = parser.parse_args()
out, (seed, gain) = args.out, map(float, args.model.read_text().split())
(out / "maps").mkdir()
scores = {{}}
for path in sorted(args.images.glob("*.png")):
    image = cv2.imread(str(path), 0)
    scores[path.stem] = image.max() / 255 * gain
    cv2.imwrite(str(out / "maps" / path.name), image)
{body}
(out / "scores.csv").write_text("id,score\\n" + "".join(f"{{k}},{{v}}\\n" for k, v in scores.items()))
"""
DESCRIPTION = """\
files: [train.py, predict.py]
train: "{python} train.py --data {data} --out {out} --seed {seed} {settings}"
predict: "{python} predict.py --model {out}/model.txt --images {images} --out {answers}"
settings:
  gain: {float: [0, 1], default: 0.9, says: how bright is defective}
"""
STUDY = """\
study: own
trainable: ./bright.yaml
data: {reader: synthetic, options: {images: 24, positives: 12, items: 12, size: [64, 64]}}
config: {image_size: [32, 32]}
repeats: {seeds: [0]}
metrics: {primary: image_ap}
"""


def write_program(
    folder: Path,
    train: str = "",
    predict: str = "",
    *,
    description: str = DESCRIPTION,
    study: str = STUDY,
) -> Path:
    """Write study, description and program, with further lines in it; returns the study file."""
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(TRAIN.format(body=textwrap.dedent(train)))
    (folder / "predict.py").write_text(PREDICT.format(body=textwrap.dedent(predict)))
    (folder / "bright.yaml").write_text(description)
    (folder / "own.yaml").write_text(study)
    return folder / "own.yaml"


def plan_of(study: Path, cache: Path | None = None, data: Path | None = None) -> Plan:
    """The plan of a study file; on its images if there is a folder for them, with ``data`` as their root."""
    opened = None if cache is None else lambda spec: open_manifest(spec, data, cache)
    return plan_study(read_study(study), opened, "cpu")
