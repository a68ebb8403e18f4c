"""The cells in which a search draws, the points that it draws there, and the rows that these become.

A :class:`Point` is what is drawn and written down, a :class:`PointCell` its row in the plan, with trials.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import BaseModel, Field

from assay.study.file.schema import Study
from assay.study.planning.cell_names import cell_key
from assay.study.planning.cells import Cell, Trial
from assay.study.planning.identity import canonical_json, differences, flatten, short_hash
from assay.study.planning.repeats import Repeat, trials_on
from assay.study.search.space import grid_size, set_back
from assay.study.search.spec import Parameter, Scalar, Search
from assay.study.settings.settings import AnyTrainable, Device, resolve_settings
from trainables.contract import TrainableConfig
from trainables.plugins.catalogue import TRAINABLES
from trainables.plugins.method_files import is_file_method

__all__ = [
    "Point",
    "PointCell",
    "PointRow",
    "SearchedCell",
    "budget",
    "changed_parameters",
    "drawn_text",
    "left_out",
    "make_point",
    "planned_trials",
    "point_row",
    "search_hash",
    "trials_of",
]


class Point(BaseModel, frozen=True, extra="forbid"):
    """One proposal of a search: a line of ``search.jsonl``, written before it is trained."""

    cell: str  # that is searched
    index: int  # 0, 1, … in its cell
    source: str  # sampler, `preset` or `given`
    values: dict[str, Scalar]  # what was drawn: config.lr → 0.1; where a condition fails, nothing
    config: dict[str, Any] | None  # every field of the trainable's Config, resolved; None: refused by it
    reason: str | None = None  # why it was refused
    footnotes: tuple[str, ...] = ()
    search: str  # SearchedCell.search when it was drawn

    @property
    def name(self) -> str:
        """``base #3``."""
        return f"{self.cell} #{self.index}"


class PointCell(Cell, frozen=True, extra="forbid"):
    """A point of a search as a row: the cell in which it was drawn, with its values."""

    searched: str  # name of that cell
    drawn: dict[str, Scalar]  # empty in the row that stands for the winners of several searches
    replicated: bool  # trained again, on fresh seeds

    @property
    def key(self) -> str:
        """Key of the levels and the number of the point: ``on·off #3 replicated``."""
        return super().key + self.name.removeprefix(self.searched)

    @property
    def planned_as(self) -> str:
        """Name of the cell in which the point was drawn."""
        return self.searched

    @property
    def match(self) -> tuple[object, ...]:
        """Levels and drawn values; of several searches' winners the key."""
        return (cell_key(self.levels), *sorted(self.drawn.items())) if self.drawn else super().match

    @property
    def labels(self) -> dict[str, str]:
        """Labels that set the point apart, ``drawn.config.lr`` among them."""
        return super().labels | {f"drawn.{path}": str(value) for path, value in self.drawn.items()}


class PointRow(NamedTuple):
    """A point in a plan: its cell and its trials."""

    cell: PointCell
    trials: tuple[Trial, ...]  # in the order of the repeats


class SearchedCell(BaseModel, frozen=True, extra="forbid"):
    """A cell of the design in which points are drawn, or one of its searches where it has several."""

    cell: Cell = Field(description="Of one of several searches it is called `base, fold 0`.")
    manifest: str
    repeats: tuple[Repeat, ...] = Field(description="Seeds × folds on which a point is evaluated.")
    fresh: tuple[Repeat, ...] = Field(description="Those of `replicate`.")
    search: str = Field(description="Hash of all that decides which points are drawn, but their values.")
    part: str = Field("", description="Which of several searches: `fold 0`, `split 3`.")

    @property
    def design_cell(self) -> str:
        """Name of the cell of the design."""
        return self.cell.name.removesuffix(f", {self.part}") if self.part else self.cell.name

    @property
    def key(self) -> str:
        """Name of the search on which the seed of its draws hangs."""
        return f"{self.cell.key}, {self.part}" if self.part else self.cell.key


def search_hash(study: Study, search: Search, cell: Cell, part: str) -> str:
    """Hash that changes when other points would be drawn. More ``points`` are the same search, continued.

    Args:
        study: The question.
        search: Its rules.
        cell: That is searched.
        part: Which of several searches of the cell; empty: there is one.
    """
    rules = search.model_dump(mode="json", include={"sampler", "seed", "batch", "goals"})
    if part:
        rules |= {"part": part}

    # All that decides what is drawn next, and nothing that only decides how far the search goes.
    parts = {
        **rules,
        "space": {path: parameter.model_dump(mode="json") for path, parameter in study.space.items()},
        "start": list(study.start),
        "cell": {
            **cell.model_dump(mode="json", include={"supervision", "data"}),
            "config": _hashed_config(cell.trainable, cell.config),
        },
    }
    if is_file_method(cell.trainable):  # an edit of the file is another search
        parts["trainable"] = cell.trainable
    return short_hash(canonical_json(parts))


def budget(search: Search, space: Mapping[str, Parameter]) -> int:
    """Points in each searched cell: as many as asked, or all of the grid."""
    return grid_size(space, search.points) if search.sampler == "grid" else search.points


