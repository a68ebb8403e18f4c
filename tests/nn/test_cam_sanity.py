"""A trained net's maps find what it was never shown where to find, and forget it with its weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor, nn

from trainables.nn.cam.activation import GRADIENT_MAPS, CamHead, GradientMap, score_gradients
from trainables.nn.choices import ResNetShape
from trainables.nn.layers.initialisation import initialise
from trainables.nn.layers.pooling import enlarge_cells
from trainables.nn.layers.resnet import ResNet18s

SIDE = 48


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        shape = ResNetShape(channels=1, width=8, stem="mid", stages=2, blocks=1, output_stride=4)
        self.backbone = ResNet18s(shape)
        self.head = CamHead(shape.widths[-1], "lse", top_share=1, lse_r=5)
        initialise(self, 0)


def scenes(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noise, every other image with a dark spot: images, labels and the spots."""
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.normal(size=(count, 1, SIDE, SIDE)).astype(np.float32))
    spots = torch.zeros(count, SIDE, SIDE, dtype=torch.bool)
    for spot in spots[::2]:
        y, x = rng.integers(4, SIDE - 10, 2)
        spot[y : y + 6, x : x + 6] = True
    return images - 2 * spots[:, None], spots.any(2).any(1).float(), spots


@pytest.fixture(scope="module")
def trained() -> Net:
    net, batches = Net(), 60
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for batch in range(batches):
        images, labels, _ = scenes(16, batch)
        optimiser.zero_grad()
        logits = net.head.score(net.head(net.backbone(images)))
        F.binary_cross_entropy_with_logits(logits, labels).backward()
        optimiser.step()
    return net.eval()


def maps(net: Net, images: Tensor, method: GradientMap | None, stage: int) -> Tensor:
    """The CAM (None), or a gradient map at a stage, at pixels."""
    stages = net.backbone.features(images)
    evidence = net.head(stages[-1])
    if method is None:
        return enlarge_cells(net.head.activation(evidence).detach(), 4, (SIDE, SIDE))
    (gradient,) = score_gradients(net.head.score(evidence), [stages[stage]])
    found = GRADIENT_MAPS[method](stages[stage], gradient)
    return enlarge_cells(found, net.backbone.shape.strides[stage - 1], (SIDE, SIDE))


METHODS: list[tuple[GradientMap | None, int]] = [
    (None, 2),
    ("grad_cam", 2),
    ("grad_cam++", 2),
    ("layer_cam", 2),
    ("layer_cam", 1),
]


@pytest.mark.parametrize(("method", "stage"), METHODS)
def test_maps_of_a_trained_net_point_at_the_defect(
    trained: Net, method: GradientMap | None, stage: int
) -> None:
    images, labels, spots = scenes(40, 1000)
    found = maps(trained, images, method, stage)[labels > 0]
    near = F.max_pool2d(spots[labels > 0].float(), 9, 1, 4).flatten(1)  # within 4 pixels
    hits = near.gather(1, found.flatten(1).argmax(1, keepdim=True))
    assert float(hits.mean()) >= 0.8


@pytest.mark.parametrize(("method", "stage"), METHODS)
def test_maps_forget_when_the_last_stage_and_the_head_do(
    trained: Net, method: GradientMap | None, stage: int
) -> None:
    """Adebayo et al. 2018, *Sanity checks for saliency maps*: a map that stays is a filter of the image."""
    images, labels, _ = scenes(20, 1000)
    before = maps(trained, images, method, stage)[labels > 0]
    kept = {k: v for k, v in trained.state_dict().items() if not k.startswith(("backbone.layer2", "head"))}
    ranks: list[float] = []
    for seed in (1, 2, 3):
        forgetful = Net().eval()
        initialise(forgetful, seed)
        forgetful.load_state_dict(kept, strict=False)
        after = maps(forgetful, images, method, stage)[labels > 0]
        assert bool(after.flatten(1).any(1).all())  # or there is nothing to compare
        pairs = zip(before.flatten(1), after.flatten(1), strict=True)
        ranks += [spearmanr(a, b).statistic for a, b in pairs]
    assert abs(np.mean(ranks)) < 0.5
