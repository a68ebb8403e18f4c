"""Scores all images of a folder: an image is as defective as its most defective pixel."""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from model import UNet

parser = argparse.ArgumentParser()
parser.add_argument("--model", type=Path)
parser.add_argument("--images", type=Path)
parser.add_argument("--out", type=Path)
args = parser.parse_args()

model = UNet()
model.load_state_dict(torch.load(args.model, weights_only=True))
model.eval()
(args.out / "maps").mkdir()
with (args.out / "scores.csv").open("w") as scores, torch.no_grad():
    print("id,score", file=scores)
    for path in sorted(args.images.glob("*.png")):
        image = torch.from_numpy(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)).float()[None, None] / 255
        p = model(image).sigmoid()[0, 0].numpy()
        print(f"{path.stem},{p.max()}", file=scores)
        np.save(args.out / "maps" / f"{path.stem}.npy", p)
