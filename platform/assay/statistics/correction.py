"""Correction of the p-values of a family: max-T for exact tests, Holm for t tests, a t with shared spread.

Exact p's are corrected by max-T over sign flips of whole repeats (:mod:`assay.statistics.signs`):
what comparisons share is not paid for twice, so a family of any size speaks from six repeats. Below,
:func:`sure_by_t` may still suggest: from four comparisons on their spreads lean on each other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.statistics.contrast_test import Measured
from assay.statistics.looks import decide
from assay.statistics.paired import ALPHA, Test, holm, signed_ranks, t_p
from assay.statistics.signs import sign_vectors, stepdown_p

__all__ = ["SureByT", "adjusted_p", "sure_by_t"]

_MODERATED_FROM, _MODERATED_UP_TO = 4, 5  # comparisons, repeats: with fewer comparisons 9 % were false
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
    """Each p at the look that showed the comparison, or else now (:mod:`assay.statistics.looks`)."""
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
    """Say of each comparison of a family whether its Holm-adjusted paired t test gives p ≤ .05.

    Of three to five repeats and four comparisons or more, each variance leans on the mean of all: (2·mean of
    all + (n − 1)·its own) / (n + 1), with n + 1 degrees of freedom. A comparison whose variance is above ten
    times the mean of the others' is then never sure, and a note says so.

    Source: Smyth 2004, Linear models and empirical Bayes methods, with the prior's degrees fixed.
    """
    spreads = [0.0 if member.sd is None else member.sd**2 for member in members]
    known = sum(member.sd is not None for member in members)
    p: list[float] = []
    notes: list[str] = []
    for member, spread in zip(members, spreads, strict=True):
        moderated = (
            member.sd is not None
            and member.units.exact
            and known >= _MODERATED_FROM
            and member.units.n <= _MODERATED_UP_TO
        )
        unequal = moderated and spread > _UNEQUAL * (sum(spreads) - spread) / (known - 1)
        notes.append("unequal spread: nothing is suggested" if unequal else "")
        p.append(1.0 if unequal else _moderated_p(member, sum(spreads) / known) if moderated else member.p_t)
    adjusted = holm([min(1.0, value * k) for value, k in zip(p, looks, strict=True)])
    return [SureByT(value <= ALPHA, note) for value, note in zip(adjusted, notes, strict=True)]


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
