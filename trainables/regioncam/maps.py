"""The map of region-aware CAM, out of: the CAM, a gradient map, its filtered form, the weighed one.

Each of them is on a scale and at an offset of its own (``cam.maps``), measured on defective training images
without masks. The deepest map, by which regions are scored, is the CAM: under maximum pooling the gradient at
the last stage is a single cell.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from trainables.cam.config import MapSettings
from trainables.cam.maps import CamMaps, RawMaps, measured_maps
from trainables.cam.network import Classifier
from trainables.data.samples import ImageSet
from trainables.nn.batches.passes import image_passes
from trainables.nn.cam.activation import Offset, dataset_scale
from trainables.nn.cam.guided import filtered_gradients
from trainables.nn.choices import GradientFilter
from trainables.regioncam.config import CAM_MAP, FILTERED_MAP, WEIGHED_MAP, RegionMapSettings
from trainables.regioncam.regions import find_regions, region_weights

__all__ = ["RegionMaps", "measured_region_maps"]


class RegionMaps(nn.Module):
    """A classifier and its maps; :func:`measured_region_maps` makes one from training images."""

    scale: Tensor  # what the last map is divided by

    def __init__(self, net: Classifier, settings: RegionMapSettings) -> None:
        super().__init__()
        self.net = net
        self.settings = settings
        # The order matters: later maps build on earlier ones, and regions weigh the last.
        self.readings = nn.ModuleDict({CAM_MAP: CamMaps(net, MapSettings(recentre=settings.read.recentre))})
        if settings.needs_gradients:
            self.readings[settings.read.method] = CamMaps(net, settings.read)
        if settings.filter is not None:
            self.readings[FILTERED_MAP] = CamMaps(net, settings.read)
        self.register_buffer("scale", torch.ones(()))

    @property
    def names(self) -> list[str]:
        """The maps in the order in which they are made; regions weigh the last of them."""
        return list(self.readings)

    def filter_of(self, name: str) -> GradientFilter | None:
        """The filter of a map's gradients."""
        return self.settings.filter if name == FILTERED_MAP else None

    def reading(self, name: str) -> CamMaps:
        """The map called ``name`` before regions weigh it; its gradients are filtered by the caller."""
        reading = self.readings[name]
        assert isinstance(reading, CamMaps)
        return reading

    def forward(self, images_BCHW: Tensor) -> RawMaps:
        """Logits and the last map, raw, at pixels, in place; the network is in eval mode."""
        # A gradient filter must be on while the graph is built; switched on for the backward pass alone it
        # would do nothing, silently.
        name = self.names[-1]
        with filtered_gradients(self.net, self.filter_of(name)):
            raw = self.reading(name)(images_BCHW)
        if self.settings.regions is None:
            return raw
        deep_BHW = raw.map_BHW if name == CAM_MAP else self.reading(CAM_MAP)(images_BCHW).map_BHW
        return RawMaps(raw.score_B, raw.map_BHW * self._weights(images_BCHW, raw.map_BHW, deep_BHW))

    def steps(self, images_BCHW: Tensor, raw: RawMaps) -> dict[str, Tensor]:
        """Every map by name, the last one last, each on its own scale: B × H × W in [0, 1].

        ``raw`` is what calling it with these images returned.
        """
        maps: dict[str, Tensor] = {}
        for name in self.names:
            with filtered_gradients(self.net, self.filter_of(name)):
                maps[name] = self.reading(name).heatmaps(images_BCHW).map_BHW
        if self.settings.regions is not None:
            maps[WEIGHED_MAP] = raw.scaled_by(self.scale).map_BHW
        return maps

    def _weights(self, images_BCHW: Tensor, map_BHW: Tensor, deep_BHW: Tensor) -> Tensor:
        assert self.settings.regions is not None
        regions_BHW = find_regions(images_BCHW, map_BHW, self.settings.regions)
        return region_weights(images_BCHW, regions_BHW, deep_BHW, self._classify, self.settings.regions)

    @torch.no_grad()
    def _classify(self, images_BCHW: Tensor) -> Tensor:
        return self.net(images_BCHW).score_B


def measured_region_maps(
    net: Classifier, settings: RegionMapSettings, images: ImageSet
) -> tuple[RegionMaps, Offset]:
    """The maps of a trained classifier, with offsets and scales measured on the defective ``images``.

    Args:
        net: Trained; it is set to eval mode.
        settings: Which maps.
        images: The training set, at least one image of it defective. No mask is read.

    Returns:
        The maps, and the offset of the last one's last layer with what moving gained.
    """
    maps = RegionMaps(net, settings).to(net.device).eval()
    offset = Offset(0, 0, 1.0)
    # Each map has its own offset and scale, measured under its own filter.
    for name in maps.names:
        with filtered_gradients(net, maps.filter_of(name)):
            maps.readings[name], offset = measured_maps(net, maps.reading(name).settings, images)
    positives = np.flatnonzero(images.labels).tolist()
    maxima = [maps(batch).map_BHW.amax(dim=(1, 2)) for batch in image_passes(images, positives, net.device)]
    maps.scale.fill_(dataset_scale(torch.cat(maxima).tolist()))
    return maps, offset
