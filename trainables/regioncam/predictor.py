"""The trained method, ready to judge images, and every step of it made visible.

The score is the classifier's. The heatmap is the last round's segmentation net's, after the CRF where that is
used; without rounds it is the map, on the scale of defective training images. A saved model holds the
classifier with all its maps and the last net; ``predict_stages`` after training shows the earlier rounds too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from trainables.cam.maps import RawMaps
from trainables.cam.network import Classifier
from trainables.contract import Prediction, StageMaps
from trainables.errors import InputError
from trainables.nn.cam.activation import minmax
from trainables.nn.labels.inpaint import telea
from trainables.nn.labels.pseudo import pseudo_labels
from trainables.nn.labels.refine import sharpen
from trainables.nn.labels.segmentation import SegmentationNet
from trainables.nn.layers.pooling import dilate
from trainables.nn.models import load_model, restore_shared, save_model, with_layout
from trainables.nn.passes import in_passes, joined
from trainables.regioncam.config import RegionCamConfig
from trainables.regioncam.maps import RegionMaps, RegionMapSettings

__all__ = ["Judge", "RegionCamPredictor", "Round", "count_parameters", "load"]

_RIM = 6 / 224  # of the geometric mean of the sides: how far around a defect is painted over


class Round(nn.Module):
    """A round's segmentation net, and whether the CRF refines it."""

    uses_crf: Tensor

    def __init__(self, segmenter: SegmentationNet, *, uses_crf: bool) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.register_buffer("uses_crf", torch.tensor(uses_crf))


class Judge(nn.Module):
    """The nets that a saved model holds."""

    def __init__(self, maps: RegionMaps, last: Round | None) -> None:
        """``last`` is None without rounds."""
        super().__init__()
        self.maps = maps
        self.last = last

    @classmethod
    def of(cls, config: RegionCamConfig) -> Judge:
        """With arbitrary weights."""
        maps = RegionMaps(Classifier(config), RegionMapSettings.of(config))
        return cls(maps, Round(SegmentationNet(config), uses_crf=False) if config.rounds else None)


