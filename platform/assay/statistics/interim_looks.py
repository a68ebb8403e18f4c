"""Planned looks: repeats are added until each comparison is settled, and no look is free of charge.

:func:`decide` is one sign-flip test of a family whose boundary is a path over the looks. A sign vector stands
for a study in which nothing differs. By look k at most α(n_k / n_last) of them may ever have crossed the
boundary, so that in the end at most 5 % have, however often was looked. All is recomputed from the
differences: who runs a study again, or on another machine, comes to the same decisions.

Looks that nobody planned, because seeds were added to a study's file, follow each other without a reserve:
the first was to be the only one, so it may spend all 5 %, and a later one has what is left. However often
seeds are added, at most 5 % of studies in which nothing differs ever show anything.

A comparison that is settled as negligible, or given up, stays in the maximum as if it went on: its repeats
are gone through again. So the boundary is that of a study in which nothing stops, whatever did stop. With its
repeats alone, giving up left 8 to 10 errors in a hundred studies of which nothing differs.

Negligible is a step-down over the looks, too: each comparison has 5 % divided by those that are not
negligible yet, spread over the looks (:func:`levels_over_looks`). Of a comparison that asks `can go` one of
the two tests counts, that against a loss: it is dispensable.
A comparison that the looks to come would hardly settle is given up, which saves their trainings.

Source: Lan and DeMets 1983, Discrete sequential boundaries for clinical trials, Biometrika 70 (the share
spent is Pocock's); Westfall and Young 1993, Resampling-based multiple testing (the largest statistic);
Maurer and Bretz 2013, Multiple testing in group sequential trials, Stat. Biopharm. Res. 5 (the step-down);
Spiegelhalter et al. 1986, Monitoring clinical trials, Controlled Clinical Trials 7 (giving up).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from assay.statistics.paired import (
    ALPHA,
    SAME,
    Test,
    has_no_spread,
    lower_t_p,
    signed_ranks,
    studentised,
    t_half_width,
    vectors_over_looks,
)

__all__ = [
    "PLANNED_LOOKS",
    "PLANNED_LOOKS_AT_RANKS",
    "Decision",
    "ExpectedTrainings",
    "InterimLook",
    "InterimLooks",
    "decide",
    "expected_trainings",
    "levels_over_looks",
]

Differences = NDArray[np.float64]
PLANNED_LOOKS = "planned looks"  # name of the test
PLANNED_LOOKS_AT_RANKS = f"{PLANNED_LOOKS}, wilcoxon"
Decided = Literal["shown", "negligible", "dispensable", "open", "undecided"]  # open: given up

_HARDLY = 0.1  # chance of being settled below which a comparison is given up: 1 to 2 % less are found


@dataclass(frozen=True)
class InterimLook:
    """One look at a study."""

    repeats: int
    share: float  # of sign vectors that may have crossed the boundary by now
    spent: float  # that have; at most ``share``, because a few repeats have few sign vectors
    boundary: float  # statistic above which a comparison is shown; inf: none can be, with so few repeats


@dataclass(frozen=True)
class Decision:
    """State of one comparison after the last look that had it among the undecided."""

    verdict: Decided
    repeats: int = 0  # at that look; 0: nothing was looked at yet
    p: float | None = None  # share of sign vectors that had crossed before, or reach its statistic
    p_can_go: float | None = None  # of a loss of ``resolve`` or more, corrected: at most .05 where it can go

    @property
    def verdict_p(self) -> float | None:
        """The p that the verdict is made by."""
        return self.p_can_go if self.verdict == "dispensable" else self.p


@dataclass(frozen=True)
class InterimLooks:
    """All that follows from the differences there are."""

    looks: tuple[InterimLook, ...]
    decisions: tuple[Decision, ...]  # in the order of the comparisons
    next: int | None  # repeats of the look that comes; None: all is settled, or that was the last one

    @property
    def undecided(self) -> list[int]:
        """Indices of the comparisons that are not settled."""
        return [index for index, each in enumerate(self.decisions) if each.verdict == "undecided"]


def decide(
    differences: Differences,
    looks: Sequence[int],
    *,
    seed: int,
    resolve: float | None,
    ended: NDArray[np.bool_] | None = None,
    filled: Differences | None = None,
    test: Test = "sign-flip",
    planned: bool = True,
    can_go: Sequence[int] | None = None,
) -> InterimLooks:
    """Take one look after the other, as far as the differences go.

    Args:
        differences: n × m, repeats × comparisons of one family; NaN: a trial has no value.
        looks: Numbers of repeats at which the family is looked at, ascending.
        seed: Of the signs beyond 14 repeats; drawn once for all looks.
        resolve: Difference worth knowing, above 0; None: nothing is negligible, or given up.
        ended: n × m: nothing more comes of this repeat. Default: where there is a value.
        filled: The differences with the metric's worst value for what diverged. A comparison is then settled
            if it is with both; shown, if with one sign.
        test: ``wilcoxon``: of the signed ranks instead of the differences.
        planned: False: each look may spend all that those before it left.
        can_go: Of each comparison that asks `can go`, the sign that makes its difference a loss; else 0.
    """
    repeats, m = differences.shape
    losses = [0] * m if can_go is None else can_go
    ended = ~np.isnan(differences) if ended is None else ended
    fillings = [differences] if filled is None else [differences, filled]
    path = _Path(fillings, looks, seed, test, planned=planned)
    decisions = [Decision("undecided")] * m
    taken: list[InterimLook] = []
    for n in looks:
        undecided = [index for index, each in enumerate(decisions) if each.verdict == "undecided"]
        if not undecided or n > repeats or not ended[:n, undecided].all():
            return InterimLooks(tuple(taken), tuple(decisions), n if undecided else None)
        taken.append(path.look(n, decisions))
        if resolve is not None:
            _settle_negligible(path.fillings, looks, n, decisions, resolve=resolve, losses=losses)
            if n < looks[-1]:
                _give_up(path.fillings[0], looks, n, decisions, resolve=resolve, losses=losses)
    return InterimLooks(tuple(taken), tuple(decisions), None)


class _Path:
    """Remembers which sign vectors have crossed the boundary so far."""

    def __init__(
        self, fillings: Sequence[Differences], looks: Sequence[int], seed: int, test: Test, *, planned: bool
    ) -> None:
        self.fillings, self.last, self.test, self.planned = fillings, looks[-1], test, planned
        self.signs = vectors_over_looks(tuple(looks), seed, planned=planned)
        self.crossed = np.zeros(len(self.signs), np.bool_)

    def look(self, n: int, decisions: list[Decision]) -> InterimLook:
        """Settle what is shown with n repeats; ``decisions`` is brought up to date."""
        # What may be spent by now is Pocock's share.
        share = ALPHA * math.log(1 + (math.e - 1) * n / self.last) if self.planned else ALPHA
        undecided = [index for index, each in enumerate(decisions) if each.verdict == "undecided"]
        until = [n if each.verdict == "undecided" else each.repeats for each in decisions]
        observed, flipped = self._statistics(n, until)
        while undecided:
            family = [index for index, each in enumerate(decisions) if each.verdict != "shown"]
            largest = flipped[:, family].max(axis=1)
            for index in undecided:
                reached = largest >= observed[index] - SAME
                decisions[index] = Decision("undecided", n, float(np.mean(self.crossed | reached)))
            clear = [index for index in undecided if (decisions[index].p or 0.0) <= share]
            if not clear:
                break
            for index in clear:
                decisions[index] = replace(decisions[index], verdict="shown")
            undecided = [index for index in undecided if index not in clear]
        return self._freeze(n, share, flipped, decisions)

    def _freeze(
        self, n: int, share: float, flipped: NDArray[np.float64], decisions: Sequence[Decision]
    ) -> InterimLook:
        """Note the sign vectors that cross the boundary for what is left."""
        family = [index for index, each in enumerate(decisions) if each.verdict != "shown"]
        boundary = math.inf
        if family:
            largest = np.where(self.crossed, -1.0, flipped[:, family].max(axis=1))
            room = math.floor(share * len(largest) + 1e-6) - int(self.crossed.sum())
            boundary = float(np.sort(largest)[::-1][room]) + SAME
            self.crossed |= largest > boundary
            if not (largest > boundary).any():
                boundary = math.inf
        return InterimLook(n, share, float(np.mean(self.crossed)), boundary)

    def _statistics(self, n: int, until: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The statistic of each comparison, and of each sign vector: m, B × m.

        With two fillings the smaller one that was seen counts (0 where their signs differ), against the
        larger one of each sign vector: what is lost to a method's failures is power.
        """
        seen: list[NDArray[np.float64]] = []
        flipped: list[NDArray[np.float64]] = []
        for filling in self.fillings:
            again = np.arange(n)[:, None] % np.array(until)  # what is settled goes through its repeats again
            columns = np.take_along_axis(np.nan_to_num(filling[:n]), again, axis=0)
            if self.test == "wilcoxon":
                columns = np.apply_along_axis(signed_ranks, 0, columns)
            statistics = studentised(columns, self.signs[:, :n])
            flipped.append(statistics)
            seen.append(statistics[0] * np.sign(columns.sum(axis=0)))
        agree = np.abs(np.sum(np.sign(seen), axis=0)) == len(seen)
        return np.where(agree, np.min(np.abs(seen), axis=0), 0.0), np.max(flipped, axis=0)