def drawn_text(drawn: int, asked: int, points: str = "") -> str:
    """``12 of 60 points drawn``; a search that has more, since its file asked for more before, says so."""
    if drawn <= asked:
        return f"{drawn} of {asked} {points}drawn"
    return f"{drawn} {points}drawn, more than the {asked} asked for: all count"


def planned_trials(
    study: Study, search: Search, cells: Sequence[SearchedCell], drawn: Sequence[Point] = ()
) -> int:
    """Trials of the whole search, if no two points are alike; what is drawn beyond the budget counts."""
    asked, of_cells = budget(search, study.space), Counter(point.cell for point in drawn)
    trials = 0
    for searched in cells:
        points, best = max(asked, of_cells[searched.cell.name]), 0
        if study.replicate is not None:
            best = min(points, study.replicate.best)

            # Start points are trained again, too, so that the table tells what the search has gained.
            if study.replicate.start:
                best = min(points, best + len(study.start))
        trials += points * len(searched.repeats) + best * len(searched.fresh)
    return trials


def make_point(
    study: Study,
    trainable: AnyTrainable,
    searched: SearchedCell,
    device: Device,
    *,
    index: int,
    source: str,
    values: Mapping[str, Scalar],
) -> Point:
    """Put drawn values on top of a cell's settings, and let the Config of its trainable check them."""
    settings, problems = resolve_settings(study, trainable, searched.cell.levels, device, drawn=values)
    return Point(
        cell=searched.cell.name,
        index=index,
        source=source,
        values=dict(values),
        config=None if settings is None else settings.config.model_dump(mode="json"),
        reason="; ".join(problem.message for problem in problems) or None,
        footnotes=() if settings is None else tuple(trainable.footnotes(settings.config)),
        search=searched.search,
    )


def changed_parameters(searched: SearchedCell, point: Point) -> list[str]:
    """List the parameters that were drawn for a point and differ from the setting of its cell."""
    before, after = flatten({"config": searched.cell.config}), flatten({"config": point.config})
    return [path for path in point.values if before.get(path) != after.get(path)]


def left_out(
    study: Study, trainable: AnyTrainable, searched: SearchedCell, device: Device, *, point: Point, path: str
) -> Point:
    """The point with one of its parameters back at the setting of its cell, and what hangs on it with it.

    Args:
        study: Of the search.
        trainable: Of the cell.
        searched: The cell in which the point was drawn.
        device: What ``auto`` settings are decided for.
        point: That is taken apart.
        path: The parameter. Those that are drawn only because of it (``when``) go back too.
    """
    default = flatten({"config": searched.cell.config}).get(path)
    values = set_back(study.space, point.values, path, default)
    return make_point(
        study, trainable, searched, device, index=point.index, source=point.source, values=values
    )


def point_row(searched: SearchedCell, point: Point, *, fresh: bool = False) -> PointRow | None:
    """The row of a point, ``fresh``: on the repeats of ``replicate``; None where its method refused it."""
    if point.config is None:
        return None
    cell = _point_cell(searched.cell, point, fresh=fresh)
    repeats = searched.fresh if fresh else searched.repeats
    return PointRow(cell, tuple(trials_of(searched, cell, repeats)))


def _point_cell(cell: Cell, point: Point, *, fresh: bool) -> PointCell:
    """The cell in which a point was drawn, with its values."""
    base, config = cell.config, point.config or {}
    other = [name for name in {**base, **config} if base.get(name) != config.get(name)]  # of forty a few
    before = flatten({"config": {name: base.get(name) for name in other}})
    after = flatten({"config": {name: config.get(name) for name in other}})

    # The difference is told from the study's base: a setting that the searched cell had changed already keeps
    # the base's value as its first.
    changed = {
        path: (cell.diff.get(path, pair)[0], pair[1]) for path, pair in differences(before, after).items()
    }
    values: dict[str, Any] = {
        **dict(cell),
        "name": f"{point.name} replicated" if fresh else point.name,
        "config": point.config,
        "diff": {**cell.diff, **changed},
        "footnotes": point.footnotes,
        "searched": cell.name,
        "drawn": point.values,
        "replicated": fresh,
    }
    return PointCell.model_construct(**values)  # every part was checked with the cell and the point


def _hashed_config(method: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings that decide ids.

    A plan is read where its method is not installed, too, but not with points (`storage/search_points.py`).
    The id of a method in a file says all of it.
    """
    if is_file_method(method):
        return config
    try:
        Config = _config_of(method, tuple(sys.path))
    except KeyError:
        return config
    return Config.identity_of(config)


@lru_cache(maxsize=64)
def _config_of(method: str, path: tuple[str, ...]) -> type[TrainableConfig]:
    """The Config of an installed method; for each of ten thousand points the registry would be asked anew."""
    return TRAINABLES[method].Config


def trials_of(searched: SearchedCell, cell: Cell, repeats: Sequence[Repeat]) -> Iterator[Trial]:
    """The trials of a row, ``searched`` with drawn values, on repeats."""
    config = _hashed_config(cell.trainable, cell.config)
    return trials_on(cell, config, searched.manifest, repeats)
