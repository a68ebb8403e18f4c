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

__all__ = ["plan_of_table", "table_of_plan", "trials_of_table"]

_METADATA = b"assay.plan"
_NO_SEARCH: dict[str, Any] = {"searched": [], "points": [], "point_trials": [], "pending_points": 0}
_NO_POINT: dict[str, Any] = {"role": "design", "searched": None, "drawn": {}}


def table_of_plan(plan: Plan) -> pa.Table:
    """The table of a plan, as its study file gives it: points that were drawn have a file of their own."""
    head: dict[str, Any] = plan.model_dump(mode="json", exclude={"study", "trials", "reach"})
    head = head | {key: value for key, value in _NO_SEARCH.items() if key not in head}
    for cell in (*head["cells"], *(searched["cell"] for searched in head["searched"])):
        cell.update(_NO_POINT)
    head["reach"] = [reach.model_dump(mode="json") for reach in plan.reach]
    head["study"] = plan.study.model_dump(mode="json", exclude_unset=True)
    trials = plan.trials
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
    """The plan that :func:`table_of_plan` wrote."""
    head = json.loads((table.schema.metadata or {})[_METADATA])
    for cell in (*head["cells"], *(searched["cell"] for searched in head["searched"])):
        for key in _NO_POINT:
            del cell[key]
    kind = SearchPlan if head["searched"] else Plan
    if kind is Plan:
        head = {key: value for key, value in head.items() if key not in _NO_SEARCH}
    plan = kind.model_validate({**head, "trials": ()})
    return plan.model_copy(update={"trials": trials_of_table(table, plan.cells)})


def trials_of_table(table: pa.Table, cells: Iterable[Cell]) -> tuple[Trial, ...]:
    """The trials of some or all rows of a plan's table; ``cells``: the plan's."""
    by_name = {cell.name: cell for cell in cells}
    rows = table.select(["id", "cell", "seed", "fold", "manifest", "split"]).to_pylist()
    return tuple(make_trial(by_name[row.pop("cell")], **row) for row in rows)
