"""A plan as a table, one row for each trial: the layout of ``plan.parquet``.

What trials share travels in the schema's metadata, their settings with the cells. The layout is one for all
studies: what only a search has stands empty in any other plan. The cells of a file are those of the study
file; points have one of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from assay.study.planning.cells import Cell, Trial, make_trial
from assay.study.planning.plan import Plan
from assay.study.search.search_plan import SearchPlan
from trainables.data.threshold import REMOVED
from trainables.errors import InputError

__all__ = ["plan_of_table", "table_of_plan", "trials_of_table"]

_METADATA = b"assay.plan"
_NO_SEARCH: dict[str, Any] = {"searched": [], "points": [], "point_trials": [], "pending_points": 0}
_NO_POINT: dict[str, Any] = {"role": "design", "searched": None, "drawn": {}}


def table_of_plan(plan: Plan) -> pa.Table:
    """The table of a plan, as its study file gives it: points that were drawn have a file of their own."""
    head: dict[str, Any] = plan.model_dump(mode="json", exclude={"study", "trials", "resolution_limits"})
    head = head | {key: value for key, value in _NO_SEARCH.items() if key not in head}
    for cell in (*head["cells"], *(searched["cell"] for searched in head["searched"])):
        cell.update(_NO_POINT)
    head["reach"] = [  # the key under which plans keep resolution limits
        {"cells": each.cells, "reach": each.limit.model_dump(mode="json")} for each in plan.resolution_limits
    ]
    head["study"] = plan.study.model_dump(mode="json", exclude_unset=True)
    trials = plan.trials

    # A column for what differs from trial to trial. The rest is the cell's, and stands in the head once.
    columns = {
        "id": pa.array([t.id for t in trials], pa.string()),
        "cell": pa.array([t.cell for t in trials], pa.string()),
        "seed": pa.array([t.seed for t in trials], pa.int64()),
        "fold": pa.array([t.fold for t in trials], pa.int64()),
        "manifest": pa.array([t.manifest for t in trials], pa.string()),
        "split": pa.array([t.split for t in trials], pa.string()),
    }
    return pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(head)})


def plan_of_table(table: pa.Table) -> Plan:
    """The plan that :func:`table_of_plan` wrote.

    Raises:
        InputError: If it was written when the threshold had another name.
        ValueError: If it is no plan.
    """
    head = json.loads((table.schema.metadata or {})[_METADATA])
    blocks = (head["study"].get("data", {}), *(cell["data"] for cell in head["cells"]))
    named = [data.get("threshold") for data in blocks]
    removed = next((threshold for threshold in named if threshold in REMOVED), None)
    if removed is not None:
        raise InputError(
            f"the plan of study {head['study']['study']} has the threshold {removed}, which earlier drafts "
            "of assay knew. Write `threshold: f1` in the data of its study file, give the study another "
            "name, and run it again."
        )
    # Every plan has the same keys in its file, those of a search among them. What this one has no use for is
    # taken out again.
    for cell in (*head["cells"], *(searched["cell"] for searched in head["searched"])):
        for key in _NO_POINT:
            del cell[key]
    kind = SearchPlan if head["searched"] else Plan
    if kind is Plan:
        head = {key: value for key, value in head.items() if key not in _NO_SEARCH}
    limits = [{"cells": each["cells"], "limit": each["reach"]} for each in head.pop("reach")]
    plan = kind.model_validate({**head, "resolution_limits": limits, "trials": ()})
    return plan.model_copy(update={"trials": trials_of_table(table, plan.cells)})


def trials_of_table(table: pa.Table, cells: Iterable[Cell]) -> tuple[Trial, ...]:
    """The trials of some or all rows of a plan's table; ``cells``: the plan's."""
    by_name = {cell.name: cell for cell in cells}
    rows = table.select(["id", "cell", "seed", "fold", "manifest", "split"]).to_pylist()
    return tuple(make_trial(by_name[row.pop("cell")], **row) for row in rows)
