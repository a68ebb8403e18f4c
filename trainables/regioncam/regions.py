"""The region-aware weight: a map counts where the region that a pixel lies in counts as a whole.

An image is divided into regions R_j: superpixels, a grid, or the connected parts of the map itself. Each gets
a score w_j ≥ 0, the mean of the deepest map over it or what the logit loses when it is painted over; the best
region of an image has 1. The weight of a pixel is w_j^γ.

    regions_BHW = find_regions(images_BCHW, map_BHW, regions)
    weight_BHW = region_weights(images_BCHW, regions_BHW, deep_BHW, classify, regions)

Source: after Kapishnikov et al. 2019, arXiv:1906.02825 (XRAI: attribution by regions, recalled, not read
again). The abstract of Dong et al. 2025, arXiv:2506.22866, says "we further develop a region-aware weighted
module to enhance spatial precision"; the rest is our reading. Superpixels: SLICO of Achanta et al. 2012, IEEE
TPAMI 34, as OpenCV's contributed modules have it.
"""

# B images of H × W pixels, J regions of one, K of them that are painted over

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.nn.batches.passes import in_passes
from trainables.nn.cam.activation import minmax
from trainables.nn.labels.inpaint import telea
from trainables.nn.labels.pseudo import otsu_threshold
from trainables.regioncam.config import Regions

__all__ = [
    "find_regions",
    "occlusion_scores",
    "region_means",
    "region_weights",
]

Classify = Callable[[Tensor], Tensor]  # images B × C × H × W in [0, 1]: their logits, B

_SLIC_STEPS = 10
_KEPT_IMAGES, _KEPT_PIXELS = 1024, 2**15  # divisions that a process keeps: 64 MB and the images' own bytes


