"""How often a promised threshold is wrong: simulated lines, beside the threshold of best F1.

``python -m benchmarks.operating_point [--draws 20000]`` draws validation parts of eight lines, chooses the
threshold as a trial does (:mod:`trainables.evaluation.operating_point`), and compares the true rate of new
parts with the promise. Prints the table of docs/operating-point.md.

``python -m benchmarks.operating_point --predictions FILE …`` divides the good images of a trial's
``predictions.parquet`` a thousand times into parts that choose and parts that are new.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import special

from trainables.data.threshold import Escapes, FalseAlarms, Promise
from trainables.evaluation.metrics import best_f1_threshold
from trainables.evaluation.metrics.inputs import ImageScores
from trainables.evaluation.operating_point import choose_by_promise, least_rate

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]  # number of parts → highest score of each
_BAD = 15  # defective parts beside the good ones, and the reverse where escapes are promised
_LEVELS = 8.0  # per unit of the score, where scores are tied
_TRUTH = 2_000_000  # parts that stand for the line


@dataclass(frozen=True)
class World:
    """A line: scores of good parts, and of defective ones."""

    name: str
    promise: Promise
    parts: int  # of the promised kind
    good: Draw
    bad: Draw


def _normal(mean: float) -> Draw:
    return lambda rng, n: rng.normal(mean, 1, n)


def _skewed(mean: float) -> Draw:
    return lambda rng, n: mean - 1.6 + rng.lognormal(0, 0.75, n)


def _heavy(mean: float) -> Draw:
    return lambda rng, n: mean + rng.standard_t(2, n)


def _tied(mean: float) -> Draw:
    return lambda rng, n: np.round(rng.normal(mean, 1, n) * _LEVELS / 4) / (_LEVELS / 4)


def _views(mean: float) -> Draw:
    """One to eight photos of a part, correlated by .6: the highest counts."""

    def draw(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        views = rng.integers(1, 9, n)
        scores = np.sqrt(0.6) * rng.normal(size=(n, 1)) + np.sqrt(0.4) * rng.normal(size=(n, 8))
        return mean + np.where(np.arange(8) < views[:, None], scores, -np.inf).max(1)

    return draw


_FAR = 2.9  # AUROC .98 of two normal distributions
_ONE, _FIVE = FalseAlarms(false_alarms=0.01), FalseAlarms(false_alarms=0.05)
WORLDS = (
    World("normal", _FIVE, 59, _normal(0), _normal(_FAR)),
    World("normal", _ONE, 299, _normal(0), _normal(_FAR)),
    World("normal", _ONE, 1000, _normal(0), _normal(_FAR)),
    World("skewed", _ONE, 299, _skewed(0), _skewed(_FAR)),
    World("heavy tails", _ONE, 1000, _heavy(0), _heavy(_FAR)),
    World("ties", _ONE, 299, _tied(0), _tied(_FAR)),
    World("1 to 8 views of a part", _ONE, 299, _views(0), _views(_FAR)),
    World("heavy tails, escapes", Escapes(escapes=0.05), 59, _heavy(0), _heavy(_FAR)),
)


def main() -> int:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--predictions", type=Path, nargs="+", default=())
    arguments = parser.parse_args()
    if arguments.predictions:
        for file in arguments.predictions:
            _divide(file)
        return 0
    _say("| line | promise | parts | broken | mean rate | best F1: above it | 95 % quantile |")
    _say("|---|---|---|---|---|---|---|")
    for number, world in enumerate(WORLDS):
        _simulate(world, arguments.draws, np.random.default_rng([62, number]))
    return 0


def _simulate(world: World, draws: int, rng: np.random.Generator) -> None:
    """Choose thresholds of many validation parts of a line, and print how often they break the promise."""
    alarms = isinstance(world.promise, FalseAlarms)
    promise = world.promise
    rate = promise.false_alarms if isinstance(promise, FalseAlarms) else promise.escapes
    good, bad = (world.parts, _BAD) if alarms else (_BAD, world.parts)
    labels = np.arange(good + bad) >= good
    truth = np.sort((world.good if alarms else world.bad)(rng, _TRUTH))

    def true_rates(thresholds: list[float]) -> NDArray[np.float64]:
        below = np.searchsorted(truth, thresholds) / _TRUTH
        return 1 - below if alarms else below

    promised: list[float] = []
    of_f1: list[float] = []
    for _ in range(draws):
        scores = np.concatenate([world.good(rng, good), world.bad(rng, bad)])
        promised.append(choose_by_promise(ImageScores(labels, scores, 0.0), world.promise).threshold)
        best = best_f1_threshold(labels, special.expit(scores))
        assert isinstance(best, float), "both kinds are there"
        of_f1.append(float(special.logit(best)))
    broken, usual = true_rates(promised), true_rates(of_f1)
    share = np.mean(broken > rate)
    error = 1.96 * np.sqrt(share * (1 - share) / draws)
    kind = "false alarms" if alarms else "escapes"
    _say(
        f"| {world.name} | at most {100 * rate:g} % {kind} | {world.parts} "
        f"| {100 * share:.2f} ± {100 * error:.2f} % | {100 * broken.mean():.2f} % "
        f"| {100 * np.mean(usual > rate):.0f} % | {100 * np.quantile(usual, 0.95):.1f} % |"
    )


def _divide(file: Path, times: int = 1000) -> None:
    """Let a part of a model's good test images choose the threshold, and count false alarms in the rest."""
    table = pq.read_table(file, columns=["label", "score", "item", "sample"])
    label, score = table["label"].to_numpy(), table["score"].to_numpy()
    items = [
        item or sample
        for item, sample in zip(*(table[n].to_pylist() for n in ("item", "sample")), strict=True)
    ]
    images = ImageScores(label, score, 0.0, tuple(items))
    parts, unit = images.parts_or_images, "parts"
    if parts.labels.all():  # as KolektorSDD's: every item shows a defect in one of its photos
        parts, unit = images, "photos"
    good = parts.scores[~parts.labels].astype(np.float64)
    chosen_by = round(0.6 * len(good))
    rate = np.ceil(100 * least_rate(chosen_by, 0.95)) / 100
    promise, rng = FalseAlarms(false_alarms=float(rate)), np.random.default_rng(62)
    broken: list[bool] = []
    new_rates: list[float] = []
    for _ in range(times):
        # The good parts stand for the line: the promise is about all of them, of which some are drawn.
        drawn = good[rng.integers(0, len(good), chosen_by)]
        broken.append(bool(np.mean(good >= _threshold(drawn, promise)) > promise.false_alarms))
        # Divided into old and new parts, a share of few new parts scatters around the rate.
        order = rng.permutation(len(good))
        limit = _threshold(good[order[:chosen_by]], promise)
        new_rates.append(float(np.mean(good[order[chosen_by:]] >= limit)))
    above = np.mean(np.array(new_rates) > promise.false_alarms)
    _say(
        f"{file}: {len(good)} good {unit}, {chosen_by} choose, at most {100 * promise.false_alarms:g} %: "
        f"broken in {100 * np.mean(broken):.1f} % of {times}"
    )
    _say(
        f"of the {len(good) - chosen_by} others {100 * np.mean(new_rates):.2f} % lie above it, more "
        f"than promised in {100 * above:.1f} %"
    )


def _threshold(good: NDArray[np.float64], promise: FalseAlarms) -> float:
    return choose_by_promise(ImageScores(np.zeros(len(good), np.bool_), good, 0.0), promise).threshold


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
