"""Images and masks from a folder."""

import csv
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset


class Surfaces(Dataset):
    def __init__(self, folder: Path, flip: bool = False):
        with (folder / "images.csv").open() as file:
            self.ids = [row["id"] for row in csv.DictReader(file)]
        self.folder, self.flip = folder, flip

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        name = f"{self.ids[index]}.png"
        image = cv2.imread(str(self.folder / "images" / name), cv2.IMREAD_GRAYSCALE)
        mask = cv2.imread(str(self.folder / "masks" / name), cv2.IMREAD_GRAYSCALE)
        if self.flip and torch.rand(()) < 0.5:
            image, mask = image[:, ::-1], mask[:, ::-1]
        as_tensor = lambda pixels: torch.from_numpy(np.ascontiguousarray(pixels)).float()[None] / 255
        return as_tensor(image), as_tensor(mask)
