"""A storage as Python users open it: ``assay.open("./assay-storage").study("quickstart").cells()``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from trainables.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa

    from assay.analysis.results.followed import StudyState
    from assay.analysis.results.results import StudyResults
    from assay.report.masks.grid import MaskGrid
    from assay.storage import Record, Store
    from assay.storage.search_points import EvaluatedPoint
    from assay.study import SearchPlan

__all__ = ["OpenedStorage", "OpenedStudy", "parameter_importance"]


@dataclass(frozen=True)
class OpenedStorage:
    """The studies below one root."""

    store: Store

    @classmethod
    def at(cls, uri: str | Path) -> Self:
        """Open a folder, or a URI that pyarrow knows."""
        from assay.storage import Store

        return cls(Store.open(uri))

    def studies(self) -> list[str]:
        """Names of the studies that were run into it.

        Raises:
            InputError: If its folder is not there.

        Example:
            >>> assay.open("assay-storage").studies()
            ['tiny']
        """
        folder = self.store.local_path
        if folder is not None and not os.path.isdir(folder):
            raise InputError(f"no study was run into {folder} yet, which is no folder. Check its path.")
        return self.store.studies()

    def study(self, name: str) -> OpenedStudy:
        """A study, read when it is asked for something, and as it is then.

        Raises:
            InputError: If it has no name of a study, was never started, or its plan cannot be read.

        Example:
            >>> study = assay.open("assay-storage").study("tiny")
            >>> study.name
            'tiny'
        """
        from assay.study.names import NAME_PATTERN

        if not re.fullmatch(NAME_PATTERN, str(name)):
            raise InputError(
                "a study's name has 1 to 64 lower-case letters, digits, - and _, found "
                f"{name!r}. `studies()` lists those of the storage."
            )
        opened = OpenedStudy(self.store, name)
        if not self.store.exists(f"{self.store.study(name)}/plan.parquet"):
            _ = opened.results  # refuses it with what is there instead
        return opened


class OpenedStudy:
    """A study of a storage, live: each call reads what is new since the one before.

    Tables are pandas frames. What is computed (verdicts, intervals) is computed when it is first asked for,
    and again only when there are new records. Of a trial any start of its id will do that no other shares.
    In the examples ``study`` is ``assay.open("assay-storage").study("tiny")``.
    """

    def __init__(self, store: Store, name: str) -> None:
        from assay.analysis.results.followed import FollowedStudy

        self.name = name
        self._store = store
        self._followed = FollowedStudy(store, name, importance_of=parameter_importance)
        self._last: StudyState | None = None

    @property
    def results(self) -> StudyResults:
        """The study as it is now: one state, which never changes. Reports and dashboard read the same.

        Raises:
            InputError: If the study was never started, or its plan cannot be read.
            StorageError: If the storage is away.

        Example:
            >>> len(study.results.records)
            4
        """
        return self._state().results

    def cells(self) -> pd.DataFrame:
        """One row per cell and metric with mean, sd, n, 95 % interval and claim: the report's CSV.

        Example:
            >>> sorted(study.cells()["metric"].unique())
            ['fn', 'fp', 'image_ap']
        """
        from assay.report.rows import cell_table

        return cell_table(self.results)

    def trials(self) -> pd.DataFrame:
        """One row per trial, finished or not: :func:`~assay.analysis.trials.trial_table`.

        Example:
            >>> study.trials().groupby("cell")["image_ap"].size().to_dict()
            {'all off': 2, 'stop': 2}
        """
        from assay.analysis.trials import trial_table

        state = self._state()
        return trial_table(state.results, state.snapshot.running)

    def comparisons(self) -> pd.DataFrame:
        """One row per claim and effect, interaction and comparison, as in the report's `_comparisons.csv`.

        A notebook shows the plot of the comparisons above it.

        Example:
            >>> study.comparisons().loc[0, ["comparison", "metric", "verdict"]].to_list()
            ['stop: off → on', 'image_ap', 'too few']
        """
        from assay.report.figures.effects import comparisons_plot
        from assay.report.pages import plotted
        from assay.report.rows import report_table

        results = self.results
        return plotted(report_table(results), comparisons_plot(results))

    def effects(self) -> pd.DataFrame:
        """The main effects and interactions among :meth:`comparisons`, with their plot in a notebook.

        Example:
            >>> len(study.effects())  # a single factor has its comparison alone
            0
        """
        from assay.analysis.study_analysis import study_analysis
        from assay.report.figures.effects import effects_plot
        from assay.report.pages import plotted
        from assay.report.rows import report_table

        results = self.results
        analysis = study_analysis(results)
        effects = len(analysis.main_effects) + len(analysis.interactions)  # come first
        table = report_table(results)
        return plotted(table.head(effects), effects_plot(results))

    def curve(self, trial: str) -> pd.DataFrame:
        """One row per epoch of a trial that has ended, with what its method logged.

        Raises:
            InputError: If there is no such trial, or it has no such file: not ended, failed, not kept.
            DamagedFileError: If the file is not the one that the trial wrote.

        Example:
            >>> len(study.curve(study.trials().index[0]))
            1
        """
        return self._part(trial, "curve").to_pandas()

    def predictions(self, trial: str) -> pd.DataFrame:
        """One row per test image of a trial: label, score, decision, item; raises as :meth:`curve`.

        Example:
            >>> images = study.predictions(study.trials().index[0])
            >>> bool(images["score"].between(0, 1).all())
            True
        """
        return self._part(trial, "predictions").to_pandas()

    def maps(self, trial: str) -> pa.Table:
        """The probe images of a trial with their heatmaps.

        ``trainables.evaluation.heatmaps.read_probe`` reads a row. Raises as :meth:`curve`;
        ``keep.probes`` of the study says how many are kept.

        Example:
            >>> study.maps(study.trials().index[0]).num_rows
            3
        """
        return self._part(trial, "maps")

    def masks(self, cells: Sequence[str] | None = None, seed: int | None = None, images: int = 6) -> MaskGrid:
        """The probe images in some cells, as a grid with a slider for the threshold that a notebook shows.

        Args:
            cells: Names of cells, up to 6; None: base, best and those farthest from the base. Differences
                are to the first one.
            seed: Which repeat is shown; None: one that most cells have.
            images: Rows of the grid.

        Raises:
            InputError: If no such trial has kept probe images, or cells and images are no names and rows.

        Example:
            >>> study.masks(["stop", "all off"], seed=0, images=2).page()[:15]
            '<!doctype html>'
        """
        if cells is not None:
            cells = _names(cells)
        if not _is_a(images, int) or images < 1:
            raise InputError(f"`images` is a number of rows, 1 or more, found {images!r}. Name another.")
        from assay.report.masks.grid import study_grid

        return study_grid(self.results, self._store, cells, seed, images)

    def _state(self) -> StudyState:
        self._last = self._followed.state()
        return self._last

    def _part(self, trial: str, part: str) -> pa.Table:
        record = self._record(trial)
        table = self._store.read_part(record, f"{part}.parquet")
        if table is None:
            why = f"its record says {record.status}" if record.status != "finished" else "it was not kept"
            raise InputError(f"trial {record.id} of {self.name} has no {part}: {why}. Choose another trial.")
        return table

    def _record(self, text: str) -> Record:
        """The record of a trial; what was read before is enough where it has it."""
        if not _is_a(text, str):
            raise InputError(
                f"a trial of {self.name} is named by its id, which is a text, found {text!r}. `trials()` "
                "lists them."
            )
        last = self._last
        if last is None or text not in last.results.records:
            last = self._state()
        records, trials = last.results.records, [trial.id for trial in last.results.plan.trials]
        chosen = [text] if text in records else [known for known in trials if text and known.startswith(text)]
        if len(chosen) != 1:
            number = "none" if not chosen else f"{len(chosen)} of them"
            raise InputError(
                f"a trial of {self.name} is named by its id or a start of it that no other has, found "
                f"{text!r}, with which {number} of {len(trials)} begin. `trials()` lists them."
            )
        if chosen[0] not in records:
            raise InputError(
                f"trial {chosen[0]} of {self.name} has left nothing to read yet: it has no record. Ask again "
                "when it has ended; `trials()` says how far it is."
            )
        return records[chosen[0]]

    def __repr__(self) -> str:
        from assay.report.pages import count_line

        return f"<study {self.name}: {count_line(self.results)}>"

    def _repr_html_(self) -> str:
        from assay.report.pages import study_html

        return study_html(self.results)


def _is_a(value: object, kind: type) -> bool:
    """Ask for the type of what a notebook gave, whatever it should be."""
    return isinstance(value, kind)


def _names(cells: object) -> list[str]:
    if isinstance(cells, Iterable) and not isinstance(cells, str):
        names = list(cells)
        if all(isinstance(name, str) for name in names):
            return names
    raise InputError(f"`cells` are a list of names, found {cells!r}. `cells()` has them.")


def parameter_importance(plan: SearchPlan, points: Sequence[EvaluatedPoint]) -> Mapping[str, float]:
    """Share of the objective's variance by parameter, from the points of one searched cell."""
    from assay.engine.search.proposals import importance  # Optuna: seconds, for those who ask

    return importance(plan, points)
