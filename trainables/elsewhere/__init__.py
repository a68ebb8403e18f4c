"""A method that somebody trains with a loop of his own: assay draws the splits and reads what it predicts.

    trainable: elsewhere
    config: {image_size: [256, 256]}
    factors:
      loss: {bce: {config: {loss: bce}}, dice: {config: {loss: dice}}}

`assay data split` writes what each repeat may see, and `assay score` judges the scores and maps that come
back. Settings beyond those of every method are free: they name what the loop did, so that variants have ids
of their own. Nothing holds them against the loop, and nothing is known of what a model that was trained
elsewhere has seen: its records say so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NoReturn

from pydantic import Field

from trainables.contract import Trainable, TrainableConfig
from trainables.data.samples import TrainingData
from trainables.errors import InputError
from trainables.run import Run

__all__ = ["TRAINABLE", "TRAINED_ELSEWHERE", "ElsewhereConfig"]

TRAINED_ELSEWHERE = "trained elsewhere: what it has seen is not known"  # a note of every record


class ElsewhereConfig(TrainableConfig, frozen=True, extra="allow"):
    """Settings that every method has, and any of the loop's own."""

    added_later = frozenset({"images"})
    images: Literal["resized", "stored"] = Field(
        "resized",
        description="What the loop is given: images at image_size with 8 bits, or as they are stored, with "
        "their bits and at their size; maps are brought to image_size.",
    )
    # The way in which pydantic types settings that are not named.
    __pydantic_extra__: dict[str, bool | int | float | str] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]


def _fit(config: ElsewhereConfig, data: TrainingData, run: Run) -> NoReturn:
    raise InputError(
        "`trainable: elsewhere` is trained by a loop of your own, found `assay run`. Write what it may see "
        "with `assay data split`, and score what it predicts with `assay score`."
    )


def _load(folder: Path) -> NoReturn:
    raise InputError(
        f"a model that was trained elsewhere is not here, found none in {folder}. Ask its own loop."
    )


TRAINABLE: Trainable[ElsewhereConfig] = Trainable(
    name="elsewhere",
    revision=1,
    title="Trained elsewhere, scored here",
    source="whoever wrote the loop",
    Config=ElsewhereConfig,
    presets={},
    supervisions=frozenset({"none", "weak", "mixed", "full"}),
    fit=_fit,
    load=_load,
    footnotes=lambda config: (TRAINED_ELSEWHERE,),
    needs_normal=lambda config: None,
    gives_stored=lambda config: config.images == "stored",
    reads_classes=True,
    trained_here=False,
)