def _settle_negligible(
    fillings: Sequence[Differences],
    looks: Sequence[int],
    n: int,
    decisions: list[Decision],
    *,
    resolve: float,
    losses: Sequence[int],
) -> None:
    """Settle what two one-sided tests put within ± resolve with every filling, step by step.

    Where `can go` is asked, the test against a loss does it alone.
    """
    diverged = np.any(np.isnan(fillings[0][:n]) & ~np.isnan(fillings[-1][:n]), axis=0)
    while True:
        level = _level(looks, n, decisions)
        within: list[int] = []
        for index, each in enumerate(decisions):
            if each.verdict != "undecided":
                continue
            p = max(
                _margin_p(filling[:n, index], resolve, losses[index], diverged=bool(diverged[index]))
                for filling in fillings
            )
            if losses[index]:
                decisions[index] = replace(each, p_can_go=min(1.0, p * ALPHA / level))
            if p <= level:
                within.append(index)
        for index in within:
            verdict: Decided = "dispensable" if losses[index] else "negligible"
            decisions[index] = replace(decisions[index], verdict=verdict)
        if not within:
            return


def _level(looks: Sequence[int], n: int, decisions: Sequence[Decision]) -> float:
    """Level of each one-sided test at the look with n repeats.

    Comparisons that are shown keep their part: what is left of 5 % may not depend on what else was found.
    """
    error = ALPHA / max(1, sum(each.verdict not in ("negligible", "dispensable") for each in decisions))
    return min(
        ALPHA / 2, levels_over_looks(tuple(looks), error)[looks.index(n)]
    )  # a 95 % interval lies within


