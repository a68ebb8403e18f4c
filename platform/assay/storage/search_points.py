"""A search as its records tell it: the points that were asked for, what each is worth, and the winners.

``studies/<study>/search.jsonl`` holds one :class:`~assay.study.Point` per line, written before the point is
trained. What a point is worth is in the records of its trials, and nowhere else. Object stores cannot append:
the file is written whole, one object, each time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import ValidationError

from assay.storage.files.checksum import lines_with_checksum, without_last_line
from assay.storage.files.conditional import ChangedError
from assay.storage.record import Record
from assay.storage.store import Store
from assay.study import Plan, Point, SearchPlan, Trial
from assay.study.planning.identity import canonical_json
from assay.study.search.points import point_row
from assay.study.search.spec import Objective
from trainables.errors import InputError, StorageError
from trainables.plugins.catalogue import TRAINABLES
from trainables.plugins.method_files import is_file_method

__all__ = [
    "MEASURED_ANEW",
    "EvaluatedPoint",
    "beats",
    "best_points",
    "evaluate_points",
    "front_of",
    "known_replicas",
    "objective_value",
    "read_points",
    "trials_of_points",
    "winners",
    "with_points",
    "write_points",
]

# The way out where a point has no cost.
MEASURED_ANEW = "A cost is measured with `repeats.seeds` on which no other study trained."


class EvaluatedPoint(NamedTuple):
    """A point and what its records say of it."""

    point: Point
    status: Literal["finished", "pruned", "failed", "open"]  # open: not all its trials have a record
    value: float | None  # finished: the objective (of several the first), mean over repeats
    repeats: tuple[float, ...]  # the objective of each repeat that has it, in their order
    reason: str | None = None
    values: tuple[float, ...] = ()  # finished: every objective, mean over repeats


def read_points(store: Store, plan: SearchPlan) -> list[Point]:
    """The points asked for so far in the plan's cells, in the order in which they were asked for.

    Raises:
        InputError: If they were drawn by other rules than the plan's, or the file is no such file.
    """
    path = _path(plan)
    try:
        data = store.read_bytes(path)
    except FileNotFoundError:
        return []
    lines, checksum = without_last_line(data)
    try:
        points = [Point.model_validate_json(line) for line in lines.splitlines()]
    except ValidationError as error:
        raise _damaged(store, path, f"cannot be read: {error.errors()[0]['msg']}") from None
    if checksum == "wrong" or not data:
        raise _damaged(store, path, "was changed since it was written" if data else "is empty")

    # Points that were drawn by other rules are no history of this search: a sampler would learn from answers
    # to another question.
    for point in points:
        searched = plan.by_name.get(point.cell)
        if searched is not None and searched.search != point.search:
            raise InputError(
                f"the search in cell {point.cell} of {plan.study.study} began with other rules: its space, "
                "sampler, seed, batch, objective, start points or base settings were changed since. Undo the "
                f"change, give the study another name, or delete {path} in {store.uri} to begin anew."
            )
    return points


def trials_of_points(plan: SearchPlan, points: Iterable[Point]) -> Iterator[Trial]:
    """The trials of points, those on fresh seeds too: at the end some will be winners."""
    by_name = plan.by_name
    for point in points:
        for fresh in (False, True):
            row = point_row(by_name[point.cell], point, fresh=fresh) if point.cell in by_name else None
            yield from row.trials if row is not None else ()


def write_points(store: Store, plan: SearchPlan, points: Sequence[Point]) -> None:
    """Write all points, those of earlier batches first: points are added, and none is lost.

    Raises:
        StorageError: If others are there by now, of a run that took the study over.
    """
    path = _path(plan)
    lines = "".join(f"{point.model_dump_json()}\n" for point in points).encode()

    # The file only grows. If what is there is not the beginning of what is to be written, another run has
    # drawn meanwhile.
    there = store.swaps.read(path)
    added = there is None or lines.startswith(without_last_line(there.data).content)
    try:
        if added:
            store.swaps.write(path, lines_with_checksum(lines), over=there)
    except ChangedError:
        added = False
    if not added:
        raise StorageError(
            f"a search is drawn by one run, and {path} in {store.uri} has points that this one did not draw: "
            "another run took the study over. What is finished is kept: `assay run` goes on from there."
        )


def evaluate_points(
    goals: Sequence[Objective],
    points: Iterable[tuple[Point, Sequence[str]]],
    records: Mapping[str, Record],
) -> list[EvaluatedPoint]:
    """Evaluate points of one cell by validation images; test scores are not looked at.

    Args:
        goals: Objectives of the search.
        points: Each with the ids of its trials (:meth:`SearchPlan.points_of`).
        records: By trial id.
    """
    return [_evaluated(goals, point, ids, records) for point, ids in points]


def objective_value(objective: Objective, record: Record) -> float | None:
    """An objective's value in a trial's record; None where it has none."""
    if objective.is_cost:
        return record.cost(objective.metric)
    return None if record.result is None else record.result.validation.get(objective.metric)


def best_points(
    plan: Plan, evaluated: Iterable[EvaluatedPoint], most: int | None = None
) -> list[EvaluatedPoint]:
    """Finished points, best first; of equal values the earlier, of equal settings one.

    With several objectives: those on the front alone, the ends of it first. Otherwise at most ``most``: the
    settings of the others are not compared.
    """
    signs = [objective.sign for objective in plan.objectives]
    finished = [each for each in evaluated if each.value is not None]
    finished.sort(key=lambda each: (-signs[0] * (each.value or 0.0), each.point.index))

    # Equal settings drawn twice are one point, and the earlier stands for both.
    unique: dict[str, EvaluatedPoint] = {}
    for each in finished:
        if len(unique) == most and not plan.has_front:
            break
        unique.setdefault(canonical_json(each.point.config), each)
    ranked = list(unique.values())
    if not plan.has_front:
        return ranked
    return [ranked[index] for index in front_of([each.values for each in ranked], signs)]


def winners(plan: SearchPlan, evaluated: Sequence[EvaluatedPoint]) -> list[Point] | None:
    """The points of one cell that are trained again on fresh seeds; None while the cell's search goes on."""
    if len(evaluated) < plan.budget or any(each.status == "open" for each in evaluated):
        return None
    replicate = plan.study.replicate
    if replicate is None:
        return []
    chosen = [best.point for best in best_points(plan, evaluated, replicate.best)[: replicate.best]]
    if replicate.start:
        sampler = plan.search.sampler
        chosen += [each.point for each in evaluated if each.point.source != sampler and each.point.config]
    return list({point.index: point for point in chosen}.values())


