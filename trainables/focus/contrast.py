"""CLM, our reading of the contrastive learning module: features of defects apart from everything normal.

The classifier's own map, m = minmax(relu(L − b)), divides a defective image's features F into those of the
defect and those around it. With the features of normal images there are two classes on the unit sphere,

    D: Σ m F / Σ m of each defective image, and of the crop that GCM made of it;
    N: the mean of F where m < ``clm_background`` in defective images; in normal images the mean of F, and F
       where the map is highest: a false alarm for certain, since the image label says so,

and the loss draws each class together and the two apart. It starts after ``clm_warmup`` epochs, when the map
means something. The pairs are those of the whole batch, on however many workers.

Source: the abstract of Yan et al. 2025 names a "contrastive learning module (CLM) coupled with a guided
cropping module"; that crops join class D is our meaning of "coupled", and every formula is ours, after Khosla
et al. 2020, arXiv:2004.11362 (SupCon), and Xie et al. 2022, arXiv:2203.13505 (regions of a map; recalled).
"""

# B images of this worker, S features of each, of K numbers; N projected ones of the whole batch, of D

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.cam.classifier import Attachment, ClassifierStep
from trainables.cam.network import Classifier
from trainables.focus.config import FocusConfig
from trainables.focus.cropping import GuidedCropping
from trainables.nn.cam.activation import minmax
from trainables.nn.losses.contrast import (
    Projection,
    hardest_feature,
    region_features,
    same_class,
    sup_con,
    triplet_loss,
)

__all__ = ["ContrastiveLoss"]

_NORMAL, _DEFECT = 0.0, 1.0


class ContrastiveLoss(Attachment):
    """Adds the contrastive loss to a classifier's training."""

    name = "clm"

    def __init__(self, config: FocusConfig, cropping: GuidedCropping | None) -> None:
        """``cropping`` comes before this in the training's attachments, or is None."""
        super().__init__()
        self.config = config
        self.projection = Projection(config.maps[-1][0], config.clm_dim)
        # Not a module of this one: it is in the training as itself.
        self._cropping = (cropping,)

    def losses(self, net: Classifier, step: ClassifierStep) -> Mapping[str, Tensor]:
        # In the first epochs the map points anywhere, and drawing its features together would hold it there.
        if step.shard.epoch < self.config.clm_warmup:
            return {}
        features_BSK, classes_BS = self._features(net, step)
        # The class travels beside its feature, so one sum over the workers joins both; NaN marks a feature
        # that is not there.
        z_BSD = self.projection(features_BSK.flatten(0, 1)).unflatten(0, classes_BS.shape)
        joined = step.whole(torch.cat((z_BSD, classes_BS[:, :, None]), dim=2)).flatten(0, 1)
        joined = joined[~joined[:, -1].isnan()]
        z_ND, classes_N = joined[:, :-1], joined[:, -1].detach()

        # The pairs are the whole batch's, on every worker alike; ``once`` keeps the sum over workers from
        # counting them again.
        if self.config.clm_mode == "triplet":
            loss = triplet_loss(z_ND, classes_N, self.config.clm_margin)
        else:
            pairs_NN = same_class(classes_N, apart=None if self.config.clm_pull_defects else int(_DEFECT))
            loss = sup_con(z_ND, pairs_NN, self.config.clm_temperature)

        # Only logged: it should fall while defect and surroundings move apart.
        cosine_B = F.cosine_similarity(features_BSK[:, 0], features_BSK[:, 1], dim=1) * step.label_B
        positives = step.whole(step.label_B).sum().clamp_min(1)
        return {
            "loss_contrast": step.once(self.config.clm_weight * loss),
            "cosine_defect_around": cosine_B.detach().sum() / positives,
        }

    def _features(self, net: Classifier, step: ClassifierStep) -> tuple[Tensor, Tensor]:
        """Three features of each image, B × 3 × K, and their classes, B × 3; NaN: there is none."""
        features_BKhw, positive_B = step.features_BKhw, step.label_B > 0.5
        map_B1hw = self._map(net, step.evidence_B1hw)
        if self.config.clm_mode == "image_supcon":
            mean_BK = features_BKhw.mean(dim=(2, 3))
            first_BK, first_B = mean_BK, step.label_B
            second_BK, second_B = mean_BK, torch.full_like(step.label_B, torch.nan)
        else:
            # A normal image has no defect feature. Its hardest place, where the map is highest, takes that
            # slot as a certain false alarm.
            defect_BK, around_BK = region_features(features_BKhw, map_B1hw, self.config.clm_background)
            hard_BK = hardest_feature(features_BKhw, map_B1hw)
            mean_BK = features_BKhw.mean(dim=(2, 3))
            first_BK, first_B = torch.where(positive_B[:, None], defect_BK, hard_BK), step.label_B
            second_BK = torch.where(positive_B[:, None], around_BK, mean_BK)
            second_B = torch.full_like(step.label_B, _NORMAL)
        third_BK, third_B = self._crop_features(net, first_BK, positive_B)
        features_BSK = torch.stack((first_BK, second_BK, third_BK), dim=1)
        return features_BSK, torch.stack((first_B, second_B, third_B), dim=1)

    def _crop_features(self, net: Classifier, like_BK: Tensor, positive_B: Tensor) -> tuple[Tensor, Tensor]:
        """Features and classes of the crops of defective images that did not miss the defect."""
        (cropping,) = self._cropping
        crops = cropping.crops if cropping is not None and self.config.clm_use_crops else None
        if crops is None:
            return torch.zeros_like(like_BK), torch.full_like(like_BK[:, 0], torch.nan)
        if self.config.clm_mode == "image_supcon":
            found_BK = crops.features_BKhw.mean(dim=(2, 3))
        else:
            map_B1hw = self._map(net, crops.evidence_B1hw)
            found_BK, _ = region_features(crops.features_BKhw, map_B1hw, self.config.clm_background)
        shown_B = crops.kept_B & positive_B
        return found_BK, torch.where(shown_B, _DEFECT, torch.nan)

    def _map(self, net: Classifier, evidence_B1hw: Tensor) -> Tensor:
        map_B1hw = minmax(net.head.activation(evidence_B1hw))
        return map_B1hw.detach() if self.config.clm_detach_map else map_B1hw