class RegionCamPredictor:
    """Judges images with a classifier, and the last round's net or the map."""

    def __init__(self, judge: Judge, config: RegionCamConfig, earlier: Sequence[Round] = ()) -> None:
        """``earlier``: the rounds before the last one, where they are known."""
        self.judge = judge.eval()
        self.config = config
        self.earlier = nn.ModuleList(earlier).eval()
        # Here, so that an exported graph decides nothing.
        self._uses_crf = judge.last is not None and bool(judge.last.uses_crf)

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Prediction:
        """Judge ``images`` (B × C × H × W, float32 in [0, 1], on the predictor's device).

        Raises:
            InputError: If a model that reads its heatmap off gradients or regions is to be exported.
        """
        return joined([self._part(part) for part in in_passes(images)])

    def _part(self, images: Tensor) -> Prediction:
        maps, last = self.judge.maps, self.judge.last
        if last is not None:
            # In float32 every logit above 17 has the score 1; in float64 confident images keep their order.
            score_B = maps.net(images).score_B.double().sigmoid()
            return Prediction(score_B, self._answer(last.segmenter, images, uses_crf=self._uses_crf))
        settings = maps.settings
        if torch.compiler.is_exporting() and (settings.needs_gradients or settings.regions is not None):
            raise InputError(
                "without rounds the heatmap needs a backward pass or the regions of each image, which an "
                "exported graph does not have. Export a model of rounds: 1 or more, or of method: cam and "
                "region: off."
            )
        return self._of_map(maps(images))

    def _of_map(self, raw: RawMaps) -> Prediction:
        """The answer without rounds."""
        score_B = raw.score_B.double().sigmoid()
        return Prediction(score_B, self._gated(self.judge.maps.scaled(raw).map_BHW, score_B))

    def _answer(self, segmenter: SegmentationNet, images: Tensor, *, uses_crf: bool) -> Tensor:
        prob_BHW = segmenter(images).logits_BHW.sigmoid()
        return sharpen(prob_BHW, images * 255, self.config.refiner) if uses_crf else prob_BHW

    def _gated(self, map_BHW: Tensor, score_B: Tensor) -> Tensor:
        return map_BHW * score_B[:, None, None].float() if self.config.gate_by_score else map_BHW

    @torch.no_grad()
    def predict_stages(self, images: Tensor, known: Collection[str] = ()) -> StageMaps:
        """The answer, and what each step makes of ``images``, in the order of the chain: B × H × W in [0, 1].

        ``cam``; the map by gradients under its method's name (``layer_cam``), and ``fgbp``, the same with
        filtered gradients; ``region``, weighed by regions; ``pseudo`` (1 where the map would label the
        image, if it is judged defective; before the CRF); ``round 1`` …, the last of which is the heatmap.
        Rounds in ``known`` are left out, and the maps if all of them are.
        """
        parts = [self._explained(part, known) for part in in_passes(images)]
        prediction = joined([part.prediction for part in parts])
        names = parts[0].stages
        found = {name: torch.cat([part.stages[name] for part in parts]) for name in names}
        last = {f"round {self.config.rounds}": prediction.heatmap} if self.config.rounds else {}
        return StageMaps(prediction, found | last)

    def _explained(self, images: Tensor, known: Collection[str]) -> StageMaps:
        rounds = self._earlier_rounds(images, known)
        if {*self.judge.maps.settings.steps, "pseudo"} <= set(known):
            return StageMaps(self._part(images), rounds)
        raw = self.judge.maps(images)
        prediction = self._of_map(raw) if self.judge.last is None else self._part(images)
        return StageMaps(prediction, self._of_maps(images, raw) | rounds)

    def _of_maps(self, images: Tensor, raw: RawMaps) -> dict[str, Tensor]:
        maps, score_B = self.judge.maps, raw.score_B.double().sigmoid()
        found = {name: self._gated(map_BHW, score_B) for name, map_BHW in maps.steps(images, raw).items()}
        found["pseudo"] = self._labelled(raw.map_BHW, score_B >= 0.5)
        return found

    def _earlier_rounds(self, images: Tensor, known: Collection[str]) -> dict[str, Tensor]:
        """What the net of each round before the last says, after the CRF where the round has it."""
        rounds = {f"round {n}": one for n, one in enumerate(self.earlier, start=1) if isinstance(one, Round)}
        rounds = {name: one for name, one in rounds.items() if name not in known}
        found = {name: one.segmenter(images).logits_BHW.sigmoid() for name, one in rounds.items()}
        refined = [name for name, one in rounds.items() if bool(one.uses_crf)]
        if refined:  # together: the weights of neighbours are those of the image
            prob_MBHW = torch.stack([found[name] for name in refined])
            found |= zip(refined, sharpen(prob_MBHW, images * 255, self.config.refiner), strict=True)
        return found

    def _labelled(self, map_BHW: Tensor, positive_B: Tensor) -> Tensor:
        return (pseudo_labels(minmax(map_BHW), positive_B, self.config.cutoffs) == 1).float()

    @torch.no_grad()
    def erasure_drops(self, images: Tensor) -> Tensor:
        """How far p(defect) falls in each image when the defect that the model shows is painted over.

        Shown is where the last net says 0.5 or more; without rounds, what the map would label (before the
        CRF).

        Returns:
            B numbers in [−1, 1].
        """
        net, everything = self.judge.maps.net, torch.ones(len(images), dtype=torch.bool, device=images.device)
        if self.judge.last is None:
            shown_BHW = self._labelled(self.judge.maps(images).map_BHW, everything) > 0
        else:
            shown_BHW = self.predict(images).heatmap >= 0.5
        height, width = images.shape[2:]
        filled = telea(images, dilate(shown_BHW, round(_RIM * (height * width) ** 0.5)))
        look = partial(_probability, net)
        return look(images) - look(filled)

    def to(self, device: torch.device) -> Self:
        """The same predictor with its weights on ``device``."""
        self.judge.to(device)
        self.earlier.to(device)
        return self

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``config.json`` into an existing folder."""
        save_model(folder, self.judge, self.config)


def _probability(net: Classifier, images: Tensor) -> Tensor:
    return torch.cat([net(part).score_B.sigmoid() for part in in_passes(images)])


def load(folder: Path) -> RegionCamPredictor:
    """Read what :meth:`RegionCamPredictor.save` wrote, to the CPU; no weights file is needed."""
    tensors, config = load_model(folder, RegionCamConfig)
    judge = Judge.of(config)
    restore_shared(judge, tensors)
    return RegionCamPredictor(with_layout(judge, config), config)


def count_parameters(config: RegionCamConfig) -> int:
    """Number of weights of a saved model; nothing is allocated (torch's meta device)."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in Judge.of(config).parameters())
