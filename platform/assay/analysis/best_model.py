"""The best cell and trial of a study by its validation images: test images choose nothing."""

from __future__ import annotations

import math

from assay.analysis.results.results import StudyResults
from assay.storage.record import Record
from trainables.errors import InputError

__all__ = ["best_cell", "best_trial", "worth_on_validation"]


def best_trial(results: StudyResults) -> Record:
    """The best trial of the best cell; of a study that trained one model, that one.

    Raises:
        InputError: If no trial of several has a value on validation images, or they are of several data sets.
    """
    if len(results.trained) == 1:  # nothing is chosen
        return next(iter(results.trained))[1]
    cell, _ = best_cell(results)
    of_cell = [record for trial, record, _ in results.trained if trial.cell == cell]
    return max(of_cell, key=lambda record: worth_on_validation(results, record))


def best_cell(results: StudyResults) -> tuple[str, float]:
    """The cell with the best mean of the primary metric on validation images, and the mean.

    Raises:
        InputError: If no trial has a value there, or the cells stand on several data sets.
    """
    if len(results.data_sets) > 1:
        raise InputError(
            f"the best cell is that of the best mean on one data set, and {results.name} has cells on "
            f"{len(results.data_sets)}. Name a trial."
        )

    # A trial without a value would make the mean of its cell −∞, so each mean is over those that have one.
    values: dict[str, list[float]] = {}
    for trial, record, _ in results.trained:
        value = worth_on_validation(results, record)
        if value > -math.inf:
            values.setdefault(trial.cell, []).append(value)
    if not values:
        raise InputError(
            f"the best cell is chosen on validation images, and no trial of {results.name} has a value of "
            f"{results.primary.name} there. Name a trial, or give the study a validation part: "
            "data.validation."
        )
    means = {cell: math.fsum(of_cell) / len(of_cell) for cell, of_cell in values.items()}

    # The values are signed so that larger is better; whoever reads the mean wants it as the metric has it.
    best = max(means, key=lambda cell: means[cell])
    return best, results.primary.sign * means[best]


def worth_on_validation(results: StudyResults, record: Record) -> float:
    """Primary metric on validation images, larger is better; −∞ where there is none."""
    value = None if record.result is None else record.result.validation.get(results.primary.name)
    return -math.inf if value is None else results.primary.sign * value
