"""Predictions of somebody's own loop: assay draws the splits, and judges the scores and maps that come back.

::

    split/                         written by `assay data split study.yaml --output split`
      study.yaml                   the question
      trials.csv                   cell, seed, fold, id of the trial, its data and its answers
      data/<repeat>/train          images/ID.png  masks/ID.png  images.csv
      data/<repeat>/validation     the same
      data/<repeat>/test           images/NAME.png: images alone, under names that say nothing
      data/<repeat>/calibration    the same, where the study holds images out for the threshold alone
      answers/<cell>/<repeat>/validation   scores.csv  maps/ID.png or .npy    (to be filled in by the loop)
      answers/<cell>/<repeat>/test         the same, and of calibration

The folders are those that a method without Python gets and gives (:mod:`trainables.program.exchange`). What
is evaluated, and how, is the engine's own: equal predictions give equal numbers, whoever trained.
"""

from __future__ import annotations

from assay.extras import Extra

__all__ = ["EXTRA"]

EXTRA = Extra(
    name="elsewhere",
    summary="Predictions of a loop of your own: splits are written, scores and maps come back to a verdict.",
    commands={
        "assay data split study.yaml --output split": "assay.extras.elsewhere.command:split",
        "assay score split --data ~/surfaces": "assay.extras.elsewhere.command:score",
    },
)
