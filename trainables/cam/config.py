"""Settings of a classifier on image labels, and of the maps that are read off it.

Defaults are our reading for few images of a surface, from random weights: a short, narrow ResNet with cells
of 8 pixels, maximum pooling and local contrast; ``presets.py`` holds the published size beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self, cast

from pydantic import BaseModel, Field, model_validator

from trainables.nn.choices import TRUNK_WIDTHS, Fusion, Pool, TrunkName, TrunkStride
from trainables.nn.settings import BackboneConfig, BalancedTrainingConfig, InputLayer
from trainables.nn.trunk.file import TrunkChoice, TrunkFile
from trainables.nn.weight_counts import convolution, resnet, trunk

__all__ = [
    "CamConfig",
    "ClassifierConfig",
    "MapMethod",
    "MapSettings",
    "classifier_settings",
    "count_parameters",
]

MapMethod = Literal["cam", "grad_cam", "grad_cam++", "layer_cam"]


class ClassifierConfig(BackboneConfig, BalancedTrainingConfig, frozen=True):
    """Settings of one training of a classifier: all that its weights depend on."""

    added_later = frozenset({"trunk", "trunk_lr_ratio"})

    input: InputLayer = Field(
        "local_contrast",
        description="What convolutions see: (x − mean)/std of the training split, or the difference from a "
        "Gaussian blur over its root mean square.",
    )
    trunk: TrunkChoice[TrunkName | Literal["own"]] = Field(
        "own",
        description="Network below the head: own, the resnet18s of these settings; a published one up to "
        "its map of output_stride pixels (4 to 32), which weights_file starts; or any frozen network as an "
        "ONNX file, {file: …, sha256: …, maps: […]}, whose last map has output_stride pixels.",
    )
    trunk_lr_ratio: float = Field(
        0.1, ge=0, le=1, description="Learning rate of a published trunk in units of lr; 0: frozen."
    )
    pool: Pool = Field(
        "gmp", description="How the map of evidence becomes one logit: mean, mean of the top, lse, maximum."
    )
    top_share: float = Field(0.05, gt=0, le=1, description="Share of cells in pool: topk.")
    lse_r: float = Field(5.0, ge=0.1, le=100, description="r of pool: lse; large: nearer to the maximum.")
    min_steps: int = Field(
        320,
        ge=0,
        le=1_000_000,
        description="Epochs are added until there are this many steps (few images).",
    )

    @model_validator(mode="after")
    def _network_can_be_built(self) -> Self:
        # Building the network's shape refuses impossible strides, so the property is read for its errors.
        if self.trunk_file is not None:
            self.check_trunk_file(trunk_lr_ratio=0.0)
            if self.trunk_file.shapes and self.output_stride != self.trunk_file.strides[-1]:
                raise ValueError(
                    f"the head reads the last of trunk.maps, found output_stride: {self.output_stride} and "
                    f"maps of {list(self.trunk_file.strides)} pixels. Set output_stride: "
                    f"{self.trunk_file.strides[-1]}, or name other maps"
                )
            return self
        if self.trunk == "own":
            _ = self.resnet  # says which strides fit
            self.check_weights()
            return self
        if self.output_stride < 4 or self.norm != "bn":
            raise ValueError(
                f"trunk: {self.trunk} has maps of 4, 8, 16 or 32 pixels and norm: bn, found output_stride: "
                f"{self.output_stride} and norm: {self.norm}. Change these, or use trunk: own"
            )
        if self.weights_file is None and not self.trunk_lr_ratio:
            raise ValueError(
                f"trunk: {self.trunk} neither learns (trunk_lr_ratio: 0) nor has learned: found no "
                "weights_file. Name it, or raise trunk_lr_ratio"
            )
        return self

    @property
    def keeps_maps(self) -> bool:
        """True where a trunk's file sees training images in the same few views in every epoch."""
        return self.trunk_file is not None and not self.photometric and self.input == "standardised"

    @property
    def deepest(self) -> TrunkStride:
        """Stride of the map that the head reads of a published trunk."""
        assert self.output_stride >= 4, "checked above"
        return cast("TrunkStride", self.output_stride)

    @property
    def maps(self) -> Sequence[tuple[int, int]]:
        """Channels, and pixels between cells, of the map of each stage."""
        if isinstance(self.trunk, TrunkFile):
            return [(width, stride) for stride, width in self.trunk.widths.items()]
        if self.trunk == "own":
            return list(zip(self.resnet.widths, self.resnet.strides, strict=True))
        widths = TRUNK_WIDTHS[self.trunk]
        return [(widths[stride], stride) for stride in widths if stride <= self.output_stride]


