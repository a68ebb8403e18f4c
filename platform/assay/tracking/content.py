"""MLflow's values of a record: parameters, tags and metrics, as plain values (no MLflow in here).

Everything is taken from the record, so a value in MLflow equals the record's. Names: ``config.lr``,
``level.stop``, ``seed`` (parameters); ``test/image_ap``, ``validation/image_ap``, ``test/cam/pixel_ap`` of a
stage (final metrics) and ``epoch/loss`` (one value per epoch, at the epoch's own time); tags begin with
``assay.``.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from assay.storage import Record
from assay.storage.mlflow_sync_state import VIEW
from assay.storage.redaction import redact
from assay.storage.search_points import objective_value
from assay.study.search.spec import Objective

__all__ = [
    "Point",
    "curve_points",
    "epoch_points",
    "experiment_note",
    "experiment_tags",
    "final_points",
    "milliseconds",
    "objective_mean",
    "parameters",
    "record_hash",
    "source_tags",
    "tags",
    "view_tag",
]

_PARAMETER_CHARACTERS = 6000  # MLflow refuses longer values
_TAG_CHARACTERS = 5000
_CUT = "\n\nThe table goes on: `assay report` has all of it."
_NOT_ALLOWED = re.compile(r"[^\w\-. /]")  # in names of metrics and parameters
_OF_THE_CURVE = frozenset({"epoch", "time", "seconds"})


class Point(NamedTuple):
    """One value of a metric."""

    name: str
    value: float
    time: int  # milliseconds since 1970
    step: int


def record_hash(record: Record) -> str:
    """sha256 of a record: a replaced record has another one and is synced anew.

    Models that ``keep`` removes later change nothing that is synced, and so do not count.
    """
    synced = record.model_dump_json(exclude={"files", "removed"})
    return hashlib.sha256(synced.encode()).hexdigest()


def parameters(trial: Mapping[str, Any], levels: Mapping[str, str]) -> dict[str, str]:
    """The resolved config of a trial as a record holds it, flattened, with levels, repeat and data."""
    values = {f"level.{factor}": level for factor, level in levels.items()}
    for part in ("config", "data"):
        values |= dict(_flat(part, trial.get(part) or {}))
    for name in ("trainable", "revision", "seed", "fold", "supervision"):
        if trial.get(name) is not None:
            values |= dict(_flat(name, trial[name]))
    return {_name(key): value[:_PARAMETER_CHARACTERS] for key, value in values.items()}


def view_tag(metric: str) -> dict[str, str]:
    """Tag of an experiment that holds a view of its table: a metric, how many runs, and their spread.

    MLflow's pages take columns from no URL. They keep a view that somebody shares in such a tag, and its name
    in the link.
    """
    columns = [f"metrics.`{name}`" for name in (f"test/{metric}", "n", f"spread/{metric}")]
    return {f"mlflow.sharedViewState.{VIEW}": json.dumps({"selectedColumns": columns})}


def tags(record: Record, study: str, cell: str) -> dict[str, str]:
    """Tags by which a run is found, and where and with what it came about."""
    environment = record.environment
    packages = environment.versions | environment.imports
    values = {
        "assay.kind": "trial",
        "assay.study": study,
        "assay.cell": cell,
        "assay.trial": record.id,
        "assay.record": record_hash(record),
        "assay.status": record.status,
        "assay.reason": record.reason or "",
        "assay.node": environment.node,
        "assay.host": environment.host,
        "assay.device": environment.device,
        "assay.commit": environment.commit,
        "assay.source": environment.source_hash,
        "assay.attempts": str(record.attempts),
        **{f"assay.version.{_name(name)}": version for name, version in packages.items()},
    }
    return {name: redact(value)[:_TAG_CHARACTERS] for name, value in values.items() if value}


def source_tags(study: str, storage: str, commit: str | None = None) -> dict[str, str]:
    """Tags that lead from a run to its study; MLflow shows the first as the run's source."""
    values = {
        "mlflow.source.name": f"assay run {study}",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit or "",
        "assay.storage": redact(storage),
    }
    return {name: value for name, value in values.items() if value}


