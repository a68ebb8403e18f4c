"""One contrast under one claim, by itself: differences, spread, p-value, and what is odd about them.

:func:`measure` is the step before a family corrects its p-values (:mod:`assay.statistics.families`).
Where the data do not allow a number it stays None and a note says why. Equal differences get no t test, and
diverged trials are tested both left out and at the metric's worst: both choices lose power rather than claim
too much.

Correction of the p-values of a family: max-T for exact tests, Holm for t tests, a t with shared spread.

Exact p's are corrected by max-T over sign flips of whole repeats (:mod:`assay.statistics.paired`):
what comparisons share is not paid for twice, so a family of any size speaks from six repeats. Up to there
:func:`sure_by_t` may still suggest: from four comparisons on their spreads lean on each other.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from assay.statistics.contrasts import Contrast
from assay.statistics.data_sets import data_set_units
from assay.statistics.interim_looks import decide
from assay.statistics.paired import (
    ALPHA,
    Test,
    enough_repeats,
    exact_p,
    has_no_spread,
    holm,
    rounded,
    sign_vectors,
    signed_ranks,
    smallest_p,
    stepdown_p,
    t_half_width,
    t_p,
)
from assay.statistics.scores import Claim, Scores, Units, units_of, with_seeds_counted
from trainables.evaluation.metrics import Metric

__all__ = [
    "ONE_SIDED",
    "TOO_FEW",
    "Measured",
    "SureByT",
    "adjusted_p",
    "is_at_bound",
    "measure",
    "sure_by_t",
]

# One contrast --------------------------------------------------------------------------------------------


TOO_FEW = 2
ONE_SIDED = "skewed differences: interval covers about 89 %"
# Ratios of two cells' sds, and of the largest distance from the median of d to the median one. Of normal
# differences 10 % are noted at 3 to 6 repeats and 1 % at 20, with louder seeds in one cell 26 % and 80 %.
_UNEQUAL_SDS, _OUTLYING, _OUTLYING_FROM = 2.0, 8.0, 6
# So near to a bound a score is at it: means of folds are rounded.
_AT_BOUND = 1e-12


@dataclass(frozen=True, eq=False)
class Measured:
    """Test of one contrast before its family is known. None: it cannot be had, see ``notes``."""

    contrast: Contrast
    units: Units
    d: NDArray[np.float64]  # n, on 12 digits
    p: float | None = None
    p_t: float = 1.0  # of the paired t test; 1 where it may not be asked
    sd: float | None = None  # of d; None: no spread was seen
    half_width: float | None = None  # of the 95 % interval
    interval: str = ""
    test: str = ""
    notes: tuple[str, ...] = ()
    could_turn: bool = False  # found without what is missing
    filled: Measured | None = None  # the same with something in the place of what has no value
    against: Measured | None = None  # the same where nothing was found that it could turn, and p stays

    @property
    def fillings(self) -> tuple[Measured, ...]:
        """Without what has no value and, where it is tested so, with something in its place."""
        return tuple(each for each in (self, self.filled, self.against) if each is not None)


def measure(
    scores: Scores,
    contrast: Contrast,
    claim: Claim,
    *,
    resolution: float | None = None,
    test: Test = "sign-flip",
) -> Measured:
    """Test one contrast.

    Where a trial diverged, twice: without its repeat, and with the metric's worst value in its place. A
    method's failure is part of what it does, so what is shown must be shown both ways, with one sign.
    Where one cell has a repeat that another lacks, twice as well: as it is, and with the difference that is
    missing as far against what was found as the others usually go. Whoever leaves out the worst two of ten
    seeds of one cell finds something in 10 % of the cases in which nothing is.

    Args:
        scores: All cells.
        contrast: Which of them are compared.
        claim: One of ``claims_of(scores, contrast.weights)``; ``data sets`` of a contrast that names them.
        resolution: Smallest step of the metric; stands for the spread where none was seen.
        test: The exact test.
    """

    def filled_units(worst: float | None = None, missing: float | None = None) -> Units:
        if claim == "data sets":
            return data_set_units(scores, contrast.data_sets, worst=worst, missing=missing)
        return with_seeds_counted(units_of(scores, contrast.weights, claim, worst=worst, missing=missing))

    units = filled_units()
    d = rounded(units.first - units.second)
    complete = _tested(
        Measured(contrast, units, d, notes=_one_sided(d, units, scores, contrast)), resolution, test
    )
    worst = scores.metric.worst if units.diverged else None
    if units.diverged and worst is None:
        note = f"{units.diverged} diverged, and {scores.metric.title} has no worst value: not tested"
        return replace(complete, p=None, p_t=1.0, notes=(*complete.notes, note))
    lost = f"{units.diverged} diverged"
    if complete.p is None:
        return replace(complete, notes=(*complete.notes, lost)) if units.diverged else complete
    if not units.diverged and not units.missing:
        return complete

    # The same with something in the place of what has no value.
    against = -float(np.sign(d.mean()) * np.sqrt(np.mean(d**2))) if units.missing else None
    filled = filled_units(worst, against)
    with_filling = _tested(
        Measured(contrast, filled, rounded(filled.first - filled.second)), resolution, test
    )
    assert with_filling.p is not None, "with fillings there are no fewer repeats"
    p, p_t = max(complete.p, with_filling.p), max(complete.p_t, with_filling.p_t)
    could_turn = bool(units.missing) and min(complete.p, complete.p_t) <= ALPHA
    if could_turn:
        they = "it" if units.missing == 1 else "they"
        note = f"{units.missing} missing: p is as if {they} went the other way, as far as the others"
        complete = replace(complete, notes=(*complete.notes, note), could_turn=True)
    if worst is not None:
        return _both(complete, with_filling, lost, worst)
    if not could_turn:
        return replace(complete, against=with_filling)
    if with_filling.d.mean() * d.mean() <= 0:  # it did turn
        p, p_t = 1.0, 1.0
    return replace(complete, p=p, p_t=p_t, filled=with_filling)


def _both(complete: Measured, filled: Measured, lost: str, worst: float) -> Measured:
    notes = (*complete.notes, f"{lost}: tested without and with {worst:g} in place, the larger p counts")
    assert complete.p is not None, "it is tested before it is filled"
    assert filled.p is not None, "with fillings there are no fewer repeats"
    without, with_worst = np.sign(rounded(np.array([complete.d.mean(), filled.d.mean()])))
    if without != with_worst:
        note = f"{lost}: without and with {worst:g} in place the difference has two signs"
        if not without * with_worst:
            where = f"with {worst:g} in place" if without else "over the other repeats"
            note = f"{lost}: {where} the difference is 0"
        return replace(complete, p=1.0, p_t=1.0, notes=(*complete.notes, note))
    p, p_t = max(complete.p, filled.p), max(complete.p_t, filled.p_t)
    return replace(complete, p=p, p_t=p_t, notes=notes, filled=filled)


def _tested(measured: Measured, resolution: float | None, test: Test) -> Measured:
    units, d = measured.units, measured.d
    if units.n <= TOO_FEW:
        return measured
    exact = exact_p(d, test) if units.exact else None
    measured = replace(measured, test=test if units.exact else "Nadeau–Bengio t")
    if has_no_spread(d):
        return _without_spread(measured, exact, resolution)
    sd = float(np.std(d, ddof=1))
    p_t = t_p(float(np.mean(d)), sd, units.variance, units.df)
    return replace(
        measured,
        p=p_t if exact is None else exact,
        p_t=p_t,
        sd=sd,
        half_width=t_half_width(sd, units.variance, units.df),
        interval="t" if units.exact else "Nadeau–Bengio t",
    )


def _without_spread(measured: Measured, exact: float | None, resolution: float | None) -> Measured:
    """A t test of equal differences would be sure of anything: the smallest step of the metric stands in."""
    units, d = measured.units, measured.d
    notes = ["no spread seen"]
    if resolution is not None:
        notes = [*measured.notes, *notes]  # they are of the interval, which there is then
    if not d.any() and not units.diverged:
        differ = 100 * (1 - ALPHA ** (1 / units.n))
        unit = "data sets" if units.claim == "data sets" else "repeats"
        notes.append(f"all equal: with 95 % confidence fewer than {differ:.0f} % of {unit} differ")
    if exact is None and d.any() and resolution is not None:
        exact = t_p(float(np.mean(d)), resolution, units.variance, units.df)
    return replace(
        measured,
        p=1.0 if exact is None else exact,
        half_width=None if resolution is None else t_half_width(resolution, units.variance, units.df),
        interval="" if resolution is None else "smallest step of the metric",
        notes=tuple(notes),
    )


def is_at_bound(values: NDArray[np.float64], metric: Metric) -> bool:
    """True where half of the values or more are the best that the metric can be."""
    best = metric.highest if metric.better == "higher" else metric.lowest
    return bool(2 * np.sum(np.abs(values - best) <= _AT_BOUND) >= len(values))


def _one_sided(d: NDArray[np.float64], units: Units, scores: Scores, contrast: Contrast) -> tuple[str, ...]:
    """Note a spread towards one side: with such a cell intervals covered 88–93 % in the simulations."""
    if units.n <= TOO_FEW or (contrast.pair is None and not contrast.data_sets):
        return ()
    at_bound = any(is_at_bound(side, scores.metric) for side in (units.first, units.second))
    small, large = sorted(float(np.std(side, ddof=1)) for side in (units.first, units.second))
    by_chance = math.sqrt(special.fdtri(units.n - 1, units.n - 1, 0.95))  # few repeats differ more by chance
    distances = np.abs(d - np.median(d))
    outlying = units.n >= _OUTLYING_FROM and float(distances.max()) > _OUTLYING * float(np.median(distances))
    outlying = outlying and np.count_nonzero(distances) > 1
    # Over data sets a side varies by how hard they are, which its difference does not.
    one_sided = at_bound or large > max(_UNEQUAL_SDS, by_chance) * small
    return (ONE_SIDED,) if outlying or (one_sided and not contrast.data_sets) else ()


# Correction for the family -------------------------------------------------------------------------------


_MODERATED_FROM, _MODERATED_UP_TO = 4, 6  # comparisons, repeats: with fewer comparisons 9 % were false
_PRIOR_DF = 2  # fixed: estimated from the family it had 9–18 % false where the spreads of cells differ
_UNEQUAL = 10.0  # variance over the mean of the others': one cell ten times noisier had 7 % false


def adjusted_p(
    members: Sequence[Measured], test: Test, seed: int, earlier: Sequence[Collection[str]] = ()
) -> list[float]:
    """Adjusted p of each comparison of a family; 1 where it could not be computed.

    For ``new data`` training parts overlap and signs may not be flipped: those families take Holm. Where a
    trial diverged, the larger p of both fillings counts.

    Args:
        members: The family, all of one claim.
        test: The exact test.
        seed: Draws the signs beyond 14 repeats.
        earlier: Names of the units that each earlier look had, the fewest first. Where signs may be flipped,
            the looks are one test: p counts what chance would have shown at any of them.
    """
    if earlier and members[0].units.exact:
        return _p_over_looks(members, test, seed, earlier)
    alone = [1.0 if member.p is None else member.p for member in members]
    if len(members) == 1:
        return alone
    if not members[0].units.exact:
        return holm(alone)
    complete = _max_t([None if member.p is None else member for member in members], test, seed)
    if any(member.filled for member in members):
        filled = [None if member.p is None else member.filled or member for member in members]
        complete = np.maximum(complete, _max_t(filled, test, seed))
    return np.maximum(complete, alone).tolist()


def _max_t(members: Sequence[Measured | None], test: Test, seed: int) -> NDArray[np.float64]:
    """Step-down p; a repeat that a comparison lacks counts 0 there, and None lacks them all."""
    differences = np.nan_to_num(_columns(members, sorted(_names(members)), test))
    return stepdown_p(differences, sign_vectors(len(differences), seed))


def _p_over_looks(
    members: Sequence[Measured], test: Test, seed: int, earlier: Sequence[Collection[str]]
) -> list[float]:
    """Each p at the look that showed the comparison, or else now (:mod:`assay.statistics.interim_looks`)."""
    untold = [member.p is None or (member.units.diverged and not member.filled) for member in members]
    known = [None if lost else member for member, lost in zip(members, untold, strict=True)]
    filled = [None if member is None else member.filled or member for member in known]
    names = _names([*known, *filled])
    looks = [names & set(units) for units in earlier]
    order = sorted(names, key=lambda name: (sum(name not in look for look in looks), name))
    if not order:
        return [1.0] * len(members)
    numbers = sorted({*map(len, looks), len(order)} - {0})
    taken = decide(
        _columns(known, order, "sign-flip"),  # ranks are those of each look
        numbers,
        seed=seed,
        resolve=None,
        ended=np.ones((len(order), len(members)), np.bool_),
        filled=_columns(filled, order, "sign-flip") if any(member.filled for member in members) else None,
        test=test,
        planned=False,
    )
    return [
        1.0 if member is None or decision.p is None else decision.p
        for member, decision in zip(known, taken.decisions, strict=True)
    ]


def _names(members: Sequence[Measured | None]) -> set[str]:
    return {name for member in members if member is not None for name in member.units.names}


def _columns(members: Sequence[Measured | None], rows: Sequence[str], test: Test) -> NDArray[np.float64]:
    """Units × comparisons, NaN where one lacks the other."""
    place = {name: row for row, name in enumerate(rows)}
    differences = np.full((len(rows), len(members)), np.nan)
    for column, member in enumerate(members):
        if member is not None:
            d = signed_ranks(member.d) if test == "wilcoxon" else member.d
            differences[[place[name] for name in member.units.names], column] = d
    return differences


@dataclass(frozen=True)
class SureByT:
    """Answer of the corrected t tests for one comparison, which may suggest and never show."""

    sure: bool
    note: str = ""


def sure_by_t(members: Sequence[Measured], looks: Sequence[int]) -> list[SureByT]:
    """Say of each comparison of a family whether its Holm-adjusted paired t test may suggest it.

    It may where the exact test cannot reach .05, at 5 %. Of six repeats the exact test reaches it with one
    sign vector of 32, which is 3.1 %: the rest of 5 % is the t test's, and both together keep the limit.

    Of three to six repeats and four comparisons or more, each variance leans on the mean of all: (2·mean of
    all + (n − 1)·its own) / (n + 1), with n + 1 degrees of freedom. A comparison whose variance is above ten
    times the mean of the others' is then never sure, and a note says so.

    p counts times the square of ``looks``: the numbers of seeds, from three on, at which this test was asked.
    Times their number 6.6 % of studies in which nothing differs were suggested at three or at five seeds.

    Source: Smyth 2004, Linear models and empirical Bayes methods, with the prior's degrees fixed.
    """
    spreads = [0.0 if member.sd is None else member.sd**2 for member in members]
    known = sum(member.sd is not None for member in members)
    p: list[float] = []
    unequal: list[bool] = []
    for member, spread in zip(members, spreads, strict=True):
        moderated = (
            member.sd is not None
            and member.units.exact
            and known >= _MODERATED_FROM
            and member.units.n <= _MODERATED_UP_TO
        )
        unequal.append(moderated and spread > _UNEQUAL * (sum(spreads) - spread) / (known - 1))
        p.append(_moderated_p(member, sum(spreads) / known) if moderated else member.p_t)
    p = [1.0 if never else value for value, never in zip(p, unequal, strict=True)]
    once = holm(p)
    adjusted = holm([min(1.0, value * k**2) for value, k in zip(p, looks, strict=True)])

    left = ALPHA - smallest_p(enough_repeats()) if len(_names(members)) == enough_repeats() else 0.0
    sure: list[SureByT] = []
    for member, value, alone, k, never in zip(members, adjusted, once, looks, unequal, strict=True):
        level = left if smallest_p(int(np.count_nonzero(member.d))) <= ALPHA else ALPHA
        if not member.units.exact or member.units.n <= TOO_FEW:
            level = 0.0
        suggests = level > 0 and value <= level
        note = "unequal spread: nothing is suggested" if never else ""
        if alone <= level < value:
            note = f"asked at {k} numbers of seeds: p of the t test counts {k**2} times"
        if suggests and level < ALPHA:
            note = (
                f"by the t test at the {100 * level:.1f} % that the exact test of six repeats leaves of 5 %"
            )
        sure.append(SureByT(suggests, note))
    return sure


def _moderated_p(member: Measured, mean_variance: float) -> float:
    """The larger p of both fillings; 1 where the plain t may not be asked."""
    if member.p_t == 1.0:
        return 1.0
    p: list[float] = []
    for filling in member.fillings:
        if filling.sd is not None:
            df = filling.units.n - 1
            variance = (_PRIOR_DF * mean_variance + df * filling.sd**2) / (_PRIOR_DF + df)
            mean = float(np.mean(filling.d))
            p.append(t_p(mean, variance**0.5, filling.units.variance, df + _PRIOR_DF))
    return max(p)