def _margin_p(d: NDArray[np.float64], resolve: float, loss: int, *, diverged: bool) -> float:
    """One-sided p of a difference (where ``loss`` is not 0: a loss) of ``resolve`` or more."""
    d = d[~np.isnan(d)]
    if len(d) < 3:
        return 1.0
    if has_no_spread(d):  # a t interval of equal differences would be sure of anything
        return 1.0 if diverged or d.any() else 0.0  # ties end it as `identical`, which none is that diverged
    mean = float(d.mean())
    size = loss * mean if loss else abs(mean)
    return lower_t_p(size - resolve, float(d.std(ddof=1)), 1 / len(d), len(d) - 1)


def _give_up(
    differences: Differences,
    looks: Sequence[int],
    n: int,
    decisions: list[Decision],
    *,
    resolve: float,
    losses: Sequence[int],
) -> None:
    """Leave open what the last look would settle with a chance below 10 %, given mean and spread so far.

    The mean then is normal about the mean now, as under a flat prior. The spread is taken as it was seen.
    """
    last = looks[-1]
    level, m = _level(looks, last, decisions), sum(each.verdict != "shown" for each in decisions)
    for index, each in enumerate(decisions):
        d = differences[:n, index]
        d = d[~np.isnan(d)]
        if each.verdict != "undecided" or len(d) < 3 or has_no_spread(d):
            continue
        mean, sd = abs(float(d.mean())), float(d.std(ddof=1))
        moves = sd * math.sqrt(1 / len(d) - 1 / last)
        within = resolve - t_half_width(sd, 1 / last, last - 1, 2 * level)
        shown = t_half_width(sd, 1 / last, last - 1, ALPHA / m)
        if losses[index]:
            negligible = special.ndtr((within - losses[index] * float(d.mean())) / moves)
        else:
            within = max(0.0, within)
            negligible = special.ndtr((within - mean) / moves) - special.ndtr((-within - mean) / moves)
        beyond = special.ndtr((mean - shown) / moves) + special.ndtr((-shown - mean) / moves)
        if negligible + beyond < _HARDLY:
            decisions[index] = replace(each, verdict="open")