def experiment_tags(study: str, storage: str) -> dict[str, str]:
    """Tags that lead from an experiment to its study."""
    return {"assay.study": study, "assay.storage": redact(storage)}


def final_points(record: Record) -> list[Point]:
    """Test and validation metrics, stages, defects, times and memory; as a step, the number of epochs."""
    result, now = record.result, milliseconds(record.ended)
    values: dict[str, float] = {f"seconds/{name}": value for name, value in record.timings.items()}
    if record.environment.peak_memory_mb is not None:
        values["peak_memory_mb"] = record.environment.peak_memory_mb
    step = 0
    if result is not None:
        values |= {f"test/{name}": value for name, value in result.metrics.items()}
        values |= {f"validation/{name}": value for name, value in result.validation.items()}
        for stage in result.stages:
            values |= {f"{stage.of}/{stage.stage}/{name}": value for name, value in stage.metrics.items()}

        # Counts become shares: runs on other data have other numbers of regions.
        for defects in result.defects:
            place = "/".join(("test/defects", *((defects.of, defects.name) if defects.of != "all" else ())))
            if defects.regions:
                values[f"{place}/found"] = defects.detected / defects.regions
                values[f"{place}/outlined"] = defects.outlined / defects.regions
            if defects.images and defects.flagged is not None:
                values[f"{place}/images"] = defects.flagged / defects.images
        step = result.epochs
    return [Point(_name(name), value, now, step) for name, value in values.items()]


def curve_points(curve: pa.Table, fallback_time: int) -> list[Point]:
    """One point per epoch and metric of ``curve.parquet`` (columns epoch, time in Unix seconds, metrics).

    Without a column ``epoch`` rows count from 0, without ``time`` all points lie at ``fallback_time`` (ms);
    what is no finite number is left out.
    """
    points: list[Point] = []
    for number, row in enumerate(curve.to_pylist()):
        moment, epoch = _number(row.get("time")), _number(row.get("epoch"))
        time = fallback_time if moment is None else round(moment * 1000)
        step = number if epoch is None else round(epoch)
        points += epoch_points(row, step, time)
    return points


def epoch_points(row: Mapping[str, Any], step: int, time: int) -> list[Point]:
    """The metrics of one epoch; what is no finite number is left out."""
    values = {name: _number(value) for name, value in row.items() if name not in _OF_THE_CURVE}
    return [
        Point(_name(f"epoch/{name}"), value, time, step)
        for name, value in values.items()
        if value is not None
    ]


def experiment_note(question: str, table: str) -> str:
    """The description of an experiment: the question and the study's table, in Markdown.

    Rows that MLflow has no room for are left out, which the last line says.
    """
    note = redact(f"{question}\n\n{table}")
    if len(note) <= _TAG_CHARACTERS:
        return note
    return note[: _TAG_CHARACTERS - len(_CUT)].rpartition("\n")[0] + _CUT


def objective_mean(goals: Sequence[Objective], records: Sequence[Record]) -> dict[str, float]:
    """Mean of each objective over the records of a point, ``validation/image_ap``, ``cost/latency_ms``."""
    means: dict[str, float] = {}
    for objective in goals:
        known = [objective_value(objective, record) for record in records]
        values = [value for value in known if value is not None]
        if values:
            part = "cost" if objective.is_cost else "validation"
            means[f"{part}/{objective.metric}"] = math.fsum(values) / len(values)
    return means


def milliseconds(moment: Any) -> int:
    """A moment as MLflow counts time; 0 when it is unknown."""
    return 0 if moment is None else round(moment.timestamp() * 1000)


def _number(value: Any) -> float | None:
    """A finite number, or None."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}", inner)
    else:
        yield prefix, redact(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _name(text: str) -> str:
    """Turn ``text`` into a name that MLflow takes: of its signs alone, and no path that means another one."""
    parts = _NOT_ALLOWED.sub("_", text)[:250].split("/")
    return "/".join("_" if part in {"", ".", ".."} else part for part in parts)
