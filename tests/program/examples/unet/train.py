"""Trains the U-Net; keeps the epoch with the best loss on the validation images."""

import argparse
from pathlib import Path

import torch
from dataset import Surfaces
from model import UNet
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader


def dice(logits, masks):
    p = logits.sigmoid()
    return 1 - (2 * (p * masks).sum() + 1) / (p.sum() + masks.sum() + 1)


parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path)
parser.add_argument("--out", type=Path)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--loss", choices=["bce", "dice"])
parser.add_argument("--lr", type=float)
parser.add_argument("--epochs", type=int)
parser.add_argument("--flip", action=argparse.BooleanOptionalAction)
args = parser.parse_args()

torch.manual_seed(args.seed)
loss_of = {"bce": binary_cross_entropy_with_logits, "dice": dice}[args.loss]
train = DataLoader(Surfaces(args.data / "train", args.flip), batch_size=8, shuffle=True)
validation = DataLoader(Surfaces(args.data / "validation"), batch_size=8)
model = UNet()
optimiser = torch.optim.AdamW(model.parameters(), args.lr)
schedule = torch.optim.lr_scheduler.OneCycleLR(
    optimiser, args.lr, epochs=args.epochs, steps_per_epoch=len(train)
)
best = float("inf")
with (args.out / "log.csv").open("w") as log:
    print("epoch,train_loss,validation_loss", file=log)
    for epoch in range(args.epochs):
        model.train()
        losses = []
        for images, masks in train:
            loss = loss_of(model(images), masks)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            value = sum(loss_of(model(x), y).item() for x, y in validation) / max(1, len(validation))
        print(f"{epoch},{sum(losses) / len(losses)},{value}", file=log, flush=True)
        if value < best:
            best = value
            torch.save(model.state_dict(), args.out / "best.pt")
