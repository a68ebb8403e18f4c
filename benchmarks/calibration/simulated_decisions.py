"""Simulated studies with ``repeats.decide``: errors, what is found, and trainings beside fixed n and AdaStop.

Six cells are compared with one base, with up to 20 repeats. A fixed n is a single look of the same function.
``adastop`` follows the published rule (Mathieu et al. 2023, arXiv:2306.10882, without early acceptance):
unpaired differences, scores permuted within an interim, the largest difference against the share of
permutations that ever passed. α is spent in equal parts. Its package permutes in Python, 0.2 s a study with
400 permutations, so the rule is written down here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from assay.statistics.interim_looks import decide
from benchmarks.calibration.figures import FALSE_POSITIVES, Figure, Simulation, percent, rng_of
from benchmarks.calibration.simulated_families import FAMILY_WORLDS

__all__ = ["ON_DECISIONS", "adastop"]

Scores = NDArray[np.float64]  # cells × draws × n, the base first
LOOKS = (6, 8, 10, 13, 16, 20)
_COMPARISONS = 6
_CLEAR = 2.5  # sd of a difference
_MISSED = 6.0  # %, at most: intervals that miss the truth where a study stopped
_SIGNS = 16  # seeds of sign vectors: one alone would be a draw that all studies share


@dataclass(frozen=True)
class _Settled:
    """Draws × comparisons."""

    shown: NDArray[np.bool_]
    negligible: NDArray[np.bool_]
    repeats: NDArray[np.int64]

    @property
    def trainings(self) -> float:
        """Mean; the base trains as long as any comparison."""
        return float(np.mean(self.repeats.sum(axis=1) + self.repeats.max(axis=1)))

    def right(self, effects: NDArray[np.float64]) -> float:
        """Percent of the comparisons that are shown where something differs, else negligible."""
        return percent(np.where(effects != 0, self.shown, self.negligible))


def _differences(scores: Scores) -> Scores:
    """Draws × n × comparisons."""
    return np.moveaxis(scores[1:] - scores[0], 0, -1)


def _decided(differences: Scores, looks: Sequence[int], resolve: float) -> _Settled:
    taken = [decide(d, looks, seed=i % _SIGNS, resolve=resolve).decisions for i, d in enumerate(differences)]
    return _Settled(
        np.array([[each.verdict == "shown" for each in decisions] for decisions in taken]),
        np.array([[each.verdict == "negligible" for each in decisions] for decisions in taken]),
        np.array([[each.repeats for each in decisions] for decisions in taken]),
    )


def errors(case: tuple[str, int], draws: int) -> Iterator[Figure]:
    """Any false `shown` of a study that decides; ``true`` of the comparisons differ by 2.5 sd."""
    name, true = case
    draw, held = FAMILY_WORLDS[name]
    scores = draw(rng_of("decide", *case), _COMPARISONS + 1, draws, LOOKS[-1])
    sd = float(np.std(scores[2] - scores[0]))
    scores[_COMPARISONS + 1 - true :] += _CLEAR * sd
    settled = _decided(_differences(scores), LOOKS, sd)
    wrong = percent(np.asarray(settled.shown[:, : _COMPARISONS - true].any(axis=1)))
    most = FALSE_POSITIVES if held else None
    column = f"{true} of 6 clearly better" if true else "nothing differs"
    yield Figure("decide_errors", name, column, wrong, draws, "", most)


def against_fixed(case: tuple[tuple[float, ...], float], draws: int) -> Iterator[Figure]:
    """Effects in sd of a difference, `resolve` in the same: `decide` beside a fixed n and AdaStop."""
    effects, resolve = np.array(case[0]), case[1]
    scores = rng_of("against", *case).normal(0, np.sqrt(0.5), (_COMPARISONS + 1, draws, 30))
    scores[1:] += effects[:, None, None]
    differences = _differences(scores)
    most = LOOKS[-1] * (_COMPARISONS + 1)
    settled = _decided(differences[:, : LOOKS[-1]], LOOKS, resolve)
    fixed = _decided(differences, LOOKS[-1:], resolve)
    few = differences[: max(20, draws // 10)]
    right = settled.right(effects)
    equal = next((n for n in range(6, 31) if _decided(few, (n,), resolve).right(effects) >= right), None)
    apart = scores[:, : len(few), : LOOKS[-1]]
    peers = {
        "adastop": adastop(apart),
        "adastop, splits as loud": adastop(apart + rng_of("splits", *case).normal(0, 1, apart.shape[1:])),
    }
    row = f"{_effects_text(case[0])}; `resolve` {resolve:g}"

    def figure(column: str, value: float, limit: float | None = None, decimals: int = 0) -> Figure:
        return Figure("decide", row, column, value, draws, "", limit, decimals)

    wrong = settled.shown & (effects == 0) | settled.negligible & (np.abs(effects) >= resolve)
    yield figure("trainings of 140", settled.trainings)
    yield figure("share", settled.trainings / most, decimals=2)
    yield figure("settled rightly", right)
    yield figure("fixed 20: rightly", fixed.right(effects))
    if equal is not None:
        yield figure("fixed n as good", equal)
    yield figure("any wrong", percent(wrong.any(axis=1)), FALSE_POSITIVES, 1)
    yield figure("interval misses", percent(_missed(differences, settled.repeats, effects)), _MISSED, 1)
    if effects.any():
        yield figure("found", percent(settled.shown[:, effects != 0]))
    for name, peer in peers.items():
        yield figure(f"{name}: trainings", peer.trainings)
        if effects.any():
            yield figure(f"{name}: found", percent(peer.shown[:, effects != 0]))


def _effects_text(effects: Sequence[float]) -> str:
    return ", ".join(f"{effects.count(size)} × {size:g}" for size in dict.fromkeys(effects))


def _missed(
    differences: Scores, repeats: NDArray[np.int64], effects: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Draws × comparisons: the t interval with the repeats at the stop misses the truth."""
    there = (np.arange(differences.shape[1])[:, None] < repeats[:, None]).astype(float)
    means = (differences * there).sum(axis=1) / repeats
    variances = ((differences - means[:, None]) ** 2 * there).sum(axis=1) / (repeats - 1)
    return np.abs(means - effects) > special.stdtrit(repeats - 1, 0.975) * np.sqrt(variances / repeats)


