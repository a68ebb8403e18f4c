"""The trained chain, ready to predict, and every step of it made visible.

``predict`` takes the shortest way. The student alone, if there is one: one pass of one net. Otherwise the
classifier's score, and the probabilities of the last segmentation net, after the CRF where that is on. A
saved model holds no more than that. ``predict_stages`` shows the whole chain after training, and of a loaded
model what is left.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor, nn

from trainables.cam.config import MapSettings
from trainables.cam.maps import CamMaps, RawMaps
from trainables.cam.network import Classifier
from trainables.contract import Prediction, StageMaps
from trainables.focus.config import FocusConfig
from trainables.focus.extension import erase, evidence_of, extended_map
from trainables.focus.inpainting import filler
from trainables.nn.cam.activation import minmax
from trainables.nn.cam.crops import crop, guided_boxes
from trainables.nn.labels.inpaint import Inpainter
from trainables.nn.labels.pseudo import pseudo_labels
from trainables.nn.labels.segmentation import SegmentationNet
from trainables.nn.layers.pooling import dilate
from trainables.nn.models import load_into
from trainables.nn.predictor import defect_probability
from trainables.nn.stage_predictor import StagePredictor

__all__ = ["Chain", "FocusPredictor", "Nets", "load"]


class Nets(nn.Module):
    """The nets that ``predict`` needs."""

    def __init__(self, segmenter: SegmentationNet, cam: CamMaps | None, *, uses_crf: bool) -> None:
        """``cam`` is None where the segmenter is a student, which has an image head."""
        super().__init__()
        self.segmenter = segmenter
        self.cam = cam
        self.uses_crf: Tensor
        self.register_buffer("uses_crf", torch.tensor(uses_crf))

    @classmethod
    def of(cls, config: FocusConfig) -> Nets:
        """Build the nets of a config with arbitrary weights, for saved ones to be read into."""
        segmenter = SegmentationNet(config, config.student_task if config.distill else None)
        cam = None if config.distill else CamMaps(Classifier(config), MapSettings(recentre=config.recentre))
        return cls(segmenter, cam, uses_crf=False)


class Chain(nn.Module):
    """All that the steps before the last one left."""

    def __init__(
        self,
        cam: CamMaps,
        first: SegmentationNet,
        *,
        second: SegmentationNet | None,
        inpainter: Inpainter | None,
        residual_scale: float,
        uses_crf: bool,
    ) -> None:
        super().__init__()
        self.cam = cam
        self.first = first  # S1
        self.second = second  # S2
        self.inpainter = inpainter
        self.residual_scale = residual_scale
        self.uses_crf = uses_crf


class FocusPredictor(StagePredictor[Nets, Chain | None, FocusConfig]):
    """Predicts with the chain's last net.

    Its stages are maps B × H × W in [0, 1]: ``cam``, ``final_cam`` (with IEM), ``pseudo`` (1 where the image,
    if it is decided defective, would be labelled so), ``s1``, ``s1_crf``, ``s2``, ``student``. And pictures
    B × C × H × W in [0, 1]: ``crop`` (with GCM), ``erased 1`` … (with IEM). Those before the segmentation
    nets are left out only if all of them are known.
    """

    def __init__(self, nets: Nets, config: FocusConfig, chain: Chain | None = None) -> None:
        super().__init__(nets, config, chain, uses_crf=bool(nets.uses_crf))

    @property
    def last_stage(self) -> str:
        if self.config.distill:
            return "student"
        if self.config.round:
            return "s2"
        return "s1_crf" if self.uses_crf else "s1"

    def predict_pass(self, images: Tensor) -> Prediction:
        output, cam = self.network.segmenter(images), self.network.cam
        score_B = output.cls_logits_B if cam is None else cam.net(images).score_B
        prob_BHW = self.refined(output.logits_BHW.sigmoid(), images)
        return Prediction(defect_probability(score_B), prob_BHW)

    def show_pass(self, images: Tensor, known: Collection[str]) -> StageMaps:
        chain, stages = self.earlier, dict[str, Tensor]()
        cam = self.network.cam if chain is None else chain.cam
        if cam is not None and not set(self.config.map_names) <= set(known):
            # Shown on one scale for all images and times the score, so a normal image stays dark.
            raw = cam(images)
            stages["cam"] = raw.scaled_by(cam.scale).map_BHW * raw.score_B.sigmoid()[:, None, None]
            if chain is not None:
                stages |= self._map_stages(images, raw, chain)
        if chain is not None:
            stages |= self._net_stages(images, chain, known)
        return StageMaps(self.predict_pass(images), stages)

    def _map_stages(self, images: Tensor, raw: RawMaps, chain: Chain) -> dict[str, Tensor]:
        """Stages between the map and the labels that are cut from it."""
        config, stages = self.config, dict[str, Tensor]()
        score_B11 = raw.score_B.sigmoid()[:, None, None]
        # In training the cut is drawn; its middle stands for it here.
        if config.gcm:
            cut_B = torch.full((len(images),), sum(config.gcm_cut) / 2, device=images.device)
            boxes_B4 = guided_boxes(raw.map_BHW, cut_B, pad=config.gcm_pad, min_share=config.gcm_min_share)
            stages["crop"] = crop(images, boxes_B4).clamp(0, 1)

        # Labels are cut from a map on the image's own scale, as in training; what is shown is times the
        # score.
        final_BHW = minmax(raw.map_BHW)
        if config.iem != "off":
            erased = erase(images, chain.cam, filler(config, chain.inpainter), config, raw)
            shown = [images, *erased.filled]
            for step in range(1, config.erasing_steps + 1):  # where all have stopped they stay as they are
                stages[f"erased {step}"] = shown[min(step, len(shown) - 1)]
            evidence = evidence_of(images, erased, config.iem_residual)
            final_BHW = extended_map(evidence, chain.residual_scale, config)
            stages["final_cam"] = final_BHW * score_B11
        labels_BHW = pseudo_labels(final_BHW, score_B11.flatten() >= 0.5, config.cutoffs)
        stages["pseudo"] = (labels_BHW == 1).float()
        return stages

    def _net_stages(self, images: Tensor, chain: Chain, known: Collection[str]) -> dict[str, Tensor]:
        """Probabilities of the segmentation nets before the last step, as far as they are not known."""
        # A net under two names is one net, shown before and after the CRF.
        nets = {"s1": chain.first}
        if chain.uses_crf:
            nets["s1_crf"] = chain.first
        if chain.second is not None:
            nets["s2"] = chain.second
        nets = {name: net for name, net in nets.items() if name not in {*known, self.last_stage}}
        refined = [name for name in nets if name != "s1"] if chain.uses_crf else []
        return self.probabilities(nets, refined, images)

    @torch.no_grad()
    def erasure_drops(self, images: Tensor) -> Tensor:
        """Falls of p(defect) in each image when what ``predict`` shows of it is painted over.

        A map that covers the defect makes the classifier see none: a measure of localisation that reads no
        mask. It needs the chain, which a loaded model does not have.

        Returns:
            B numbers in [−1, 1].
        """
        config, chain = self.config, self.earlier
        assert chain is not None, "a loaded model has no inpainter"
        # The rim goes too: a defect's edge left standing would still be seen.
        shown_BHW = dilate(self.predict(images).heatmap >= 0.5, config.erasing_rim)
        filled = filler(config, chain.inpainter)(images, shown_BHW)
        before_B, after_B = (chain.cam.net(x).score_B.sigmoid() for x in (images, filled))
        return before_B - after_B


def load(folder: Path) -> FocusPredictor:
    """Read what :meth:`FocusPredictor.save` wrote, to the CPU; no weights file is needed."""
    return FocusPredictor(*load_into(folder, FocusConfig, Nets.of))
