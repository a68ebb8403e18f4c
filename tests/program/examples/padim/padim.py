"""anomalib's PaDiM by its own engine: fitted to normal images, without downloaded weights."""

import argparse
import csv
import shutil
from pathlib import Path

import numpy as np
from anomalib.data import Folder, PredictDataset
from anomalib.engine import Engine
from anomalib.models import Padim
from lightning import seed_everything

parser = argparse.ArgumentParser()
parser.add_argument("mode", choices=["train", "predict"])
parser.add_argument("--data", type=Path)
parser.add_argument("--out", type=Path)
parser.add_argument("--answers", type=Path)
parser.add_argument("--seed", type=int)
parser.add_argument("--size", type=int, nargs=2)
args = parser.parse_args()

seed_everything(args.seed)
size = tuple(args.size)
# Without the post-processor scores are distances; with it they are cut to [0, 1] by a few normal images.
model = Padim(
    pre_trained=False,
    pre_processor=Padim.configure_pre_processor(size),
    post_processor=False,
    evaluator=False,
    visualizer=False,
)
engine = Engine(default_root_dir=args.out / "run", accelerator="cpu", devices=1, logger=False, max_epochs=1)
if args.mode == "train":
    normal = args.out / "normal"
    normal.mkdir()
    with (args.data / "train" / "images.csv").open() as file:
        for row in csv.DictReader(file):
            if row["label"] == "0":
                shutil.copy(args.data / "train" / "images" / f"{row['id']}.png", normal)
    folder = Folder(
        name="surface", root=args.out, normal_dir="normal", test_split_mode="none",
        val_split_mode="from_train", val_split_ratio=0.1, num_workers=0,
    )  # fmt: skip
    engine.fit(model, datamodule=folder)
    engine.trainer.save_checkpoint(args.out / "padim.ckpt")
else:
    (args.answers / "maps").mkdir()
    found = engine.predict(
        model, dataset=PredictDataset(args.data, image_size=size), ckpt_path=args.out / "padim.ckpt"
    )
    with (args.answers / "scores.csv").open("w") as scores:
        print("id,score", file=scores)
        for batch in found:
            for path, score, heat in zip(batch.image_path, batch.pred_score, batch.anomaly_map, strict=True):
                print(f"{Path(path).stem},{score.item()}", file=scores)
                np.save(args.answers / "maps" / f"{Path(path).stem}.npy", heat.squeeze().numpy())
