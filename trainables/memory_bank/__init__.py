"""Memory bank (PatchCore): how far a place is from the nearest place of all normal images.

Nothing is trained. A published network, frozen, describes every place of the normal images. A few
descriptions that cover all of them are remembered. A place that resembles none of these is a defect. What
every engineer asks for first where there are normal images only, and what any trained method has to beat.

    trainable: memory_bank
    supervision: none
    config: {preset: small, image_size: [128, 128], weights_file: lite0.pth, weights_sha256: …}

``trunk: {file: net.onnx, sha256: …, maps: […]}`` reads any other network, exported to ONNX.

With ``preset: anomaly_dino`` a transformer describes patches, and what is remembered are all of them.

Published, with wide_resnet50_2 and a tenth of the places, means over the fifteen classes of MVTec AD at
224 × 224: image AUROC .992, pixel AUROC .981, PRO .944 (the authors' repository; the paper's .996 joins three
networks). AnomalyDINO from a single normal image, at 672 pixels with background masks and rotations: .966.

Sources: Roth et al. 2022, arXiv:2106.08265 (PatchCore); Damm et al. 2025, arXiv:2405.14529 (AnomalyDINO).
"""

from __future__ import annotations

from trainables.contract import Grid, Trainable
from trainables.memory_bank.config import MemoryBankConfig, count_parameters
from trainables.memory_bank.presets import PRESETS, footnotes
from trainables.memory_bank.stages import stages
from trainables.runtime.lazy_import import LazyFunction

__all__ = ["TRAINABLE", "MemoryBankConfig"]


def _grid(config: MemoryBankConfig) -> Grid:
    stride = config.strides[0]
    return Grid(stride, 0, first=(stride - 1) / 2 if config.sees_patches else 0)


TRAINABLE: Trainable[MemoryBankConfig] = Trainable(
    name="memory_bank",
    revision=1,
    title="Memory bank of normal places (PatchCore)",
    source="Roth et al. 2022, arXiv:2106.08265",
    Config=MemoryBankConfig,
    presets=PRESETS,
    supervisions=frozenset({"none"}),
    fit=LazyFunction("trainables.memory_bank.fit:fit"),
    load=LazyFunction("trainables.memory_bank.predictor:load"),
    footnotes=footnotes,
    objections=lambda config, supervision, data: config.trunk_objections,
    stages=stages,
    parameters=count_parameters,
    grid=_grid,
)
