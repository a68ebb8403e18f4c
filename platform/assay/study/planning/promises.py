"""What the parts that choose the thresholds of a plan can promise of new ones, for `assay plan`.

Counted anew whenever it is asked: the splits are drawn as the planner drew them, and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from assay.study.planning.identity import canonical_json
from assay.study.planning.plan import Plan
from assay.study.planning.repeats import choosing_parts, reads_validation
from assay.study.search.search_plan import SearchPlan
from trainables.data.inspect.findings import summarise
from trainables.data.threshold import Escapes, FalseAlarms
from trainables.plugins.catalogue import find_trainable

if TYPE_CHECKING:
    from assay.study.planning.cells import Cell
    from assay.study.settings.settings import AnyTrainable
    from trainables.data.manifest import Manifest
    from trainables.data.spec import DataSpec

__all__ = ["ThresholdParts", "promise_texts", "threshold_parts"]


class ThresholdParts(NamedTuple):
    """Parts that choose the threshold of a cell, in the repeat that has the fewest of each kind."""

    part: str  # `validation`, `calibration`
    good: int
    defective: int
    read_by: str | None  # what else chooses by them, so that they promise nothing
    sure: float

    def __str__(self) -> str:
        from trainables.evaluation.operating_point import promise_text

        if self.read_by is None:
            return promise_text(self.good, self.defective, self.part, self.sure)
        return (
            f"{self.good} good and {self.defective} defective {self.part} parts promise nothing of new ones: "
            f"{self.read_by} chooses by them (a promise takes data.calibration: {{share: 0.3, by: item}})"
        )


def promise_texts(plan: Plan, open_manifest: Callable[[DataSpec], Manifest]) -> list[str]:
    """Sentences on what the parts that choose thresholds can promise, each with the cells that it is of."""
    cells: dict[str, list[str]] = {}
    for name, parts in threshold_parts(plan, open_manifest).items():
        cells.setdefault(str(parts), []).append(name)
    several = len(cells) > 1
    return [f"{text}{f' ({summarise(names)})' if several else ''}" for text, names in cells.items()]


def threshold_parts(
    plan: Plan,
    open_manifest: Callable[[DataSpec], Manifest],
    find: Callable[[str], AnyTrainable] = find_trainable,
) -> dict[str, ThresholdParts]:
    """The parts that choose the threshold of each cell of the study file, by its name.

    Args:
        plan: Of any study.
        open_manifest: Opens the data that a spec names.
        find: Trainable by name.

    Returns:
        Without the cells whose threshold no part chooses.
    """
    from trainables.data.splits import make_split

    # Cells that share their data share their parts: each split is drawn once, not once for each cell.
    drawn: dict[str, tuple[str, int, int] | None] = {}

    def counts(cell: Cell, seed: int, fold: int | None) -> tuple[str, int, int] | None:
        key = canonical_json([cell.data.identity, str(cell.supervision), seed, fold])
        if key not in drawn:
            manifest = open_manifest(cell.data)
            split = make_split(manifest, cell.data, cell.supervision, seed, fold)
            drawn[key] = choosing_parts(manifest, split) if split.calibration or split.validation else None
        return drawn[key]

    parts: dict[str, ThresholdParts] = {}
    for name, cell, repeats in _designed(plan):
        known = [count for seed, fold in repeats if (count := counts(cell, seed, fold)) is not None]
        if not known:
            continue
        rule, part = cell.data.threshold, known[0][0]
        trainable = find(cell.trainable)
        reader = reads_validation(plan.study, trainable, trainable.Config.model_validate(cell.config))
        parts[name] = ThresholdParts(
            part,
            good=min(good for _, good, _ in known),
            defective=min(defective for _, _, defective in known),
            read_by=None if part == "calibration" else reader,
            sure=rule.sure if isinstance(rule, (FalseAlarms, Escapes)) else 0.95,
        )
    return parts


def _designed(plan: Plan) -> Iterator[tuple[str, Cell, list[tuple[int, int | None]]]]:
    """Name, cell, and seed and fold of each repeat, of the cells that the study file names."""
    cells: dict[str, tuple[Cell, list[tuple[int, int | None]]]] = {}
    if isinstance(plan, SearchPlan):
        # A cell may have a search for each fold or split: they are one cell of the study file.
        for searched in plan.searched:
            _, repeats = cells.setdefault(searched.design_cell, (searched.cell, []))
            repeats += [(repeat.seed, repeat.fold) for repeat in (*searched.repeats, *searched.fresh)]
    else:
        cells = {cell.name: (cell, []) for cell in plan.cells}
        for trial in plan.trials:
            cells[trial.cell][1].append((trial.seed, trial.fold))
    for name, (cell, repeats) in cells.items():
        yield name, cell, repeats
