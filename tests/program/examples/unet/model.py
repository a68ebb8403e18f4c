"""A small U-Net with batch normalisation and dropout."""

import torch
from torch import nn


def block(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Dropout2d(0.1),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class UNet(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.top, self.middle = block(1, width), block(width, 2 * width)
        self.up, self.last = block(3 * width, width), nn.Conv2d(width, 1, 1)

    def forward(self, x):
        top = self.top(x)
        middle = self.middle(nn.functional.max_pool2d(top, 2))
        up = nn.functional.interpolate(middle, scale_factor=2)
        return self.last(self.up(torch.cat([top, up], dim=1)))
