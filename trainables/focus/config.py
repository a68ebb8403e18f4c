"""Settings of the guided-cropping method: the classifier's, six switches, and what each switch brings.

``clm``, ``gcm``, ``iem``, ``crf``, ``round`` and ``distill`` turn the modules on. With all of them off the
method is a classifier, its class-activation map, pseudo labels and a segmentation net on them. A setting
whose name starts with a module's is read only where the module is on. Defaults of IEM, labels and
segmentation nets were measured on magnetic tiles; those of CLM and GCM are choices.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from trainables.cam.config import ClassifierConfig
from trainables.focus.extension import Erasing, Fuse, Mode, Residual
from trainables.focus.training import Course
from trainables.nn.crf import Crf
from trainables.nn.pseudo import Cutoffs, Policy

__all__ = ["FocusConfig"]

_LEAST_SIDE = 16  # pixels: what all nets' default depths can halve


class FocusConfig(ClassifierConfig, frozen=True):
    """Settings of one training of the chain."""

    recentre: bool = Field(
        True,
        description="Move all maps by one offset per net, found on training images without masks.",
    )

    clm: bool = Field(False, description="CLM, our reading: a contrastive loss over regions of the features.")
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

    gcm: bool = Field(False, description="GCM, our reading: a second look at crops that the map guides.")
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
        description="What fills: a U-Net trained on normal images, or OpenCV's method.",
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
    foreground: float = Field(0.5, gt=0, le=1, description="Start of the defect for threshold: fixed.")
    background: float = Field(0.2, ge=0, lt=1, description="End of the background; between: unknown.")
    area: float = Field(0.005, gt=0, lt=1, description="Share of a defective image, threshold: area_prior.")

    segment_base: int = Field(32, ge=4, le=128, description="Channels of segmentation nets at full size.")
    segment_levels: int = Field(4, ge=1, le=6, description="Halvings of segmentation nets.")
    segment_lr: float = Field(3e-3, gt=0, le=1, description="Learning rate of segmentation nets.")
    segment_batch: int = Field(8, ge=2, le=256, description="Images per step, half of them defective; even.")
    segment_epochs: int = Field(30, ge=1, le=10_000, description="Epochs of 2P images, P = defective images.")
    segment_min_steps: int = Field(250, ge=0, le=1_000_000, description="Least number of steps.")
    pos_weight: float = Field(
        30.0, gt=0, le=1000, description="Weight of defect pixels in the cross-entropy; 30 to 100."
    )
    dice_weight: float = Field(1.0, ge=0, le=100, description="Weight of the Dice loss.")

    crf: bool = Field(False, description="Refine probabilities by a CRF; it shrinks, and eats thin defects.")
    crf_w_rgb: float = Field(10.0, ge=0, le=100, description="Weight of being near and alike; 1 to 20.")
    crf_s_rgb: float = Field(
        10.0, gt=0, le=255, description="How unlike pixels may be, grey levels; 3 to 30."
    )
    crf_radius: int = Field(5, ge=1, le=20, description="Window, in steps of crf_dilation.")
    crf_dilation: int = Field(1, ge=1, le=16, description="Pixels between places of the window.")
    crf_steps: int = Field(10, ge=1, le=50, description="Mean-field updates; 3 to 10.")
    crf_guard: float = Field(
        1 / 3,
        ge=0,
        le=1,
        description="The CRF is left out if it leaves less than this share of the area on training images.",
    )

    round: bool = Field(
        False, description="An additional round: a new net learns from what the first one sees."
    )
    round_foreground: float = Field(0.5, gt=0, le=1, description="Its labels' defects start here.")
    round_background: float = Field(0.3, ge=0, lt=1, description="Their background ends here.")

    distill: bool = Field(False, description="Distil the chain into one segmentation net with an image head.")
    student_soft: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the last net's probabilities in its targets, against labels.",
    )
    student_image_weight: float = Field(0.5, ge=0, le=100, description="Weight of its image head's loss.")
    student_top_share: float = Field(
        0.01, gt=0, le=1, description="Share of pixels that its image head reads."
    )

    @model_validator(mode="after")
    def _chain_can_be_built(self) -> Self:
        for name, low, high in (
            ("background", self.background, self.foreground),
            ("round_background", self.round_background, self.round_foreground),
            ("gcm_cut", *self.gcm_cut),
        ):
            if low > high or (low == high and name != "gcm_cut"):
                raise ValueError(f"{name} ends below where the other starts: found {low} and {high}")
        if not 0 < self.gcm_cut[0] <= self.gcm_cut[1] < 1:
            raise ValueError(f"gcm_cut holds shares in (0, 1), found {list(self.gcm_cut)}")
        if min(self.image_size) < _LEAST_SIDE:
            raise ValueError(
                f"sides of image_size are {_LEAST_SIDE} pixels at least, found {list(self.image_size)}"
            )
        if self.segment_batch % 2:
            raise ValueError(
                f"half of a batch is defective: segment_batch is even, found {self.segment_batch}. "
                f"Use {self.segment_batch + 1}."
            )
        nets = {"segment_levels": self.segment_levels}
        if self.uses_inpainter:
            nets["inpainter_levels"] = self.inpainter_levels
        for name, levels in nets.items():
            if min(self.image_size) < 1 << levels:
                raise ValueError(
                    f"{levels} halvings need sides of at least {1 << levels} pixels, found image_size "
                    f"{list(self.image_size)}. Lower {name}."
                )
        return self

    @property
    def uses_inpainter(self) -> bool:
        """Whether an inpainting net is trained."""
        return self.iem != "off" and self.iem_inpainter == "unet"

    @property
    def refines(self) -> bool:
        """Whether the first net's opinion becomes labels."""
        return self.crf or self.round

    @property
    def erasing(self) -> Erasing:
        """IEM's settings at this image size."""
        return Erasing(
            mode=self.iem,
            steps=self.iem_steps,
            stop=self.iem_stop,
            threshold=self.iem_threshold,
            dilation=Erasing.pixels(self.iem_dilation, self.image_size),
            max_area=self.iem_max_area,
            fuse=self.iem_fuse,
            residual=self.iem_residual,
        )

    @property
    def cutoffs(self) -> Cutoffs:
        """The rule of pseudo labels; Otsu for maps without a residual, which have no scale to cut at."""
        policy = self.threshold
        if policy == "auto":
            policy = "fixed" if self.iem in {"residual", "both"} else "otsu"
        return Cutoffs(policy, self.foreground, self.background, self.area)

    @property
    def random_field(self) -> Crf:
        """The CRF."""
        return Crf(
            w_rgb=self.crf_w_rgb,
            s_rgb=self.crf_s_rgb,
            radius=self.crf_radius,
            dilation=self.crf_dilation,
            steps=self.crf_steps,
        )

    @property
    def segmenting(self) -> Course:
        """How long and how fast segmentation nets train."""
        return Course(
            epochs=self.segment_epochs,
            min_steps=self.segment_min_steps,
            batch_size=self.segment_batch,
            lr=self.segment_lr,
            weight_decay=self.weight_decay,
            schedule=self.schedule,
        )

    @property
    def inpainting(self) -> Course:
        """How long and how fast the inpainting net trains."""
        return Course(
            epochs=self.inpainter_epochs,
            min_steps=self.inpainter_min_steps,
            batch_size=self.inpainter_batch,
            lr=self.inpainter_lr,
            weight_decay=self.inpainter_weight_decay,
            schedule="constant",
        )

    def part(self, *prefixes: str, names: tuple[str, ...] = ()) -> dict[str, Any]:
        """The settings that start with a prefix or have a name, as JSON values: what a stage depends on."""
        own = self.model_dump(mode="json")
        return {name: own[name] for name in own if name.startswith(prefixes) or name in names}
