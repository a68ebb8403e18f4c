"""The stages of the method: the trunk of one's own, and the maps of training images; without torch.

The maps of a trunk that is a file are those of ``trainables/nn/trunk/stages.py``, which all methods share.

Trials that differ in their heads, noise or losses alone share both.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from trainables.cam.config import ClassifierConfig, classifier_settings
from trainables.cam.stages import classifier_stages
from trainables.nn.trunk.stages import trunk_stages
from trainables.runtime.lazy_import import LazyFunction
from trainables.stages import Stage
from trainables.supersimple.config import SuperSimpleConfig

__all__ = ["MAPS", "stages", "trunk_stage"]

MAPS = "maps"
_READ = ("image_size", "channels", "precision", "memory_format", "trunk", "finer_stride", "head_flips")


def trunk_stage(config: SuperSimpleConfig) -> Stage | None:
    """The training of the trunk; None where it stays as it was published."""
    if not config.learns:
        return None
    if config.trunk == "own":  # no rate of a published trunk is read, so the stage is that of `cam`
        ratio = ClassifierConfig.model_fields["trunk_lr_ratio"].default
        config = config.model_copy(update={"trunk_lr_ratio": ratio})
    if config.own_task == "labels":
        return classifier_stages(config)[-1]  # a trunk that learns is no file, so nothing comes before it
    make = partial(
        LazyFunction("trainables.supersimple.rotations:make_rotations"), weights_file=config.weights_file
    )
    return Stage("rotations", classifier_settings(config), make)


def stages(config: SuperSimpleConfig) -> Sequence[Stage]:
    """The own trunk's training, if any, then the maps of the training images, where they are kept."""
    trunk = trunk_stage(config)
    chain = [] if trunk is None else [trunk]
    if config.keep_maps and config.trunk_file is not None:
        chain += trunk_stages(config.trunk_file, config.head_flips)
    elif config.keep_maps:
        # The maps depend on the trunk: a trained one is in the key through its stage, a published one
        # through its sha256.
        published = () if trunk is not None else ("weights_sha256",)
        file = None if trunk is not None else config.weights_file
        make = partial(LazyFunction("trainables.supersimple.features:make_maps"), weights_file=file)
        after = tuple(stage.name for stage in chain)
        settings = config.without_added_later(config.part(names=(*_READ, *published)))
        chain.append(Stage(MAPS, settings, make, after=after))
    return chain