def find_regions(images_BCHW: Tensor, map_BHW: Tensor, regions: Regions) -> Tensor:
    """The region that each pixel lies in, B × H × W, int64; in each image numbered from 0.

    Args:
        images_BCHW: In [0, 1], C 1 or 3; superpixels follow them.
        map_BHW: ≥ 0; ``components`` are its connected parts above Otsu's threshold, and 0 is all the rest.
        regions: The kind and its size.
    """
    # A grid ignores the image, components follow the map, superpixels follow the image.
    count, _, height, width = images_BCHW.shape
    if regions.kind == "grid":
        cells = torch.arange(max(height, width), device=map_BHW.device) // regions.size
        across = -(-width // regions.size)
        return (cells[:height, None] * across + cells[:width]).expand(count, height, width)
    if regions.kind == "components":
        scaled_BHW = minmax(map_BHW)
        high = (scaled_BHW >= otsu_threshold(scaled_BHW)[:, None, None]).byte().cpu().numpy()
        numbers = [cv2.connectedComponents(mask, connectivity=8)[1] for mask in high]
    else:
        levels = (images_BCHW * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        numbers = [_superpixels(image, regions.size) for image in levels]
    return torch.from_numpy(np.stack(numbers).astype(np.int64)).to(map_BHW.device)


def region_means(map_BHW: Tensor, regions_BHW: Tensor) -> Tensor:
    """Mean of each image's map over each of its regions, B × J; 0 where an image has fewer than J."""
    # A GPU adds in any order, which float32 would show in its last bits; float64 hides it.
    count = int(regions_BHW.max()) + 1
    places_BN = regions_BHW.flatten(1)
    sums_BJ = torch.zeros(len(map_BHW), count, dtype=torch.float64, device=map_BHW.device)
    sizes_BJ = torch.zeros_like(sums_BJ)
    sums_BJ.scatter_add_(1, places_BN, map_BHW.flatten(1).double())
    sizes_BJ.scatter_add_(1, places_BN, torch.ones_like(places_BN, dtype=torch.float64))
    return (sums_BJ / sizes_BJ.clamp_min(1)).to(map_BHW.dtype)


def occlusion_scores(
    images_BCHW: Tensor,
    regions_BHW: Tensor,
    means_BJ: Tensor,
    classify: Classify,
    *,
    count: int,
    first: int = 0,
) -> Tensor:
    """Losses of each image's logit when a region is painted over with its surroundings (Telea), B × J.

    Args:
        images_BCHW: In [0, 1].
        regions_BHW: As :func:`find_regions` numbers them.
        means_BJ: Only the ``count`` regions with the highest mean are tried; the others score 0.
        classify: The classifier.
        count: At least 1.
        first: The first region that is one; 1 where 0 is all the rest.
    """
    scores_BJ = torch.zeros_like(means_BJ)
    for image_CHW, regions_HW, means_J, scores_J in zip(
        images_BCHW, regions_BHW, means_BJ, scores_BJ, strict=True
    ):
        # A pass of the classifier for each region would take minutes, so the regions that the map holds for
        # likely are tried alone.
        own_J = means_J[first : int(regions_HW.max()) + 1]
        if not len(own_J):
            continue
        tried_K = first + own_J.topk(min(count, len(own_J))).indices
        image_1CHW = image_CHW[None]
        filled = telea(image_1CHW.expand(len(tried_K), -1, -1, -1), regions_HW == tried_K[:, None, None])
        after_K = torch.cat([classify(part) for part in in_passes(filled)])
        scores_J[tried_K] = (classify(image_1CHW) - after_K).to(scores_J.dtype)
    return scores_BJ


def region_weights(
    images_BCHW: Tensor, regions_BHW: Tensor, deep_BHW: Tensor, classify: Classify, regions: Regions
) -> Tensor:
    """The weight of each pixel, B × H × W in [0, 1]; 1 everywhere in an image none of whose regions counts.

    Args:
        images_BCHW: In [0, 1].
        regions_BHW: As :func:`find_regions` numbers them.
        deep_BHW: The deepest map, ≥ 0, in place.
        classify: The classifier, for ``score: occlusion``.
        regions: Score and exponent.
    """
    scores_BJ = region_means(deep_BHW, regions_BHW)
    if regions.score == "occlusion":
        # Painting over all that is beside the components would leave nothing to paint from.
        first = int(regions.kind == "components")
        scores_BJ = occlusion_scores(
            images_BCHW, regions_BHW, scores_BJ, classify, count=regions.count, first=first
        )

    # A region that speaks against a defect weighs nothing. Where none speaks for one the map stays as it
    # is, since all weights 0 would erase it.
    scores_BJ = scores_BJ.clamp_min(0)
    largest_B1 = scores_BJ.amax(dim=1, keepdim=True)
    weights_BJ = torch.where(largest_B1 > 0, scores_BJ / torch.where(largest_B1 > 0, largest_B1, 1), 1)
    return weights_BJ.pow(regions.gamma).gather(1, regions_BHW.flatten(1)).reshape(regions_BHW.shape)


def _superpixels(image: NDArray[np.uint8], size: int) -> NDArray[np.int32]:
    """SLICO of an H × W × C image; a small one is divided once, however many maps are then scored on it."""
    if image.shape[0] * image.shape[1] > _KEPT_PIXELS:
        return _slico(image, size)
    return _kept_slico(image.tobytes(), image.shape, size).astype(np.int32)


@lru_cache(maxsize=_KEPT_IMAGES)
def _kept_slico(levels: bytes, shape: tuple[int, ...], size: int) -> NDArray[np.uint16]:
    return _slico(np.frombuffer(levels, np.uint8).reshape(shape), size).astype(np.uint16)


def _slico(image: NDArray[np.uint8], size: int) -> NDArray[np.int32]:
    seeds = cv2.ximgproc.createSuperpixelSLIC(image, cv2.ximgproc.SLICO, size)
    seeds.iterate(_SLIC_STEPS)
    return np.asarray(seeds.getLabels(), np.int32)
