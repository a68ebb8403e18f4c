"""Trains a network of a library on masks, or scores images with it."""

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image

parser = argparse.ArgumentParser()
parser.add_argument("mode", choices=["train", "predict"])
parser.add_argument("--net", choices=["smp", "monai"])
parser.add_argument("--data", type=Path)
parser.add_argument("--out", type=Path)
parser.add_argument("--answers", type=Path)
parser.add_argument("--seed", type=int)
parser.add_argument("--epochs", type=int)
args = parser.parse_args()


def network():
    if args.net == "smp":
        import segmentation_models_pytorch as smp

        return smp.Unet("resnet18", encoder_weights=None, in_channels=1)
    from monai.networks.nets import BasicUNet

    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=1, features=(8, 8, 16, 16, 32, 8))


def grey(path):
    return torch.from_numpy(np.array(Image.open(path).convert("L"), np.float32))[None] / 255


torch.manual_seed(args.seed)
net = network()
if args.mode == "train":
    with (args.data / "train" / "images.csv").open() as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    images, masks = (
        torch.stack([grey(args.data / "train" / kind / f"{name}.png") for name in ids])
        for kind in ("images", "masks")
    )
    optimiser = torch.optim.AdamW(net.parameters(), 0.003)
    for _ in range(args.epochs):
        for batch in torch.randperm(len(ids)).split(8):
            if len(batch) < 2:  # batch normalisation wants two
                continue
            logits = net(images[batch])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, masks[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    torch.save(net.state_dict(), args.out / "last.pt")
else:
    net.load_state_dict(torch.load(args.out / "last.pt", weights_only=True))
    net.eval()
    (args.answers / "maps").mkdir()
    with (args.answers / "scores.csv").open("w") as scores, torch.no_grad():
        print("id,score", file=scores)
        for path in sorted(args.data.glob("*.png")):
            p = net(grey(path)[None]).sigmoid()[0, 0].numpy()
            print(f"{path.stem},{p.max()}", file=scores)
            np.save(args.answers / "maps" / f"{path.stem}.npy", p)
