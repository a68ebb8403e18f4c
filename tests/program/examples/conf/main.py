"""Defects as what differs from a blurred copy; settings come from a folder `conf/` and from `key=value`."""

import csv
import json
import sys
from pathlib import Path

import cv2
import numpy as np

mode, overrides = sys.argv[1], dict(word.split("=", 1) for word in sys.argv[2:])
conf = dict(line.split(" = ") for line in Path("conf", f"{overrides['blur']}.txt").read_text().splitlines())
out = Path(overrides["out"])
if mode == "train":
    with Path(overrides["data"], "train", "images.csv").open() as file:
        images = sum(row["label"] == "0" for row in csv.DictReader(file))
    (out / "run.json").write_text(
        json.dumps({**conf, "sigma": float(overrides["blur.sigma"]), "normal": images})
    )
    sys.exit()

run, answers = json.loads((out / "run.json").read_text()), Path(overrides["answers"])
side = 2 * int(2 * run["sigma"]) + 1
(answers / "maps").mkdir()
with (answers / "scores.csv").open("w") as file:
    print("id,score", file=file)
    for path in sorted(Path(overrides["images"]).glob("*.png")):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32)
        smooth = {"gaussian": cv2.GaussianBlur, "box": cv2.blur}[run["kind"]]
        blurred = (
            smooth(image, (side, side), run["sigma"])
            if run["kind"] == "gaussian"
            else smooth(image, (side, side))
        )
        difference = np.abs(image - blurred)
        print(f"{path.stem},{difference.max()}", file=file)
        np.save(answers / "maps" / f"{path.stem}.npy", difference)