def with_points(plan: Plan, store: Store, known: dict[str, Record] | None = None) -> Plan:
    """The plan of a search with all that was drawn so far; any other plan as it is.

    Args:
        plan: A plan, with its points or without.
        store: Where the points lie.
        known: Records that are known already. Those that are missing there are read, and added.

    Raises:
        InputError: If points were drawn, and none of a method that is not installed has a trial. Only its
            Config knows which settings ids leave out: with other ids they seem never to have been trained.
    """
    if not isinstance(plan, SearchPlan):
        return plan
    known = {} if known is None else known
    drawn = read_points(store, plan)
    grown = plan.with_points(drawn)
    if drawn:
        _refuse_unknown_methods(grown, store)

    # The winners of a cell are known when its last point has ended. Then they are trained again, on fresh
    # seeds.
    replicated: list[Point] = []
    complete = True
    for searched in plan.searched:
        chosen = None
        if grown.drawn[searched.cell.name] >= plan.budget:  # else it goes on, whatever the records say
            points = grown.points_of(searched)
            known |= store.records(id_ for _, ids in points for id_ in ids if id_ not in known)
            chosen = winners(plan, evaluate_points(plan.search.objectives, points, known))
        complete &= chosen is not None
        replicated += chosen or ()
    return grown.with_winners(replicated, complete=complete)


def _refuse_unknown_methods(plan: SearchPlan, store: Store) -> None:
    for searched in plan.searched:
        method = searched.cell.trainable
        if is_file_method(method) or method in TRAINABLES:
            continue
        if {id_ for _, ids in plan.points_of(searched) for id_ in ids}.isdisjoint(store.trials()):
            raise InputError(
                f"the trials of a search are found with its method, and study {plan.study.study} has "
                f"searched with {method!r}, which is not installed here. Install the package that brings it."
            )


