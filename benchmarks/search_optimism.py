"""How much better a search's winner looks than it is: plain searches, nested ones, several splits.

    python -m benchmarks.search_optimism

Fixed scorers: no point is better than another, so what its winner gains over the mean of all points is
optimism, and nothing else. 399 images, 52 of them defective, as KolektorSDD has them. A scorer's error on an
image is the same wherever the image lies, as that of a deterministic method would be. A network that is
trained anew on another fold shares less of it, so the figures are upper ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.worlds import average_precision

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

IMAGES, DEFECTIVE, STUDIES = 399, 52, 400
_SHIFT, _SHARED = 2.6, 0.5  # an AP near .86; half of the variance is the image's, the same for all points
_VALIDATION, _TEST, _FOLDS = 0.2, 0.3, 3
_SPLITS, _FRESH = (0, 1), range(2, 7)  # seeds of the search, and of its winner

LABELS = np.arange(IMAGES) < DEFECTIVE


def ap_on(scores_PN: Floats, images_M: Ids) -> Floats:
    """Average precision of P points on some of the N images."""
    chosen_PM = scores_PN[:, images_M]
    return average_precision(np.broadcast_to(LABELS[images_M], chosen_PM.shape), chosen_PM)


def hold_out(images: Ids, share: float, draw: np.random.Generator) -> tuple[Ids, Ids]:
    """Split images into those that stay and those held out, a share of defective and of normal ones."""
    held = np.concatenate(
        [
            draw.permutation(part)[: round(share * len(part))]
            for part in (images[LABELS[images]], images[~LABELS[images]])
        ]
    )
    return np.setdiff1d(images, held), held


def parts(kind: str, draw: np.random.Generator) -> Iterator[tuple[Ids, Ids]]:
    """(Validation images, test images) of each fold, or of each seed's split."""
    everything = np.arange(IMAGES)
    rest = everything
    for number in range(_FOLDS if kind == "folds" else len(_SPLITS) + len(_FRESH)):
        if kind == "folds":
            left = _FOLDS - number
            rest, test = hold_out(rest, 1 / left, draw) if left > 1 else (rest, rest)
        else:
            _, test = hold_out(everything, _TEST, draw)
        yield hold_out(np.setdiff1d(everything, test), _VALIDATION, draw)[1], test


def optimism(kind: str, points: int, *, nested: bool, draw: np.random.Generator) -> float:
    """The test score of one study's winner, minus the mean of all its points on the same images."""
    of_point = draw.normal(size=(points, IMAGES)) * (1 - _SHARED) ** 0.5
    scores = _SHIFT * LABELS + of_point + draw.normal(size=IMAGES) * _SHARED**0.5
    split = list(parts(kind, draw))
    validation = np.array([ap_on(scores, images) for images, _ in split])
    test = np.array([ap_on(scores, images) for _, images in split])
    searched = slice(None) if kind == "folds" else slice(len(_SPLITS))
    tested = slice(None) if kind == "folds" else slice(len(_SPLITS), None)
    if nested:  # each search is tested where it searched
        winners = validation[searched].argmax(axis=1)
        gains = [test[k, winner] - test[k].mean() for k, winner in enumerate(winners)]
        return float(np.mean(gains))
    winner = validation[searched].mean(axis=0).argmax()
    return float((test[tested, winner] - test[tested].mean(axis=1)).mean())


def main() -> None:
    """Print the table of docs/benchmarks.md."""
    print("| search | 20 points | 60 points |\n|---|---:|---:|")  # noqa: T201
    for kind in ("folds", "per_seed"):
        for nested in (False, True):
            texts: list[str] = []
            for points in (20, 60):
                draw = np.random.default_rng([points, nested, kind == "folds"])
                gains = [optimism(kind, points, nested=nested, draw=draw) for _ in range(STUDIES)]
                error = np.std(gains, ddof=1) / STUDIES**0.5
                texts.append(f"{np.mean(gains):+.3f} (se {error:.3f})")
            name = f"{'nested, ' if nested else ''}{kind}"
            print(f"| {name} | {' | '.join(texts)} |")  # noqa: T201


if __name__ == "__main__":
    main()
