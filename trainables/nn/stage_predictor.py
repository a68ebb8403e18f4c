"""A predictor of a chain of nets, whose stages can be shown: what chains that end in segmentation nets share.

A chain says which nets predict (``network``, which a saved model holds) and which others led there
(``earlier``, known after training only). Images go through both in passes, so that memory stays bounded.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from trainables.contract import StageMaps
from trainables.nn.batches.passes import joined_stages
from trainables.nn.labels.refine import sharpen
from trainables.nn.labels.segmentation import SegmentationNet
from trainables.nn.predictor import NetworkPredictor, NetworkT
from trainables.nn.settings import PseudoLabelConfig

__all__ = ["StagePredictor"]

LabelConfigT = TypeVar("LabelConfigT", bound=PseudoLabelConfig)
EarlierT = TypeVar("EarlierT", bound=nn.Module | None)


class StagePredictor(NetworkPredictor[NetworkT, LabelConfigT], Generic[NetworkT, EarlierT, LabelConfigT]):
    """Predicts with the last nets of a chain, and shows every stage of it."""

    def __init__(self, nets: NetworkT, config: LabelConfigT, earlier: EarlierT, *, uses_crf: bool) -> None:
        """``uses_crf``: decided here, so that an exported graph decides nothing."""
        super().__init__(nets.eval(), config)
        self.earlier = earlier
        self.uses_crf = uses_crf
        if earlier is not None:
            earlier.eval()

    @torch.no_grad()
    def predict_stages(self, images: Tensor, known: Collection[str] = ()) -> StageMaps:
        """The prediction and all stages on the way to it, in the chain's order. The last is the heatmap."""
        prediction, stages = joined_stages([self.show_pass(part, known) for part in self.passes(images)])
        last = {} if self.last_stage is None else {self.last_stage: prediction.heatmap}
        return StageMaps(prediction, {**stages, **last})

    @property
    @abstractmethod
    def last_stage(self) -> str | None:
        """Name of the stage whose map is the heatmap; None where the other stages hold it."""

    @abstractmethod
    def show_pass(self, images: Tensor, known: Collection[str]) -> StageMaps:
        """The prediction for one pass, and the stages before the last one, without ``known`` ones."""

    def refined(self, prob_BHW: Tensor, images: Tensor) -> Tensor:
        """The last net's probabilities, after the CRF where it is used."""
        return sharpen(prob_BHW, images * 255, self.config.refiner) if self.uses_crf else prob_BHW

    def probabilities(
        self, nets: Mapping[str, SegmentationNet], refined: Collection[str], images: Tensor
    ) -> dict[str, Tensor]:
        """Probabilities by the names of ``nets``, B × H × W each; those of ``refined`` after the CRF.

        A net under two names is asked once.
        """
        # A net under two names (before and after the CRF) runs once.
        outputs = {net: net(images).logits_BHW.sigmoid() for net in dict.fromkeys(nets.values())}
        maps = {name: outputs[net] for name, net in nets.items()}
        if refined:  # together: the weights of neighbours are those of the image
            prob_MBHW = torch.stack([maps[name] for name in refined])
            maps |= zip(refined, sharpen(prob_MBHW, images * 255, self.config.refiner), strict=True)
        return maps

    def to(self, device: torch.device) -> Self:
        if self.earlier is not None:
            self.earlier.to(device)
        return super().to(device)
