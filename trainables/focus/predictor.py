"""The trained chain, ready to judge images, and every step of it made visible.

``predict`` takes the shortest way. The student alone, if there is one: one pass of one net. Otherwise the
classifier's score, and the probabilities of the last segmentation net, after the CRF where that is on. A
saved model holds no more than that. ``predict_stages`` shows the whole chain after training, and of a loaded
model what is left.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from trainables.cam.maps import CamMaps, MapSettings, RawMaps
from trainables.cam.network import Classifier
from trainables.contract import Prediction, StageMaps
from trainables.focus.config import FocusConfig
from trainables.focus.extension import erase, evidence_of, extended_map
from trainables.focus.inpainting import filler
from trainables.nn.cam.activation import minmax
from trainables.nn.cam.crops import crop, guided_boxes
from trainables.nn.labels.inpaint import Inpainter
from trainables.nn.labels.pseudo import pseudo_labels
from trainables.nn.labels.refine import sharpen
from trainables.nn.labels.segmentation import SegmentationNet
from trainables.nn.layers.pooling import dilate
from trainables.nn.models import load_model, save_model, with_layout
from trainables.nn.passes import in_passes, joined

__all__ = ["Chain", "FocusPredictor", "Judge", "count_parameters", "load"]


class Judge(nn.Module):
    """The nets that ``predict`` needs."""

    def __init__(self, segmenter: SegmentationNet, cam: CamMaps | None, *, uses_crf: bool) -> None:
        """``cam`` is None where the segmenter is a student, which has an image head."""
        super().__init__()
        self.segmenter = segmenter
        self.cam = cam
        self.uses_crf: Tensor
        self.register_buffer("uses_crf", torch.tensor(uses_crf))

    @classmethod
    def of(cls, config: FocusConfig) -> Judge:
        """With arbitrary weights."""
        segmenter = SegmentationNet(config, config.student_task if config.distill else None)
        cam = None if config.distill else CamMaps(Classifier(config), MapSettings(recentre=config.recentre))
        return cls(segmenter, cam, uses_crf=False)


class Chain(nn.Module):
    """What the steps before the last one left."""

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


class FocusPredictor:
    """Judges images with the chain's last net."""

    def __init__(self, judge: Judge, config: FocusConfig, chain: Chain | None = None) -> None:
        self.judge = judge.eval()
        self.config = config
        self.chain = chain.eval() if chain is not None else None
        self._uses_crf = bool(judge.uses_crf)  # here, so that an exported graph decides nothing

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Prediction:
        """Judge ``images`` (B × C × H × W, float32 in [0, 1], on the predictor's device)."""
        return joined([self._part(part) for part in in_passes(images)])

    def _part(self, images: Tensor) -> Prediction:
        opinion, cam = self.judge.segmenter(images), self.judge.cam
        score_B = opinion.cls_logits_B if cam is None else cam.net(images).score_B
        prob_BHW = opinion.logits_BHW.sigmoid()
        if self._uses_crf:
            prob_BHW = sharpen(prob_BHW, images * 255, self.config.refiner)
        # In float32 every logit above 17 has the score 1; in float64 confident images keep their order.
        return Prediction(score_B.double().sigmoid(), prob_BHW)

    @torch.no_grad()
    def predict_stages(self, images: Tensor, known: Collection[str] = ()) -> StageMaps:
        """The answer, and what each step makes of ``images``, in order; the last one is its heatmap.

        Steps in ``known`` are left out, those before the segmentation nets if all of them are.

        Returns:
            Beside the answer maps B × H × W in [0, 1]: ``cam``, ``final_cam`` (with IEM), ``pseudo`` (1 where
            the image, if it is judged defective, would be labelled so), ``s1``, ``s1_crf``, ``s2``,
            ``student``. Pictures B × C × H × W in [0, 1]: ``crop`` (with GCM), ``erased 1`` … (with IEM).
        """
        prediction = self.predict(images)
        parts = [self._lineage(part, known) for part in in_passes(images)]
        stages = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return StageMaps(prediction, stages | {self._last: prediction.heatmap})

    @property
    def _last(self) -> str:
        if self.config.distill:
            return "student"
        if self.config.round:
            return "s2"
        return "s1_crf" if self._uses_crf else "s1"

    def _lineage(self, images: Tensor, known: Collection[str]) -> dict[str, Tensor]:
        chain = self.chain
        found: dict[str, Tensor] = {}
        cam = self.judge.cam if chain is None else chain.cam
        if cam is not None and not set(self.config.map_names) <= set(known):
            raw = cam(images)
            found["cam"] = cam.scaled(raw).map_BHW * raw.score_B.sigmoid()[:, None, None]
            if chain is not None:
                found |= self._of_maps(images, raw, chain)
        return found if chain is None else found | self._of_nets(images, chain, known)

    def _of_maps(self, images: Tensor, raw: RawMaps, chain: Chain) -> dict[str, Tensor]:
        """What is shown between the map and the labels that are cut from it."""
        config, found = self.config, dict[str, Tensor]()
        score_B11 = raw.score_B.sigmoid()[:, None, None]
        if config.gcm:
            cut_B = torch.full((len(images),), sum(config.gcm_cut) / 2, device=images.device)
            boxes_B4 = guided_boxes(raw.map_BHW, cut_B, pad=config.gcm_pad, min_share=config.gcm_min_share)
            found["crop"] = crop(images, boxes_B4).clamp(0, 1)
        final_BHW = minmax(raw.map_BHW)
        if config.iem != "off":
            erased = erase(images, chain.cam, filler(config, chain.inpainter), config.erasing, raw)
            for step in range(config.erasing.rounds):
                taken = min(step + 1, len(erased.filled_SBCHW))  # an image that stopped stays as it is
                found[f"erased {step + 1}"] = erased.filled_SBCHW[taken - 1] if taken else images
            evidence = evidence_of(images, erased, config.iem_residual)
            final_BHW = extended_map(evidence, chain.residual_scale, config.erasing)
            found["final_cam"] = final_BHW * score_B11
        labels_BHW = pseudo_labels(final_BHW, score_B11.flatten() >= 0.5, config.cutoffs)
        found["pseudo"] = (labels_BHW == 1).float()
        return found

    def _of_nets(self, images: Tensor, chain: Chain, known: Collection[str]) -> dict[str, Tensor]:
        """What the segmentation nets before the last step say, as far as it is not known."""
        nets = {"s1": chain.first}
        if chain.uses_crf:
            nets["s1_crf"] = chain.first
        if chain.second is not None:
            nets["s2"] = chain.second
        nets = {name: net for name, net in nets.items() if name not in {*known, self._last}}
        opinions = {net: net(images).logits_BHW.sigmoid() for net in dict.fromkeys(nets.values())}
        found = {name: opinions[net] for name, net in nets.items()}
        refined = [name for name in nets if name != "s1"] if chain.uses_crf else []
        if refined:  # together: the weights of neighbours are those of the image
            prob_MBHW = torch.stack([found[name] for name in refined])
            found |= zip(refined, sharpen(prob_MBHW, images * 255, self.config.refiner), strict=True)
        return found

    @torch.no_grad()
    def erasure_drops(self, images: Tensor) -> Tensor:
        """How far p(defect) falls in each image when what ``predict`` shows of it is painted over.

        A map that covers the defect makes the classifier see none: a measure of localisation that reads no
        mask. It needs the chain, which a loaded model does not have.

        Returns:
            B numbers in [−1, 1].
        """
        assert self.chain is not None, "a loaded model has no inpainter"
        config, chain = self.config, self.chain
        shown_BHW = dilate(self.predict(images).heatmap >= 0.5, config.erasing.dilation)
        filled = filler(config, chain.inpainter)(images, shown_BHW)
        before_B, after_B = (chain.cam.net(x).score_B.sigmoid() for x in (images, filled))
        return before_B - after_B

    def to(self, device: torch.device) -> Self:
        """The same predictor with its weights on ``device``."""
        self.judge.to(device)
        if self.chain is not None:
            self.chain.to(device)
        return self

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``config.json`` into an existing folder."""
        save_model(folder, self.judge, self.config)


def load(folder: Path) -> FocusPredictor:
    """Read what :meth:`FocusPredictor.save` wrote, to the CPU; no weights file is needed."""
    tensors, config = load_model(folder, FocusConfig)
    judge = Judge.of(config)
    judge.load_state_dict(tensors)
    return FocusPredictor(with_layout(judge, config), config)


def count_parameters(config: FocusConfig) -> int:
    """Number of weights of a saved model; nothing is allocated (torch's meta device)."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in Judge.of(config).parameters())