@lru_cache(maxsize=1024)
def levels_over_looks(looks: tuple[int, ...], error: float) -> tuple[float, ...]:
    """Level of a one-sided test at each look, so that ``error``·(n/N)^1.5 is spent by n of N repeats.

    The sum of n normal scores walks on a grid, and what passes a look's boundary is taken out.

    Args:
        looks: Numbers of repeats, ascending.
        error: Chance of ever passing, 0..1.

    Source: Armitage, McPherson and Rowe 1969, Repeated significance tests, J. R. Stat. Soc. A.
    """
    from scipy.signal import fftconvolve  # half a second to load, for the studies that decide

    last = looks[-1]
    sums = np.linspace(-8 * math.sqrt(last), 8 * math.sqrt(last), 4001)
    step = float(sums[1] - sums[0])
    density, before, spent = np.array([1 / step]), 0, 0.0
    levels: list[float] = []
    for n in looks:
        reach = step * np.arange(-2000, 2001)
        moves = np.exp(-(reach**2) / (2 * (n - before))) / math.sqrt(2 * math.pi * (n - before))
        density = step * (fftconvolve(density, moves, mode="same") if before else density * moves)
        tail = np.cumsum(density[::-1])[::-1] * step
        boundary = int(np.searchsorted(-tail, spent - error * (n / last) ** 1.5))
        spent += float(tail[boundary])
        density[boundary:] = 0.0
        levels.append(float(special.ndtr(-(sums[boundary] - step / 2) / math.sqrt(n))))
        before = n
    return tuple(levels)


# Trainings to expect -------------------------------------------------------------------------------------


_DRAWS = 300


@dataclass(frozen=True)
class ExpectedTrainings:
    """Trainings over the draws."""

    mean: float
    low: int  # nine of ten draws take at least so many
    high: int  # nine of ten draws take at most so many
    settled: float  # share of the comparisons, 0..1


def expected_trainings(
    pairs: Sequence[tuple[int, int]],
    per_seed: Sequence[int],
    looks: Sequence[int],
    *,
    effect: float,
    sd: float,
    resolve: float,
    can_go: Sequence[int] | None = None,
    draws: int = _DRAWS,
) -> ExpectedTrainings:
    """Trainings until all is settled, or the last look was taken.

    Args:
        pairs: The cells of each comparison, by index.
        per_seed: Trainings of each cell for one seed: its folds.
        looks: Numbers of seeds.
        effect: True difference of every comparison, in units of the metric.
        sd: Standard deviation of a comparison's differences over seeds, above 0.
        resolve: Difference worth knowing, above 0.
        can_go: As of :func:`decide`; a difference above 0 is a gain of the part.
        draws: Studies that are drawn.
    """
    rng = np.random.default_rng(0)
    first, second = np.array(pairs).T
    trainings, settled = np.zeros(draws, np.int64), 0
    for draw in range(draws):
        scores = rng.normal(0.0, sd / np.sqrt(2), (looks[-1], len(per_seed)))
        differences = scores[:, second] - scores[:, first] + effect
        decisions = decide(differences, looks, seed=0, resolve=resolve, can_go=can_go).decisions
        seeds = np.full(len(per_seed), looks[0])
        for pair, decision in zip(pairs, decisions, strict=True):
            settled += decision.verdict in ("shown", "negligible", "dispensable")
            for cell in pair:
                seeds[cell] = max(seeds[cell], decision.repeats)
        trainings[draw] = int(seeds @ np.array(per_seed))
    low, high = np.quantile(trainings, [0.1, 0.9], method="nearest")
    return ExpectedTrainings(float(trainings.mean()), int(low), int(high), settled / (draws * len(pairs)))
