"""The stages of a trunk that is a file: its maps of training images; without torch.

They read images alone. So whatever cells learn from and by whichever method, they share them: maps of normal
images from no labels to all masks, those of defective images wherever these are seen at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from trainables.nn.choices import Flips
from trainables.nn.trunk.file import TrunkFile
from trainables.run import ImageKind, Stage
from trainables.runtime.lazy_import import LazyFunction

__all__ = ["TRUNK_STAGES", "trunk_stages"]

TRUNK_STAGES: dict[ImageKind, str] = {"normal": "normal_maps", "defective": "defect_maps"}
_REVISION = 1  # raised when maps change


def trunk_stages(
    file: TrunkFile, flips: Flips, kinds: Sequence[ImageKind] = ("normal", "defective")
) -> list[Stage]:
    """A stage for the images of each kind, in every view that ``flips`` shows."""
    settings = {"sha256": file.sha256, "maps": list(file.maps), "flips": flips}
    make = LazyFunction("trainables.nn.trunk.kept_maps:make_trunk_maps")
    return [
        Stage(
            TRUNK_STAGES[kind],
            settings,
            partial(make, trunk=file.model_dump(mode="json"), kind=kind),
            owner={"trainable": "trunk", "revision": _REVISION},
            images=kind,
        )
        for kind in kinds
    ]
