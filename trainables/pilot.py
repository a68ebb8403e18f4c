"""First trainings, whose maps say which images are worth a mask: stages that trials of several rules share.

A pilot is the trial's own method with its own settings, trained with the image labels and the masks that are
drawn first. The second one differs in its random numbers alone. Planning a pilot imports no torch.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from trainables.contract import Trainable, TrainableConfig
from trainables.data.spec import ChoiceRule
from trainables.later import Later
from trainables.stages import Stage, StageWork

__all__ = ["PILOTS", "make_pilot", "pilot_stages"]

PILOTS: dict[ChoiceRule, tuple[str, ...]] = {  # names of the stages that a rule needs
    "random": (),
    "uncertainty": ("pilot",),
    "disagreement": ("pilot", "second_pilot"),
    "coverage": (),
}


def pilot_stages(trainable: Trainable[Any], config: TrainableConfig, rule: ChoiceRule) -> list[Stage]:
    """The pilots of a trial in the order in which they are made; none for rules that ask no model."""
    make = partial(make_pilot, trainable=trainable, config=config)
    return [Stage(name, config.identity(), make) for name in PILOTS[rule]]


def make_pilot(work: StageWork, *, trainable: Trainable[Any], config: TrainableConfig) -> None:
    """Train a pilot, and leave its maps of the defective training images without a mask."""
    predictor = trainable.fit(config, work.data, work.run).to(work.run.device)
    if work.run.rank:
        return
    train = work.data.train
    samples = [
        sample
        for sample, label in zip(train.ids, train.labels, strict=True)
        if label and sample not in train.masks
    ]
    model = Later("trainables.model_scorer:ModelScorer")(predictor, work.run.device)
    Later("trainables.next_images:draw_maps")(model, samples, train.images).save(work.folder)
