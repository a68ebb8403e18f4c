"""A search as its records tell it: the points that were asked for, what each is worth, and the winners.

``studies/<study>/search.jsonl`` holds one :class:`~assay.study.Point` per line, written before the point is
trained. What a point is worth is in the records of its trials, and nowhere else. Object stores cannot append:
the file is written whole, one object, each time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from pydantic import ValidationError

from assay.results.record import Record
from assay.results.store import Store
from assay.study import Plan, Point, SearchedCell, Trial
from assay.study.identity import canonical_json
from assay.study.points import budget, point_cell, trials_of
from trainables.errors import InputError

__all__ = [
    "Judged",
    "best_points",
    "grown",
    "judge",
    "point_trials",
    "read_points",
    "winners",
    "write_points",
]


class Judged(NamedTuple):
    """A point and what its records say of it."""

    point: Point
    status: Literal["finished", "pruned", "failed", "open"]  # open: not all its trials have a record
    value: float | None  # finished: the objective, mean over repeats
    repeats: tuple[float, ...]  # the objective of each repeat that has it, in their order
    reason: str | None = None


def read_points(store: Store, plan: Plan) -> list[Point]:
    """The points asked for so far in the plan's cells, in the order in which they were asked for.

    Raises:
        InputError: If they were drawn by other rules than the plan's, or the file is no such file.
    """
    path = _path(plan)
    try:
        lines = store.read_bytes(path).splitlines()
    except FileNotFoundError:
        return []
    try:
        points = [Point.model_validate_json(line) for line in lines]
    except ValidationError as error:
        raise InputError(
            f"{path} in {store.uri} cannot be read: {error.errors()[0]['msg']}. Restore or delete it: "
            "records of trained points stay, and are found again where the same points are drawn."
        ) from None
    rules = {searched.cell.name: searched.search for searched in plan.searched}
    for point in points:
        if rules.get(point.cell, point.search) != point.search:
            raise InputError(
                f"the search in cell {point.cell} of {plan.study.study} began with other rules: its space, "
                "sampler, seed, batch, objective, start points or base settings were changed since. Undo the "
                f"change, give the study another name, or delete {path} in {store.uri} to begin anew."
            )
    return points


def write_points(store: Store, plan: Plan, points: Sequence[Point]) -> None:
    """Write all points, those of earlier batches first."""
    lines = [point.model_dump_json() for point in points]
    store.write_bytes(_path(plan), "\n".join([*lines, ""]).encode())


def point_trials(plan: Plan, searched: SearchedCell, point: Point, *, fresh: bool = False) -> list[Trial]:
    """The trials of a point, in the order of the repeats; none where the method refused its settings."""
    if point.config is None:
        return []
    cell = point_cell(searched, point, "replicate" if fresh else "point")
    repeats = searched.fresh if fresh else searched.repeats
    return list(trials_of(searched, cell, repeats, plan.trainable, plan.revision))


def judge(
    plan: Plan, searched: SearchedCell, points: Iterable[Point], records: Mapping[str, Record]
) -> list[Judged]:
    """What the points of one cell are worth by validation images; test scores are not looked at."""
    return [_judged(plan, searched, point, records) for point in points if point.cell == searched.cell.name]


def best_points(plan: Plan, judged: Iterable[Judged]) -> list[Judged]:
    """Finished points, best first; of equal values the earlier, of equal settings one."""
    assert plan.study.search is not None
    sign = plan.study.search.objective.sign
    found = [one for one in judged if one.value is not None]
    found.sort(key=lambda one: (-sign * (one.value or 0.0), one.point.index))
    unique: dict[str, Judged] = {}
    for one in found:
        unique.setdefault(canonical_json(one.point.config), one)
    return list(unique.values())


def winners(plan: Plan, judged: Sequence[Judged]) -> list[Point] | None:
    """The points of one cell that are trained again on fresh seeds; None while the cell's search goes on."""
    if len(judged) < budget(plan.study) or any(one.status == "open" for one in judged):
        return None
    replicate = plan.study.replicate
    if replicate is None:
        return []
    chosen = [one.point for one in best_points(plan, judged)[: replicate.best]]
    if replicate.start:
        drawn_by = plan.study.search.sampler if plan.study.search else ""
        chosen += [one.point for one in judged if one.point.source != drawn_by and one.point.config]
    return list({point.index: point for point in chosen}.values())


def grown(plan: Plan, store: Store, records: Mapping[str, Record] | None = None) -> Plan:
    """The plan of a search with all that was drawn so far; any other plan as it is.

    Args:
        plan: A plan, grown or not.
        store: Where the points lie.
        records: What is known already; records not in it are read.
    """
    if plan.study.search is None:
        return plan
    points = read_points(store, plan)
    replicated: list[Point] = []
    complete = True
    for searched in plan.searched:
        mine = [point for point in points if point.cell == searched.cell.name]
        chosen = None
        if len(mine) >= budget(plan.study):  # else the search goes on, whatever the records say
            ids = [trial.id for point in mine for trial in point_trials(plan, searched, point)]
            known = {id_: records[id_] for id_ in ids if id_ in records} if records else {}
            known |= store.records(id_ for id_ in ids if id_ not in known)
            chosen = winners(plan, judge(plan, searched, mine, known))
        complete &= chosen is not None
        replicated += chosen or ()
    return plan.grow(points, replicated, complete=complete)


def _path(plan: Plan) -> str:
    return f"{Store.study(plan.study.study)}/search.jsonl"


def _judged(plan: Plan, searched: SearchedCell, point: Point, records: Mapping[str, Record]) -> Judged:
    assert plan.study.search is not None
    if point.config is None:
        return Judged(point, "failed", None, (), point.reason)
    metric = plan.study.search.objective.metric
    values: list[float] = []
    trouble: list[tuple[Literal["pruned", "failed"], str]] = []
    missing = False
    for trial in point_trials(plan, searched, point):
        record = records.get(trial.id)
        if record is None:
            missing = True
        elif record.result is not None and record.status == "finished":
            value = record.result.validation.get(metric)
            if value is None:
                trouble.append(("failed", f"{metric} is not defined on its validation images"))
            else:
                values.append(value)
        else:
            status = "pruned" if record.status == "pruned" else "failed"
            trouble.append((status, f"{record.status}: {record.reason or 'no reason noted'}"))
    if missing:
        return Judged(point, "open", None, tuple(values))
    if trouble:
        status, reason = min(trouble)  # one that failed says more than one that was pruned
        return Judged(point, status, None, tuple(values), reason)
    return Judged(point, "finished", math.fsum(values) / len(values), tuple(values))