class CamConfig(ClassifierConfig, frozen=True):
    """Settings of a classifier and of its class-activation maps."""

    method: MapMethod = Field(
        "cam",
        description="How maps are read off the classifier: from its head, or by gradients of the logit.",
    )
    layers: tuple[int, ...] = Field(
        (-1,),
        min_length=1,
        max_length=4,
        description="Stages of resnet18s or trunk that gradients explain (not method: cam): 1 first, "
        "-1 last.",
    )
    fusion: Fusion = Field(
        "mean", description="How the maps of several layers become one, each on its own scale."
    )
    recentre: bool = Field(
        True,
        description="Move all maps by one offset per net and layer, found on training images without masks.",
    )
    gate_by_score: bool = Field(True, description="Multiply the heatmap by the image's score.")

    @model_validator(mode="after")
    def _layers_exist(self) -> Self:
        for layer in self.layers:
            if not 1 <= abs(layer) <= len(self.maps):
                raise ValueError(
                    f"layers are stages of {'resnet18s' if self.trunk == 'own' else self.trunk}, 1 to "
                    f"{len(self.maps)} or -1 for the last: found {layer}"
                )
        if self.trunk_file is not None and self.method != "cam" and set(self.explained) != {len(self.maps)}:
            raise ValueError(
                "no gradient goes through a trunk's file: its last map alone can be explained, found layers: "
                f"{list(self.layers)}. Set layers: [-1], or method: cam"
            )
        if len(set(self.explained)) != len(self.layers):
            raise ValueError(f"a layer is explained once: found {list(self.layers)}")
        return self

    @property
    def explained(self) -> tuple[int, ...]:
        """``layers``, counted from 1."""
        return tuple(layer if layer > 0 else len(self.maps) + 1 + layer for layer in self.layers)


def classifier_settings(config: ClassifierConfig) -> dict[str, Any]:
    """Settings that a classifier's weights depend on, of any config that extends its config: JSON values.

    Without the name of a file: its sha256 says which weights they are.
    """
    settings = config.model_dump(
        mode="json", include=set(ClassifierConfig.model_fields), exclude={"weights_file"}
    )
    return ClassifierConfig.without_added_later(ClassifierConfig.without_locations(settings))


class MapSettings(BaseModel, frozen=True, extra="forbid"):
    """Choice of a map: all that it depends on, beside the classifier."""

    method: MapMethod = "cam"
    layers: tuple[int, ...] = ()  # stages from 1, for gradients; none for the CAM
    fusion: Fusion = "mean"
    recentre: bool = True

    @classmethod
    def of(cls, config: CamConfig) -> MapSettings:
        """Those of a config, without what its method does not read."""
        if config.method == "cam":
            return cls(recentre=config.recentre)
        fusion = config.fusion if len(config.layers) > 1 else "mean"
        return cls(method=config.method, layers=config.explained, fusion=fusion, recentre=config.recentre)


def count_parameters(config: ClassifierConfig) -> int:
    """Number of weights of the classifier."""
    below = resnet(config.resnet) if config.trunk == "own" else trunk(config.trunk, config.deepest)
    return below + convolution(config.maps[-1][0], 1, 1, bias=True)
