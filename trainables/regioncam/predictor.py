"""The trained method, ready to predict, and every step of it made visible.

The score is the classifier's. The heatmap is the last round's segmentation net's, after the CRF where that is
used; without rounds it is the map, on the scale of defective training images. A saved model holds the
classifier with all its maps and the last net; ``predict_stages`` after training shows the earlier rounds too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from trainables.cam.maps import RawMaps
from trainables.cam.network import Classifier
from trainables.contract import Prediction, StageMaps
from trainables.errors import InputError
from trainables.nn.batches.passes import in_passes
from trainables.nn.cam.activation import minmax
from trainables.nn.labels.inpaint import telea
from trainables.nn.labels.pseudo import pseudo_labels
from trainables.nn.labels.segmentation import SegmentationNet
from trainables.nn.layers.pooling import dilate
from trainables.nn.models import load_into
from trainables.nn.predictor import defect_probability
from trainables.nn.stage_predictor import StagePredictor
from trainables.regioncam.config import RegionCamConfig, RegionMapSettings
from trainables.regioncam.maps import RegionMaps

__all__ = ["Nets", "RegionCamPredictor", "Round", "load"]

_RIM = 6 / 224  # of the geometric mean of the sides: how far around a defect is painted over


class Round(nn.Module):
    """A round's segmentation net, and whether the CRF refines it."""

    uses_crf: Tensor

    def __init__(self, segmenter: SegmentationNet, *, uses_crf: bool) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.register_buffer("uses_crf", torch.tensor(uses_crf))


class Nets(nn.Module):
    """The nets that a saved model holds."""

    def __init__(self, maps: RegionMaps, last: Round | None) -> None:
        """``last`` is None without rounds."""
        super().__init__()
        self.maps = maps
        self.last = last

    @classmethod
    def of(cls, config: RegionCamConfig) -> Nets:
        """Build the nets of a config with arbitrary weights, for saved ones to be read into."""
        maps = RegionMaps(Classifier(config), RegionMapSettings.of(config))
        return cls(maps, Round(SegmentationNet(config), uses_crf=False) if config.rounds else None)


class RegionCamPredictor(StagePredictor[Nets, nn.ModuleList, RegionCamConfig]):
    """Predicts with a classifier, and the last round's net or the map.

    Its stages are maps B × H × W in [0, 1]: ``cam``; the map by gradients under its method's name
    (``layer_cam``), and ``fgbp``, the same with filtered gradients; ``region``, weighed by regions;
    ``pseudo`` (1 where the map would label the image, if it is decided defective; before the CRF);
    ``round 1`` …, the last of which is the heatmap. Maps before the rounds are left out only if all of them
    are known.
    """

    def __init__(self, nets: Nets, config: RegionCamConfig, earlier: Sequence[Round] = ()) -> None:
        """``earlier``: the rounds before the last one, where they are known."""
        uses_crf = nets.last is not None and bool(nets.last.uses_crf)
        super().__init__(nets, config, nn.ModuleList(earlier), uses_crf=uses_crf)

    @property
    def last_stage(self) -> str | None:
        return f"round {self.config.rounds}" if self.config.rounds else None

    def predict_pass(self, images: Tensor) -> Prediction:
        """Score the images of one pass.

        Raises:
            InputError: If a model that reads its heatmap off gradients or regions is to be exported.
        """
        # With rounds the classifier only scores and the segmentation net draws the map.
        maps, last = self.network.maps, self.network.last
        if last is not None:
            score_B = defect_probability(maps.net(images).score_B)
            prob_BHW = last.segmenter(images).logits_BHW.sigmoid()
            return Prediction(score_B, self.refined(prob_BHW, images))
        settings = maps.settings
        if torch.compiler.is_exporting() and (settings.needs_gradients or settings.regions is not None):
            raise InputError(
                "without rounds the heatmap needs a backward pass or the regions of each image, which an "
                f"exported graph does not have: found rounds: 0, method: {settings.read.method}, region: "
                f"{self.config.region}. Export a model of rounds: 1 or more, or of method: cam and "
                "region: off."
            )
        return self._map_prediction(maps(images))

    def _map_prediction(self, raw: RawMaps) -> Prediction:
        """The prediction without rounds."""
        score_B = defect_probability(raw.score_B)
        return Prediction(score_B, self._gated(raw.scaled_by(self.network.maps.scale).map_BHW, score_B))

    def _gated(self, map_BHW: Tensor, score_B: Tensor) -> Tensor:
        return map_BHW * score_B[:, None, None].float() if self.config.gate_by_score else map_BHW

    def show_pass(self, images: Tensor, known: Collection[str]) -> StageMaps:
        rounds = self._earlier_rounds(images, known)
        # Gradient maps cost a backward pass for each image, so they are left out where all of them are
        # known already.
        if {*self.network.maps.settings.steps, "pseudo"} <= set(known):
            return StageMaps(self.predict_pass(images), rounds)
        raw = self.network.maps(images)
        prediction = self._map_prediction(raw) if self.network.last is None else self.predict_pass(images)
        return StageMaps(prediction, self._map_stages(images, raw) | rounds)

    def _map_stages(self, images: Tensor, raw: RawMaps) -> dict[str, Tensor]:
        maps, score_B = self.network.maps, defect_probability(raw.score_B)
        stages = {name: self._gated(map_BHW, score_B) for name, map_BHW in maps.steps(images, raw).items()}
        stages["pseudo"] = self._labelled(raw.map_BHW, score_B >= 0.5)
        return stages

    def _earlier_rounds(self, images: Tensor, known: Collection[str]) -> dict[str, Tensor]:
        """Probabilities of the net of each round before the last, after the CRF where the round has it."""
        nets: dict[str, SegmentationNet] = {}
        refined: list[str] = []
        for number, module in enumerate(self.earlier, start=1):
            assert isinstance(module, Round)
            name = f"round {number}"
            if name not in known:
                nets[name] = module.segmenter
                refined += [name] if bool(module.uses_crf) else []
        return self.probabilities(nets, refined, images)

    def _labelled(self, map_BHW: Tensor, positive_B: Tensor) -> Tensor:
        return (pseudo_labels(minmax(map_BHW), positive_B, self.config.cutoffs) == 1).float()

    @torch.no_grad()
    def erasure_drops(self, images: Tensor) -> Tensor:
        """Falls of p(defect) in each image when the defect that the model shows is painted over.

        Shown is where the last net says 0.5 or more; without rounds, what the map would label (before the
        CRF).

        Returns:
            B numbers in [−1, 1].
        """
        net = self.network.maps.net
        everything = torch.ones(len(images), dtype=torch.bool, device=images.device)
        # The rim is painted over as well: a defect's blurred edge left standing would be evidence enough.
        if self.network.last is None:
            shown_BHW = self._labelled(self.network.maps(images).map_BHW, everything) > 0
        else:
            shown_BHW = self.predict(images).heatmap >= 0.5
        height, width = images.shape[2:]
        filled = telea(images, dilate(shown_BHW, round(_RIM * (height * width) ** 0.5)))
        before_B, after_B = (
            torch.cat([net(part).score_B.sigmoid() for part in in_passes(x)]) for x in (images, filled)
        )
        return before_B - after_B


def load(folder: Path) -> RegionCamPredictor:
    """Read what :meth:`RegionCamPredictor.save` wrote, to the CPU; no weights file is needed."""
    return RegionCamPredictor(*load_into(folder, RegionCamConfig, Nets.of))
