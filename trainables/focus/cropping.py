"""GCM, our reading of the guided cropping module: the classifier looks again, closer, at what it found.

A defective image is cropped around what the classifier's map shows, a normal one at a random place with a
size that defective ones had lately; both are enlarged to the image's size and keep their label. Both kinds
must be cropped: the blur of enlarging would else tell the label.

The map is that of averaged weights (decay ``gcm_average``), moved by the offset that agrees best with the
images' residuals over the last steps. A crop of a defective image in which the averaged net sees no defect
has missed it, and teaches nothing.

    loss = gcm_weight · mean r · BCE(s(x_c), y)  (+ gcm_equivariance · |crop(M(x)) − M(x_c)|),  r = 0: missed

Source: the abstract of Yan et al. 2025 names the module only; all of it is ours, after Hu et al. 2019,
arXiv:1901.09891 (WS-DAN: crops drawn by attention) and Wang et al. 2020, arXiv:2004.04581 (SEAM:
equivariance).
"""

# B images of this worker, P of them defective, S of all workers; M sizes; 4: top, left, height, width

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.cam.classifier import Attachment, ClassifierStep
from trainables.cam.network import Classifier
from trainables.focus.config import FocusConfig
from trainables.nn.cam.activation import REACH, best_offset, blur_residual, minmax, offset_scores, recentre
from trainables.nn.cam.crops import box_areas, crop, guided_boxes, placed_boxes, remember_sizes
from trainables.nn.layers.pooling import enlarge_cells

__all__ = ["Crops", "GuidedCropping"]


class Crops(NamedTuple):
    """The classifier's output for one step's crops, on one worker, in the graph of the step."""

    features_BKhw: Tensor
    evidence_B1hw: Tensor
    kept_B: Tensor  # bool: the crop shows what its label says, as far as the averaged net can tell


