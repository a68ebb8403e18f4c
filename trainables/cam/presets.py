"""Settings by name, and what a table owes to its reader.

``small`` trains from random weights in a minute or two on one core; ``standard``, with a stage more, is for
larger images and a GPU; ``pretrained`` is the layout that a ``weights_file`` fits (the file and its sha256
come with the study). None is published: the maps' papers explain networks trained on photographs of things.

``small`` was chosen on three splits of magnetic tiles. Image AP of two of them: blowholes (128 × 128) 0.91
and 0.79, cracks (160 × 160) 0.87 and 0.72, where about a tenth and a twentieth of the images are defective.
``standard`` is what an earlier experiment found on tiles of 224 × 224 pixels (image AP 0.82 to 0.86 of
blowholes, 0.59 to 0.91 of cracks); the usual layout with 16-pixel cells and mean pooling, from random
weights, found nothing there (pixel AP 0.002).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainables.cam.config import CamConfig

__all__ = ["PRESETS", "footnotes"]

_Settings = Mapping[str, Any]

_SMALL: _Settings = {
    # Cells that see 23 pixels: on 40 images of cracks a deeper net learned the tiles instead.
    "input": "local_contrast", "width": 16, "stem": "mid", "stages": 2, "blocks": 1, "output_stride": 4,
    # A maximum learns from one cell of an image: on one of the three splits of cracks it put the map beside
    # them (pixel AP 0.01; 0.12 with a smooth maximum).
    "norm": "bn", "pool": "lse", "photometric": 0.4, "lr": 3e-3, "weight_decay": 0.01, "schedule": "cosine",
    "batch_size": 16, "epochs": 30, "min_steps": 320,
}  # fmt: skip
_STANDARD: _Settings = {
    **_SMALL, "stages": 3, "output_stride": 8,
    "pool": "gmp", "photometric": 0.2, "weight_decay": 1e-4, "epochs": 50,
}  # fmt: skip
_PRETRAINED: _Settings = {
    **_STANDARD, "input": "standardised", "width": 64, "stem": "tv", "stages": 4, "blocks": 2,
    "output_stride": 16, "lr": 3e-4,
}  # fmt: skip

PRESETS: Mapping[str, _Settings] = {
    "small": _SMALL,
    "standard": _STANDARD,
    "pretrained": _PRETRAINED,
}


def footnotes(config: CamConfig) -> Sequence[str]:
    """Footnotes of a table about ``config``."""
    notes = config.weights_notes
    if config.pool != "gap":
        notes.append(
            f"pool: {config.pool} (our reading). Class-activation maps were published for mean pooling; a "
            "1 × 1 head before the pooling keeps them exact under any."
        )

    # A row with recentred maps cannot be held against published maps, which lie where the network put them.
    if config.recentre:
        notes.append(
            "recentre (our reading). Maps are moved by one offset per trained net and layer, at which those "
            "of defective training images agree best with |x − blur(x)|; no mask is read."
        )
    if config.method != "cam" and config.explained != (len(config.maps),):
        notes.append(
            f"layers: {', '.join(map(str, config.explained))}. {config.method} at inner stages; each stage's "
            "map is put on one scale for all images, where the paper scales each image by itself."
        )
    return notes
