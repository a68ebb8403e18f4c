"""Made-up studies of which the truth is known: what the calibration is measured on, here and in the tests.

A world draws the scores of two cells, repeat by repeat. Most have no effect: the differences are symmetric
about 0, whatever the scores look like. In the *stress* worlds the cells have the same mean and other shapes;
no test is exact there. ``results_of_pairs`` asks assay about thousands of such studies at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from assay.statistics.contrasts import comparison
from assay.statistics.families import ComparisonResult, Rules, compare_families

__all__ = [
    "DEFECTS",
    "NO_EFFECT",
    "STRESS",
    "WORLDS",
    "World",
    "average_precision",
    "item_predictions",
    "learner_scores",
    "results_of_pairs",
    "tidy_table",
]

Scores = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], Scores]  # (rng, draws, n) → 2 × draws × n: cells a, b

DEFECTS = 17  # defective test images: scores near the ceiling come in steps of 1/17
_COLLAPSE, _COLLAPSES = 0.3, 0.05  # what a repeat loses, and how often


@dataclass(frozen=True)
class World:
    """Scores of two cells, a and b, whose expected difference is known."""

    name: str
    about: str
    draw: Draw
    difference: float = 0.0  # expected score of a minus that of b
    no_effect: bool = True  # differences are symmetric about 0


def _normal(rng: np.random.Generator, draws: int, n: int) -> Scores:
    return rng.normal(0.8, 0.02, (2, draws, n))


def _skewed(rng: np.random.Generator, draws: int, n: int) -> Scores:
    return rng.gamma(1.0, 0.1, (2, draws, n))


def _heavy(rng: np.random.Generator, draws: int, n: int) -> Scores:
    return 0.01 * rng.standard_t(2.5, (2, draws, n))


def _hetero(rng: np.random.Generator, draws: int, n: int) -> Scores:
    of_repeat = 0.01 * np.linspace(1, 6, n)
    of_cell = np.array([4.0, 1.0])[:, None, None]
    return rng.normal(0, 1, (2, draws, n)) * of_repeat * of_cell


def _steps(rng: np.random.Generator, draws: int, n: int) -> Scores:
    return 1 - np.round(rng.beta(0.5, 15.5, (draws, n)) * DEFECTS) / DEFECTS


@cache
def _mean_of_steps() -> float:
    upper = stats.beta(0.5, 15.5).cdf((np.arange(DEFECTS) + 0.5) / DEFECTS)
    return float(1 - np.sum(1 - upper) / DEFECTS)  # Σ P(step > k)


def _ties(rng: np.random.Generator, draws: int, n: int) -> Scores:
    return np.stack([_steps(rng, draws, n), _steps(rng, draws, n)])


def _collapse(rng: np.random.Generator, draws: int, n: int) -> Scores:
    quiet = rng.normal(0.8, 0.01 / np.sqrt(2), (2, draws, n))
    return quiet - _COLLAPSE * (rng.random((2, draws, n)) < _COLLAPSES)


def _skewed_a(rng: np.random.Generator, draws: int, n: int) -> Scores:
    return np.stack([rng.gamma(1.0, 0.1, (draws, n)), rng.normal(0.1, 0.05, (draws, n))])


def _beta_a(rng: np.random.Generator, draws: int, n: int) -> Scores:
    return 1 - np.stack([rng.beta(0.5, 15.5, (draws, n)), rng.beta(4, 124, (draws, n))])


def _ceiling(rng: np.random.Generator, draws: int, n: int) -> Scores:
    near_one = 1 - rng.beta(4, 124, (draws, n))
    return np.stack([near_one - (1 - 4 / 128) + _mean_of_steps(), _steps(rng, draws, n)])


def _one_a(rng: np.random.Generator, draws: int, n: int) -> Scores:
    return np.stack([np.ones((draws, n)), _steps(rng, draws, n)])


def _collapse_a(rng: np.random.Generator, draws: int, n: int) -> Scores:
    quiet = rng.normal(0.8, 0.01 / np.sqrt(2), (2, draws, n))
    quiet[0] += _COLLAPSE * (_COLLAPSES - (rng.random((draws, n)) < _COLLAPSES))
    return quiet


NO_EFFECT = (
    World("normal", "both cells normal", _normal),
    World("skewed", "both gamma(1)", _skewed),
    World("heavy", "both Student's t with 2.5 degrees of freedom", _heavy),
    World("hetero", "a is 4 times noisier than b, repeats differ up to 6 times", _hetero),
    World("ties", "1 − Beta(.5, 15.5) rounded to 1/17: mostly 1.0", _ties),
    World("collapse", "each cell loses 0.3 in 5 % of its repeats", _collapse),
)
STRESS = (
    World("skewed-a", "gamma(1) against normal with half its sd", _skewed_a, no_effect=False),
    World("beta-a", "1 − Beta(.5, 15.5) against 1 − Beta(4, 124)", _beta_a, no_effect=False),
    World("ceiling", "a hardly varies, b as in ties", _ceiling, no_effect=False),
    World("one-a", "a is always 1, b as in ties", _one_a, 1 - _mean_of_steps(), no_effect=False),
    World("collapse-a", "a alone loses 0.3 in 5 % of its repeats", _collapse_a, no_effect=False),
)
WORLDS = {world.name: world for world in (*NO_EFFECT, *STRESS)}


# Tables ----------------------------------------------------------------------------------------------


def tidy_table(
    cells: Mapping[str, Scores],
    *,
    status: Mapping[str, NDArray[Any]] | None = None,
    n_train: int = 100,
    n_test: int = 50,
) -> pd.DataFrame:
    """The tidy table of finished trials: cell → its scores by seed, or by seed and fold (S × K).

    ``status`` names what is not ``finished``; such a trial has no value.
    """
    names, shape = list(cells), next(iter(cells.values())).shape
    seeds, folds = np.indices((*shape, 1)[:2])
    value = np.concatenate([scores.ravel() for scores in cells.values()])
    states = np.full(len(value), "finished", object)
    if status is not None:
        states = np.concatenate([status[name].ravel() for name in names])
        value = np.where(states == "finished", value, np.nan)
    fold = pd.array(np.tile(folds.ravel(), len(names)), "Int16")
    if len(shape) < 2:
        fold[:] = pd.NA
    return pd.DataFrame(
        {
            "study": "made",
            "cell": np.repeat(np.array(names, object), int(np.prod(shape))),
            "seed": np.tile(seeds.ravel(), len(names)),
            "fold": fold,
            "n_train": n_train,
            "n_test": n_test,
            "part": "test",
            "metric": "image_ap",
            "value": value,
            "status": states,
        }
    )


def results_of_pairs(
    a: Scores, b: Scores, *, status: Mapping[str, NDArray[Any]] | None = None, **options: Any
) -> list[tuple[ComparisonResult, ...]]:
    """Results of "a minus b" of each draw, claim by claim: every draw is a study and family of its own.

    Args:
        a: Draws × n, or draws × S × K.
        b: The same.
        status: ``{"a": …, "b": …}`` in that shape, where not all trials are finished.
        options: Of :class:`Rules`; ``n_train`` and ``n_test`` go into the table.
    """
    sizes = {name: options.pop(name) for name in ("n_train", "n_test") if name in options}
    both = {"a": a, "b": b}
    cells = {f"{cell}{i}": row for cell, scores in both.items() for i, row in enumerate(scores)}
    of_cells = None
    if status is not None:
        of_cells = {f"{cell}{i}": row for cell in both for i, row in enumerate(status[cell])}
    table = tidy_table(cells, status=of_cells, **sizes)
    families = {str(i): [comparison("a − b", f"b{i}", f"a{i}")] for i in range(len(a))}
    options.setdefault("resolution", 1 / DEFECTS)
    return list(compare_families(table, families, metric="image_ap", rules=Rules(**options)).values())


# A learner -------------------------------------------------------------------------------------------


def average_precision(label: NDArray[np.bool_], score: Scores) -> Scores:
    """Step-wise average precision over the last axis; scores without ties."""
    hit = np.take_along_axis(label, np.argsort(-score, axis=-1), axis=-1)
    precision = hit.cumsum(axis=-1) / np.arange(1, hit.shape[-1] + 1)
    return (precision * hit).sum(axis=-1) / hit.sum(axis=-1)


def learner_scores(
    rng: np.random.Generator,
    draws: int,
    seeds: int,
    *,
    seed_noise: float,
    own_splits: bool = False,
    same_cells: bool = False,
) -> Scores:
    """AP of nearest centroid on 90 images, a third of them defective, in 3 folds.

    A cell is what it sees of the 12 features: 6 mixtures of them, drawn anew for each data set, so that over
    data sets neither cell is better. Every training adds noise of its own to the mixtures.

    Args:
        rng: Random numbers.
        draws: Data sets.
        seeds: S.
        seed_noise: sd of what a training adds, beside 1 of the mixtures: how loud its seed is.
        own_splits: Every seed draws its own partition; else all share that of the data set.
        same_cells: Both cells see the same: neither is better on these very folds.

    Returns:
        2 × draws × S × 3, test AP.
    """
    images, features, seen, folds = 90, 12, 6, 3
    label = np.arange(images) % 3 == 0
    x = rng.normal(0, 1, (draws, images, features)) + 0.6 * label[:, None]
    views = rng.normal(0, 1, (2, draws, features, seen))
    if same_cells:
        views[1] = views[0]
    fold_of = np.argsort(rng.random((draws, images)), axis=1) % folds
    scores = np.empty((2, draws, seeds, folds))
    for seed in range(seeds):
        if own_splits:
            fold_of = np.argsort(rng.random((draws, images)), axis=1) % folds
        for cell, fold in np.ndindex(2, folds):
            z = x @ (views[cell] + rng.normal(0, seed_noise, views[cell].shape))
            scores[cell, :, seed, fold] = _nearest_centroid(z, label, fold_of == fold)
    return scores


def _nearest_centroid(z: Scores, label: NDArray[np.bool_], test: NDArray[np.bool_]) -> Scores:
    """Test AP of each data set; z: draws × images × features, test: draws × images, equally many in each."""

    def centroid(chosen: NDArray[np.bool_]) -> Scores:
        return np.einsum("di,dif->df", chosen / chosen.sum(axis=1, keepdims=True), z)

    axis = centroid(~test & label) - centroid(~test & ~label)
    rows = np.nonzero(test)[1].reshape(len(z), -1)
    score = np.take_along_axis(np.einsum("dif,df->di", z, axis), rows, axis=1)
    return average_precision(label[rows], score)


# Test items ------------------------------------------------------------------------------------------


def item_predictions(
    rng: np.random.Generator,
    items: int,
    images: int,
    defective: NDArray[np.bool_],
    shifts: Mapping[str, float],
) -> pd.DataFrame:
    """Test scores of several trials on the same images: sd .5 of an item, .7 of an image, .5 of a trial.

    Args:
        rng: Random numbers.
        items: Physical items.
        images: Of each item.
        defective: items × images.
        shifts: Trial → how far it scores defective images above the others, in about an sd of scores.
    """
    label = defective.ravel()
    sample, item = np.arange(items * images).astype(str), np.repeat(np.arange(items), images).astype(str)
    common = np.repeat(rng.normal(0, 0.5, items), images) + rng.normal(0, 0.7, items * images)
    frames = [
        pd.DataFrame(
            {
                "trial": trial,
                "sample": sample,
                "item": item,
                "label": label,
                "score": common + rng.normal(0, 0.5, items * images) + shift * label,
            }
        )
        for trial, shift in shifts.items()
    ]
    return pd.concat(frames, ignore_index=True)