class GuidedCropping(Attachment):
    """Adds the loss of crops to a classifier's training."""

    name = "gcm"

    def __init__(self, config: FocusConfig) -> None:
        super().__init__()
        self.config = config
        self.crops: Crops | None = None  # of the current step; CLM reads them
        self.average: Classifier
        self.sizes_M2: Tensor  # of recent boxes of defective images, the latest last; 0: none yet
        self.register_buffer("sizes_M2", torch.zeros(config.gcm_memory, 2, dtype=torch.int64))
        self.agreement: Tensor  # of maps with residuals at each offset, over the last steps
        self.register_buffer("agreement", torch.zeros(2 * REACH + 1, 2 * REACH + 1, dtype=torch.float64))

    def start(self, net: Classifier) -> None:
        self.average = copy.deepcopy(net).requires_grad_(requires_grad=False).eval()

    @torch.no_grad()
    def after_step(self, net: Classifier) -> None:
        """Average weights; running statistics are averages already and are taken as they are."""
        decay = self.config.gcm_average
        for mean, new in zip(self.average.parameters(), net.parameters(), strict=True):
            mean.lerp_(new, 1 - decay)
        for mean, new in zip(self.average.buffers(), net.buffers(), strict=True):
            mean.copy_(new)

    def losses(self, net: Classifier, step: ClassifierStep) -> Mapping[str, Tensor]:
        config, size = self.config, step.shard.size
        self.crops = None
        if step.shard.epoch < config.gcm_warmup:
            return {}

        # The crops go through the network that learns; whether one missed its defect is judged by the
        # averaged network, which a single step hardly moves.
        boxes_B4 = self.boxes(step)
        closer_BCHW = crop(step.images_BCHW, boxes_B4)
        output = net(closer_BCHW)
        positive_B = step.label_B > 0.5
        kept_B = ~positive_B
        with torch.no_grad():
            kept_B[positive_B] = self.average(closer_BCHW[positive_B]).score_B >= 0
        self.crops = Crops(output.features_BKhw, output.evidence_B1hw, kept_B)
        entropy_B = F.binary_cross_entropy_with_logits(output.score_B, step.label_B, reduction="none")

        # Divided by the whole batch: a missed crop counts as 0 and not as absent, or few good crops would
        # weigh more.
        terms = {"loss_crop": config.gcm_weight * (kept_B * entropy_B).sum() / size}
        if config.gcm_equivariance:
            # Equivariance: the map of the crop should be the crop of the map. Both are scaled for
            # themselves, as a crop has its own maximum.
            closer_BHW = minmax(self._pixels(net, output.evidence_B1hw))
            before_B1HW = minmax(self._pixels(net, step.evidence_B1hw))[:, None]
            apart_B = (crop(before_B1HW, boxes_B4)[:, 0] - closer_BHW).abs().mean(dim=(1, 2))
            terms["loss_equivariance"] = config.gcm_equivariance * (kept_B * apart_B).sum() / size
        return terms | self._counts(step, boxes_B4, positive_B, kept_B)

    @torch.no_grad()
    def boxes(self, step: ClassifierStep) -> Tensor:
        """A box for each image of the step, B × 4; remembers the sizes of all workers' guided ones."""
        config, shard, chance = self.config, step.shard, step.generator("gcm")
        height, width = step.images_BCHW.shape[2:]
        # Boxes of all workers are known to each, so all remember the same sizes and draw the same places.
        label_S = step.whole(step.label_B).cpu()
        cut_S = torch.from_numpy(chance.uniform(*config.gcm_cut, shard.size).astype(np.float32))
        guided_B4 = self._guided(step, cut_S[list(shard.places)])
        guided_S4 = step.whole(guided_B4.to(step.label_B)).long().cpu()
        # The memory is filled from its end; rows of 0 are places that were never used.
        known_M2 = self.sizes_M2[self.sizes_M2[:, 0] > 0].cpu()
        known_M2 = remember_sizes(known_M2, guided_S4[label_S > 0.5], config.gcm_memory)
        self.sizes_M2[len(self.sizes_M2) - len(known_M2) :] = known_M2.to(self.sizes_M2.device)
        placed_S4 = placed_boxes(known_M2, shard.size, (height, width), chance)
        return torch.where(label_S[:, None] > 0.5, guided_S4, placed_S4)[list(shard.places)]

    def _guided(self, step: ClassifierStep, cut_B: Tensor) -> Tensor:
        """Boxes around what the averaged net shows of defective images, after its constant offset is taken
        away; zeros for normal ones, which it is not asked about."""
        positive_B = step.label_B > 0.5
        images_PCHW = step.images_BCHW[positive_B]  # a worker's share may hold none
        map_PHW = self._pixels(self.average, self.average(images_PCHW).evidence_B1hw)
        # The map's constant offset would put each box beside its defect. It is estimated from an average of
        # the last steps, because the network keeps changing.
        if self.config.recentre:
            scores = self.agreement.new_zeros(len(positive_B), *self.agreement.shape)
            if len(images_PCHW):
                scores[positive_B] = offset_scores(minmax(map_PHW), blur_residual(images_PCHW))
            self.agreement.mul_(self.config.gcm_average).add_(step.whole(scores).sum(dim=0))
            offset = best_offset(self.agreement)
            map_PHW = recentre(map_PHW, offset.dy, offset.dx)

        # A worker's share may hold no defective image, and boxes of none cannot be stacked.
        boxes_B4 = torch.zeros(len(positive_B), 4, dtype=torch.int64)
        if len(images_PCHW):
            at_P = positive_B.cpu()
            boxes_B4[at_P] = guided_boxes(
                map_PHW, cut_B[at_P].to(map_PHW), pad=self.config.gcm_pad, min_share=self.config.gcm_min_share
            )
        return boxes_B4

    def _pixels(self, net: Classifier, evidence_B1hw: Tensor) -> Tensor:
        activation_B1hw = net.head.activation(evidence_B1hw)
        return enlarge_cells(activation_B1hw, self.config.maps[-1][1], self.config.image_size)

    def _counts(
        self, step: ClassifierStep, boxes_B4: Tensor, positive_B: Tensor, kept_B: Tensor
    ) -> dict[str, Tensor]:
        """Only logged, as means over the batch's defective images: missed, area, boxes at the least size."""
        of = step.whole(step.label_B).sum().clamp_min(1)
        frame = torch.tensor(self.config.image_size)
        least = torch.ceil(self.config.gcm_min_share * frame).long()
        smallest_B = (boxes_B4[:, 2:] == least).all(dim=1).to(positive_B.device)
        areas_B = box_areas(boxes_B4, self.config.image_size).to(of)
        return {
            "crops_missed": (positive_B & ~kept_B).sum() / of,
            "crop_area": (areas_B * positive_B).sum() / of,
            "crops_smallest": (smallest_B & positive_B).sum() / of,
        }