def known_replicas(plan: Plan, store: Store) -> dict[str, Record]:
    """Records on fresh seeds of points that are in no row of the plan, as the search goes on.

    A search that was over and got more points has trained its winners again. Which of them stay winners shows
    at its end.

    Args:
        plan: Of a search, with its points; of any other study there are none.
        store: Where the records lie.
    """
    if not isinstance(plan, SearchPlan) or plan.study.replicate is None or not plan.pending_points:
        return {}
    ids = {trial.id for trial in trials_of_points(plan, plan.points)}
    return store.records((ids & set(store.trials())).difference(trial.id for trial in plan.trials))


def _path(plan: SearchPlan) -> str:
    return f"{Store.study(plan.study.study)}/search.jsonl"


def _damaged(store: Store, path: str, what: str) -> InputError:
    return InputError(
        f"{path} in {store.uri} {what}. `assay check --repair` sets it aside: records of trained points "
        "stay, and are found again when `assay run` draws the same points."
    )


def _evaluated(
    goals: Sequence[Objective], point: Point, ids: Iterable[str], records: Mapping[str, Record]
) -> EvaluatedPoint:
    if point.config is None:
        return EvaluatedPoint(point, "failed", None, (), point.reason)
    repeats: list[list[float]] = []  # of each repeat the objectives
    trouble: list[tuple[Literal["pruned", "failed"], str]] = []
    missing = False
    for id_ in ids:
        record = records.get(id_)
        if record is None:
            missing = True
        elif record.result is not None and record.status == "finished":
            values = {goal: objective_value(goal, record) for goal in goals}
            lacking = next((objective for objective, value in values.items() if value is None), None)
            if lacking is not None:
                trouble.append(("failed", _why_lacking(lacking, record)))
            else:
                repeats.append([value for value in values.values() if value is not None])
        else:
            status = "pruned" if record.status == "pruned" else "failed"
            trouble.append((status, f"{record.status}: {record.reason or 'no reason noted'}"))

    # A point is open while a repeat of it is, and fails with any that failed: a mean of the others would
    # favour settings that sometimes break.
    first = tuple(values[0] for values in repeats)
    if missing:
        return EvaluatedPoint(point, "open", None, first)
    if trouble:
        status, reason = min(trouble)  # one that failed says more than one that was pruned
        return EvaluatedPoint(point, status, None, first, reason)
    means = tuple(math.fsum(values) / len(values) for values in zip(*repeats, strict=True))
    return EvaluatedPoint(point, "finished", means[0], first, values=means)


def _why_lacking(objective: Objective, record: Record) -> str:
    if objective.is_cost:
        return f"{objective.metric} was not measured when {record.study} trained it"
    return f"{objective.metric} is not defined on its validation images"


# The front of several objectives ------------------------------------------------------------------
#
# The front of points with several objectives: those that no other point beats in all of them.


Values = Sequence[float]  # one of each objective, in their order


def beats(values: Values, others: Values, signs: Sequence[int]) -> bool:
    """True where ``values`` are nowhere worse than ``others`` and somewhere better.

    Args:
        values: Of one point.
        others: Of another.
        signs: 1 where higher is better, −1 where lower is.
    """
    better = [sign * (a - b) for a, b, sign in zip(values, others, signs, strict=True)]
    return min(better) >= 0 and max(better) > 0


def front_of(points: Sequence[Values], signs: Sequence[int]) -> list[int]:
    """The indices of the points that none beats; its ends first, then where it is emptiest.

    The order is that of Deb's crowding distance (2002, NSGA-II): the first few of a long front lie far apart.
    """
    if not points:
        return []
    costs = -np.asarray(points, np.float64) * np.asarray(signs)
    front: list[int] = []
    for index in np.lexsort(costs.T[::-1]):  # whoever beats a point comes before it
        known = costs[front]
        worse = (known <= costs[index]).all(axis=1) & (known < costs[index]).any(axis=1)
        if not worse.any():
            front.append(int(index))

    # The ends of the front have infinite room, each other point the distance between its neighbours, in parts
    # of the width of each objective.
    room = np.zeros(len(front))
    for column in costs[front].T:
        order = np.argsort(column, kind="stable")
        width = (column[order[-1]] - column[order[0]]) or 1.0
        room[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / width
        room[order[[0, -1]]] = np.inf
    return [index for _, index in sorted(zip(-room, front, strict=True))]
