"""Settings of the guided-cropping method: the classifier's, six switches, and what each switch brings.

``clm``, ``gcm``, ``iem``, ``crf``, ``round`` and ``distill`` turn the modules on. With all of them off the
method is a classifier, its class-activation map, pseudo labels and a segmentation net on them. A setting
whose name starts with a module's is read only where the module is on. Defaults of IEM, labels and
segmentation nets were measured on magnetic tiles; those of CLM and GCM are choices.
"""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from trainables.cam.config import ClassifierConfig
from trainables.cam.config import count_parameters as count_classifier
from trainables.nn.choices import Cutoffs, ImageTask, Policy
from trainables.nn.settings import PseudoLabelConfig, check_halvings
from trainables.nn.weight_counts import plain_unet

__all__ = ["FocusConfig", "Fuse", "Residual", "count_parameters"]

Mode = Literal["off", "erase", "residual", "both"]
Fuse = Literal["residual", "mul", "max"]
Residual = Literal["blur", "msgms"]

_SIDE = 224  # pixels of the images on which the dilation was measured


class FocusConfig(ClassifierConfig, PseudoLabelConfig, frozen=True):
    """Settings of one training of the chain."""

    added_later = ClassifierConfig.added_later | {"student_start"}

    recentre: bool = Field(
        True,
        description="Move all maps by one offset per net, found on training images without masks.",
    )

    clm: bool = Field(False, description="CLM, our reading: a contrastive loss over regions. With GCM: DFC.")
    clm_mode: Literal["region_supcon", "image_supcon", "triplet"] = Field(
        "region_supcon", description="Features of regions or of whole images; SupCon or hardest triplets."
    )
    clm_weight: float = Field(0.1, ge=0, le=10, description="Weight of the contrastive loss; 0.01 to 1.")
    clm_temperature: float = Field(0.1, gt=0, le=1, description="Temperature of SupCon; 0.05 to 0.5.")
    clm_margin: float = Field(0.3, gt=0, le=2, description="Margin of clm_mode: triplet.")
    clm_dim: int = Field(128, ge=2, le=1024, description="Dimensions of the sphere that features go to.")
    clm_background: float = Field(
        0.2, gt=0, lt=1, description="Around the defect is where the map is below this; 0.1 to 0.4."
    )
    clm_warmup: int = Field(5, ge=0, le=1000, description="Epochs before CLM starts; 0 to 10.")
    clm_detach_map: bool = Field(True, description="The contrastive loss moves features, not the map itself.")
    clm_pull_defects: bool = Field(
        True, description="Features of defects attract each other; off: unlike kinds need not be alike."
    )
    clm_use_crops: bool = Field(True, description="Crops of GCM join the defects; without GCM nothing.")

    gcm: bool = Field(False, description="GCM, our reading: crops that the map guides. With CLM: DFC.")
    gcm_weight: float = Field(1.0, ge=0, le=10, description="Weight of the crops' cross-entropy; 0.1 to 2.")
    gcm_equivariance: float = Field(
        0.0, ge=0, le=10, description="Weight of |crop of the map − map of the crop| (SEAM 2020); 0: off."
    )
    gcm_cut: tuple[float, float] = Field(
        (0.4, 0.6), description="A box bounds what exceeds a share of the map's maximum, drawn from here."
    )
    gcm_pad: float = Field(0.1, ge=0, le=1, description="What a box's side gains at both ends; 0 to 0.2.")
    gcm_min_share: float = Field(
        0.25, gt=0, le=1, description="Least side of a box, as a share of the image's; 0.1 to 0.5."
    )
    gcm_warmup: int = Field(5, ge=0, le=1000, description="Epochs before GCM starts; 0 to 10.")
    gcm_average: float = Field(0.99, ge=0, lt=1, description="Decay of the averaged weights that draw boxes.")
    gcm_memory: int = Field(
        256, ge=1, le=100_000, description="Sizes of recent boxes, from which normal images' boxes are drawn."
    )

    iem: Mode = Field(
        "both",
        description="IEM, our reading: erase what was found, look again; the residual of inpainting; both.",
    )
    iem_fuse: Fuse = Field(
        "residual", description="The final map where there is a residual D: D, √(E D), or the larger one."
    )
    iem_residual: Residual = Field(
        "blur", description="D compares grey values smoothed by a pixel, or gradient magnitudes (msgms)."
    )
    iem_steps: int = Field(3, ge=1, le=10, description="Erasing steps at most (iem: residual takes one).")
    iem_stop: float = Field(0.2, ge=0, le=1, description="Erasing ends below this probability; 0.05 to 0.5.")
    iem_threshold: float = Field(0.3, gt=0, lt=1, description="Share of the map's maximum that is erased.")
    iem_dilation: float = Field(
        6.0, ge=0, le=50, description="Growth of what is erased, pixels at 224 × 224, scaled with the size."
    )
    iem_max_area: float = Field(0.4, gt=0, lt=1, description="Largest share of an image that is erased.")
    iem_inpainter: Literal["unet", "telea"] = Field(
        "unet",
        description="What fills: a U-Net trained on normal images, in float32 whatever precision says, or "
        "OpenCV's method.",
    )
    iem_radius: int = Field(3, ge=1, le=50, description="Neighbourhood of telea, pixels.")
    inpainter_base: int = Field(32, ge=4, le=128, description="Channels of its U-Net at full size.")
    inpainter_levels: int = Field(4, ge=1, le=6, description="Halvings of the inpainting U-Net.")
    inpainter_lr: float = Field(1e-4, gt=0, le=1, description="Its learning rate (RIAD).")
    inpainter_weight_decay: float = Field(1e-5, ge=0, le=1, description="Its decoupled weight decay (RIAD).")
    inpainter_batch: int = Field(4, ge=1, le=256, description="Its images per step (RIAD).")
    inpainter_epochs: int = Field(30, ge=1, le=10_000, description="Its passes over the normal images.")
    inpainter_min_steps: int = Field(0, ge=0, le=1_000_000, description="Its least number of steps.")

    threshold: Policy | Literal["auto"] = Field(
        "auto",
        description="Where labels start: fixed, Otsu's, or at a prior area; auto: fixed for a map with a "
        "residual, otsu for others. No mask is ever read.",
    )
    round: bool = Field(
        False, description="An additional round: a new net learns from what the first one sees."
    )

    distill: bool = Field(False, description="Distil the chain into one segmentation net with an image head.")
    student_soft: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the last net's probabilities in its targets, against labels.",
    )
    student_image_weight: float = Field(0.5, ge=0, le=100, description="Weight of its image head's loss.")
    student_start: Literal["random", "teacher"] = Field(
        "random",
        description="Its first weights: drawn, or those of the last segmentation net.",
    )
    student_top_share: float = Field(
        0.01, gt=0, le=1, description="Share of pixels that its image head reads."
    )

    @model_validator(mode="after")
    def _chain_can_be_built(self) -> Self:
        low, high = self.gcm_cut
        if not 0 < low <= high < 1:
            raise ValueError(f"gcm_cut holds shares in (0, 1), the lower first: found {list(self.gcm_cut)}")
        if self.uses_inpainter:
            check_halvings(self.image_size, "inpainter_levels", self.inpainter_levels)
        return self

    @property
    def uses_inpainter(self) -> bool:
        """True if an inpainting net is trained."""
        return self.iem != "off" and self.iem_inpainter == "unet"

    @property
    def refines(self) -> bool:
        """True if the first net's probabilities become labels."""
        return self.crf or self.round

    @property
    def erasing_steps(self) -> int:
        """Erasing steps at most; the residual alone takes one."""
        return 1 if self.iem == "residual" else self.iem_steps

    @property
    def erasing_rim(self) -> int:
        """Growth of what is erased at this image size, pixels."""
        height, width = self.image_size
        return round(self.iem_dilation * math.sqrt(height * width) / _SIDE)

    @property
    def map_names(self) -> tuple[str, ...]:
        """Stages that a trained chain shows on the way to its pseudo labels, those included."""
        names = ["cam", "crop"] if self.gcm else ["cam"]
        if self.iem != "off":
            names += [f"erased {step + 1}" for step in range(self.erasing_steps)]
            names.append("final_cam")
        return (*names, "pseudo")

    @property
    def student_task(self) -> ImageTask:
        """The image head of the student."""
        return ImageTask(self.student_top_share, self.student_image_weight)

    @property
    def cutoffs(self) -> Cutoffs:
        """The rule of pseudo labels; Otsu for maps without a residual, which have no scale to cut at."""
        policy = self.threshold
        if policy == "auto":
            policy = "fixed" if self.iem in {"residual", "both"} else "otsu"
        return Cutoffs(policy, self.foreground, self.background, self.area)


def count_parameters(config: FocusConfig) -> int:
    """Number of weights of a saved model: its last net, and the classifier where that is no student."""
    net = plain_unet(config.channels, config.segment_base, config.segment_levels, top=config.distill)
    return net + (0 if config.distill else count_classifier(config))
