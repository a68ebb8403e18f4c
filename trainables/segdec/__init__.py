"""SegDecNet with mixed supervision: finds defects, learning from image labels and any number of masks.

Božič, Tabernik, Skočaj: Mixed supervision for surface-defect detection: from weakly to fully supervised
learning. Computers in Industry 129 (2021) 103459, arXiv:2104.06064. Written from the paper and from the
behaviour of the released code.

    trainable: segdec
    config: {preset: ksdd, image_size: [704, 256], channel_scale: 0.25}
"""

from __future__ import annotations

from trainables.contract import Grid, Trainable
from trainables.runtime.lazy_import import LazyFunction
from trainables.segdec.config import SegDecConfig, count_parameters
from trainables.segdec.presets import PRESETS, footnotes, needs_normal, objections

__all__ = ["TRAINABLE", "SegDecConfig"]

TRAINABLE: Trainable[SegDecConfig] = Trainable(
    name="segdec",
    # On CPUs: 5: oneDNN's products for large maps; 4: fewer spectra at a time for small ones; 3: the wide
    # layer on spectra of rows; 2: of tiles.
    revision=6,
    title="SegDecNet with mixed supervision",
    source="Božič, Tabernik, Skočaj 2021, arXiv:2104.06064 (the paper), and what its authors released "
    "(the code)",
    Config=SegDecConfig,
    presets=PRESETS,
    supervisions=frozenset({"weak", "mixed", "full"}),
    fit=LazyFunction("trainables.segdec.fit:fit"),
    load=LazyFunction("trainables.segdec.predictor:load"),
    footnotes=footnotes,
    objections=objections,
    needs_normal=needs_normal,
    parameters=count_parameters,
    reads_validation=lambda config: config.checkpoint == "best",
    mask_target=LazyFunction("trainables.segdec.mask_maps:mask_target"),
    grid=lambda config: Grid(stride=8, window=17, dilation=config.dilation),
)
