"""A check of every trained model: an image has one answer, whenever it is asked and whatever is in its batch.

::

    refuse_changing_scores(model, pictures_to_compare(validation), precision="float32")

A score that depends on the images beside it is no score of the image. Two methods are then compared by wrong
numbers, and a camera that sends one photo at a time sees other scores than the study did. So before a model
is evaluated a few images are asked in one batch, the same batch again, and each image alone. What differs by
more than rounding is refused.

Rounding differs because another batch goes through other kernels. It is counted in log-odds L, so that a
score near 0 or 1 counts as one in the middle does, and against 1 + |L|, as rounding grows with a logit. Over
all methods here, trained small on a CPU, scores differed by no more than 0.000001 in float32 and 0.0003 in
bfloat16, and the worst pixel by 0.00006 and 0.015. More than 0.005 and 0.05 is refused.

It takes half a percent of a short trial: 0.04 s of CPU after 8 s of training (a small U-Net, 64 × 64 pixels).

Trade-off: in a heatmap a tenth of the pixels that show something may differ. Where a map is cut at a
threshold, rounding alone turns single pixels over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.data.samples import ImageSet
from trainables.errors import InputError
from trainables.evaluation.scorer import IMAGES_AT_ONCE, ImageScorer, refuse_outside
from trainables.evaluation.stage_maps import PIXELS_AT_ONCE

__all__ = ["TOLERANCES", "pictures_to_compare", "refuse_changing_scores"]

# Of log-odds and 1: what is rounding, by the arithmetic of the method.
TOLERANCES: Mapping[str, float] = {"float32": 0.005, "bfloat16": 0.05}
_OF_EACH = 2  # defective and normal images
_UNSEEN = 2e-6  # of a number in [0, 1]: some units of what float32 can tell from 1
_PIXELS = 0.1  # of those that show something


def pictures_to_compare(images: ImageSet) -> dict[str, NDArray[np.uint8]]:
    """Two defective and two normal images by their ids, as far as there are; of large images a tile each."""
    # Both classes, since a model that errs may do so on one kind only.
    by_label = np.argsort(~images.labels, kind="stable").tolist()  # defective ones first
    chosen = dict.fromkeys([*by_label[:_OF_EACH], *by_label[-_OF_EACH:]])
    pictures = {images.ids[i]: images.given[images.ids[i]] for i in chosen}
    if images.tiles is not None:
        for sample, image in pictures.items():
            tiles = [tile for _, tile in images.tiles.cut(image)]
            pictures[sample] = tiles[len(tiles) // 2]
    return pictures


def refuse_changing_scores(
    model: ImageScorer,
    pictures: Mapping[str, NDArray[np.uint8]],
    precision: str,
    known: Collection[str] = (),
) -> None:
    """Ask a model for a few pictures together, together again, and one by one.

    Args:
        model: Trained, in evaluation mode.
        pictures: Some images at the network's input size, by name. A single one is joined by its negative.
        precision: Arithmetic of the model, `float32` or `bfloat16`.
        known: Stages that a model which shows them may leave out.

    Raises:
        InputError: If answers differ by more than rounding.
        FloatingPointError: If one is no finite number: the model has diverged.
    """
    if len(pictures) == 1:
        ((name, picture),) = pictures.items()
        white = np.iinfo(picture.dtype).max
        pictures = {name: picture, f"the negative of {name}": white - picture}
    # Twice the same batch: a difference means random numbers or a state that changes.
    images = list(pictures.values())
    together, again = (_score(model, pictures, images) for _ in range(2))
    # The same batch goes through the same kernels, whatever the arithmetic.
    if difference := _difference(pictures, together, again, TOLERANCES["float32"]):
        raise InputError(
            f"a predictor gives the same answer whenever it is asked, found {difference} when one batch was "
            "asked twice. Mend the method's `predict`: no dropout (`F.dropout(…, training=True)`), no random "
            "numbers, and nothing that one call changes for the next."
        )
    # Of a model whose every answer costs the start of a program, one image is asked alone.
    names = list(pictures)[: 1 if model.images_at_once > IMAGES_AT_ONCE else None]
    singly = [_score(model, [name], [pictures[name]]) for name in names]
    alone = _Scored(*(np.concatenate(parts) for parts in zip(*singly, strict=True)))
    if difference := _difference(names, together, alone, TOLERANCES[precision]):
        raise InputError(
            f"scores depend on what is in the batch: call .eval(). Found {difference}, in a batch of "
            f"{len(pictures)} and alone. Mend the method's `predict`: every network that it uses is in "
            "evaluation mode, and it takes no mean, spread or maximum over several images "
            "(`F.batch_norm(…, training=True)`, `x / x.max()`)."
        )
    if not model.shows_stages:
        return
    # Test images of such a model are asked by the other hook, whose prediction counts.
    height, width = images[0].shape[:2]
    count = max(1, PIXELS_AT_ONCE // (height * width))
    staged = _score(model, list(pictures)[:count], images[:count], known)
    if difference := _difference(list(pictures)[:count], staged, alone, TOLERANCES[precision]):
        raise InputError(
            "the prediction of `predict_stages` is that of `predict`, whatever is in the batch, found "
            f"{difference}. Mend the method's `predict_stages`."
        )


class _Scored(NamedTuple):
    scores: NDArray[np.float64]  # B
    heatmaps: NDArray[np.float32]  # B × H × W


def _score(
    model: ImageScorer,
    names: Iterable[str],
    images: Sequence[NDArray[np.uint8]],
    known: Collection[str] | None = None,
) -> _Scored:
    scored = model.score(images, known)
    hook = "predict" if known is None else "predict_stages"
    for name, score, heatmap in zip(names, scored.scores, scored.heatmaps, strict=True):
        refuse_outside("score", name, score, hook)
        refuse_outside("heatmap", name, heatmap, hook)
    return _Scored(scored.scores, scored.heatmaps)


def _difference(names: Iterable[str], first: _Scored, second: _Scored, tolerance: float) -> str | None:
    """The first image whose answers differ by more than rounding, in words; None where none does."""
    for i, name in enumerate(names):
        a, b = first.scores[i], second.scores[i]
        if _differ(a, b, tolerance):
            return f"scores {a:.6g} and {b:.6g} of {name}"
        one, other = first.heatmaps[i], second.heatmaps[i]
        # Pixels where both maps are 0 say nothing and would dilute the share.
        shown = int(np.count_nonzero((one > _UNSEEN) | (other > _UNSEEN)))
        changed = int(np.count_nonzero(_differ(one, other, tolerance)))
        if changed > _PIXELS * shown:
            return f"{changed:,} of {shown:,} pixels of the heatmap of {name} that differ"
    return None


def _differ(
    a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]], tolerance: float
) -> NDArray[np.bool_]:
    """True where numbers in [0, 1] differ by more than rounding."""
    first, second = _log_odds(a), _log_odds(b)
    allowed = tolerance * (1 + np.minimum(np.abs(first), np.abs(second)))
    return (np.abs(first - second) > allowed) & (np.abs(a - b) > _UNSEEN)


def _log_odds(p: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    clipped = np.clip(p.astype(np.float64), _UNSEEN, 1 - _UNSEEN)
    return np.log(clipped) - np.log1p(-clipped)