def adastop(scores: Scores, *, per: int = 5, permutations: int = 1_000) -> _Settled:
    """Compare each cell with the base in interims of ``per`` repeats.

    Args:
        scores: Cells × draws × n, the base first.
        per: Scores of each cell in an interim.
        permutations: Random ones, the one that changes nothing among them.
    """
    interims = scores.shape[2] // per
    m, draws = len(scores) - 1, scores.shape[1]
    shown, repeats = np.zeros((draws, m), np.bool_), np.full((draws, m), per * interims)
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        sums = np.zeros((permutations, m))
        passed = np.zeros(permutations, np.bool_)
        left = np.arange(m)
        for interim in range(interims):
            block = scores[:, draw, interim * per : (interim + 1) * per]
            order = np.argsort(rng.random((permutations, 2 * per)), axis=1)
            order[0] = np.arange(2 * per)
            both = np.stack([np.concatenate([block[0], block[cell + 1]]) for cell in left])
            drawn = both[:, order]  # comparisons × permutations × 2·per
            sums[:, left] += (drawn[..., per:].sum(-1) - drawn[..., :per].sum(-1)).T
            room = int(0.05 * (interim + 1) / interims * permutations) - int(passed.sum())
            while len(left):
                largest = np.where(passed, -1.0, np.abs(sums[:, left]).max(axis=1))
                boundary = np.sort(largest)[::-1][room]
                clearest = left[np.argmax(np.abs(sums[0, left]))]
                if np.abs(sums[0, clearest]) <= boundary:
                    passed |= largest > boundary
                    break
                shown[draw, clearest], repeats[draw, clearest] = True, per * (interim + 1)
                left = left[left != clearest]
            if not len(left):
                break
    return _Settled(shown, np.zeros_like(shown), repeats)


_TRUTHS = (
    ((2.5, 2.5, 2.5, 2.5, 2.5, 2.5), 1.0),
    ((2.5, 2.5, 0.0, 0.0, 0.0, 0.0), 1.5),
    ((0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 1.5),
    ((0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 1.0),
    ((0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 0.5),
    ((2.5, 2.5, 1.2, 1.2, 0.0, 0.0), 1.0),
    ((0.8, 0.8, 0.8, 0.8, 0.8, 0.8), 0.5),
    ((1.0, 1.0, 1.0, 1.0, 1.0, 0.0), 1.0),
)

ON_DECISIONS: tuple[Simulation, ...] = (
    *(Simulation(against_fixed, truth, 5_000) for truth in _TRUTHS),
    *(Simulation(errors, (name, true), 5_000) for name in FAMILY_WORLDS for true in (0, 2)),
)
