"""A trained model under the conditions of ``test_under``, at the thresholds of its trial."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from assay.storage.conditions import ConditionResult
from trainables.data import ImageSet, Manifest
from trainables.data.conditions import Condition
from trainables.errors import InputError
from trainables.evaluation.conditions import images_under
from trainables.evaluation.evaluate import ChosenThresholds, evaluate_again
from trainables.evaluation.metrics import METRICS, Undefined
from trainables.evaluation.scorer import ImageScorer

__all__ = ["results_under"]


def results_under(
    conditions: Iterable[Condition],
    model: ImageScorer,
    manifest: Manifest,
    test: ImageSet,
    *,
    thresholds: ChosenThresholds,
    weights_hash: str,
) -> Iterator[ConditionResult]:
    """Evaluate a model under each condition, one after the other.

    Args:
        conditions: That nobody has evaluated it under.
        model: The trained model.
        manifest: Of its data; knows the properties of images.
        test: Its test images, with all masks there are.
        thresholds: Of its trial; nothing is chosen here.
        weights_hash: Of its trial.
    """
    for condition in conditions:
        properties = manifest.property(condition.by) if condition.kind == "where" else {}
        images = images_under(condition, test, properties)
        try:
            metrics = evaluate_again(model, images, thresholds, batch=model.images_at_once)
        except (FloatingPointError, InputError) as error:
            # The trial itself stands: only under this condition the model has no answer.
            metrics = {name: Undefined(str(error)) for name in METRICS}
        yield ConditionResult(
            condition=condition,
            weights_hash=weights_hash,
            image_threshold=thresholds.image,
            pixel_threshold=thresholds.pixel,
            metrics={name: value for name, value in metrics.items() if not isinstance(value, Undefined)},
            undefined={name: value.reason for name, value in metrics.items() if isinstance(value, Undefined)},
            n_test=len(images),
        )
