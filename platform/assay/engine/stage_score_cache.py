"""Steps that trials share are evaluated once: scores and pictures of a stage lie beside its files.

::

    stages/<key>/judged-<hash>.parquet

The key says what the stage is made of, the hash on which images it was evaluated: that is all that maps,
pictures and floors depend on. A trial reads what others have written, shows the rest, and writes that. Two
who evaluate a stage at once write the same. The seconds count for the trial that did it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa

from assay.storage import Store
from assay.storage.checksum import table_checksum, table_with_checksum
from assay.storage.files import read_parquet
from assay.storage.stage_store import stage_folder
from assay.study.stage_graph import Need
from trainables.data.samples import ImageSet
from trainables.evaluation.evaluate import Evaluation
from trainables.evaluation.stage_maps import CAM, STAGE_MAPS_SCHEMA, StageScores

__all__ = ["StageScoreCache"]

_FORM = 1  # raised when the evaluation changes
_FACTS = b"assay"  # names and scores, in the table's metadata


class _Shown(NamedTuple):
    """Scores and pictures of some stages."""

    names: tuple[str, ...]  # in the order of the chain; a picture without probes has nothing else
    scores: tuple[StageScores, ...]  # of maps, and the floors beside the CAM
    rows: list[dict[str, Any]]  # of STAGE_MAPS_SCHEMA

    def part(self, names: Sequence[str]) -> _Shown:
        """Select what is about ``names``."""
        kept = tuple(name for name in self.names if name in names)
        floors = CAM in kept
        return _Shown(
            kept,
            tuple(s for s in self.scores if (floors if s.of == "floor" else s.stage in kept)),
            [row for row in self.rows if row["stage"] in kept],
        )


class StageScoreCache:
    """Scores and pictures of one trial's stages on its test images."""

    def __init__(self, store: Store, needs: Iterable[Need], test: ImageSet, probes: int) -> None:
        """``probes``: of how many images pictures are kept (seed and fold, in the key, say which)."""
        images = json.dumps([_FORM, test.ids, sorted(test.masks), probes])
        name = f"judged-{hashlib.sha256(images.encode()).hexdigest()[:16]}.parquet"
        self._store = store
        self._paths = {n.stage.shows: f"{stage_folder(n.key)}/{name}" for n in needs if n.stage.shows}
        self._found = {shows: self._read(path) for shows, path in self._paths.items()}

    @property
    def known(self) -> frozenset[str]:
        """Names of what others have shown."""
        return frozenset(name for kept in self._found.values() if kept is not None for name in kept.names)

    def complete(self, report: Evaluation) -> Evaluation:
        """``report`` of all but ``known``, with that; keeps what it shows of the other stages."""
        if report.stage_maps is None:
            return report
        shown_here = _Shown(report.shown, report.stages, report.stage_maps.to_pylist())
        for shows, path in self._paths.items():
            if self._found[shows] is None:
                self._store.write_table(path, _to_table(shown_here.part(shows)))
        parts = [kept for kept in self._found.values() if kept is not None]
        return _with(report, shown_here, parts, order=[name for shows in self._paths for name in shows])

    def _read(self, path: str) -> _Shown | None:
        """Read a stage's file; None where there is none that can be read: the stage is evaluated anew."""
        try:
            data = self._store.read_bytes(path)
        except FileNotFoundError:
            return None
        try:
            table = read_parquet(data)
            if table_checksum(table) != "right":
                return None
            facts = json.loads(table.schema.metadata[_FACTS])
            scores = tuple(StageScores(**scores) for scores in facts["scores"])
            return _Shown(tuple(facts["names"]), scores, table.to_pylist())
        except (OSError, KeyError, TypeError, ValueError):  # Arrow's own errors are among them
            return None


def _to_table(shown: _Shown) -> pa.Table:
    facts = {"names": shown.names, "scores": [scores.model_dump() for scores in shown.scores]}
    table = pa.Table.from_pylist(shown.rows, schema=STAGE_MAPS_SCHEMA)
    return table_with_checksum(table.replace_schema_metadata({_FACTS: json.dumps(facts)}))


def _with(
    report: Evaluation, shown_here: _Shown, others: Sequence[_Shown], order: Sequence[str]
) -> Evaluation:
    """``report`` with what others have shown: stages in the order of the chain, then floors."""
    everything = [shown_here, *others]
    present = {name for part in everything for name in part.names}
    last = [name for name in shown_here.names if name not in order]
    names = tuple(name for name in (*order, *last) if name in present)
    place = {name: index for index, name in enumerate(names)}
    scores = sorted(
        (stage_scores for part in everything for stage_scores in part.scores),
        key=lambda scores: len(names) if scores.of == "floor" else place[scores.stage],
    )
    rows = [{**row, "order": place[row["stage"]]} for part in everything for row in part.rows]
    samples = dict.fromkeys(row["sample"] for row in rows)  # in the order of the test images
    at = {sample: index for index, sample in enumerate(samples)}
    rows.sort(key=lambda row: (at[row["sample"]], row["order"]))
    return replace(
        report,
        stages=tuple(scores),
        stage_maps=pa.Table.from_pylist(rows, schema=STAGE_MAPS_SCHEMA),
        shown=names,
    )
