"""The plans that lie in a storage, as the last `assay run` of each study wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from assay.storage.files.checksum import table_checksum, table_with_checksum
from assay.storage.record import Record
from assay.storage.search_points import read_points, trials_of_points, with_points
from assay.storage.store import Store, collector_paused
from assay.study import Plan, SearchPlan, Trial
from assay.study.planning.plan_table import plan_of_table, table_of_plan, trials_of_table
from trainables.errors import InputError, StorageError

__all__ = [
    "LEFT_OUT",
    "OF_OTHERS",
    "SIZES",
    "TRACES",
    "PlannedTrials",
    "RenamedFolderError",
    "is_foreign",
    "is_left_out",
    "left_out",
    "own_records",
    "stored_plan",
    "stored_plans",
    "write_plan",
    "written_plan",
]

# What a run leaves in the folder of its study once the plan lies there.
TRACES = frozenset({"registered.json", "summary.parquet", "search.jsonl", "looks.json"})


def write_plan(store: Store, plan: Plan) -> None:
    """Write the study and its plan where `status`, `report` and the dashboard look for them."""
    folder = store.study(plan.study.study)
    store.write_bytes(f"{folder}/study.yaml", plan.study.source.text.encode())
    store.write_table(f"{folder}/plan.parquet", table_with_checksum(table_of_plan(plan)))


class RenamedFolderError(InputError):
    """A sound plan in a folder that does not have its study's name, while no folder has."""


_ANEW = "`assay check --repair` sets it aside, and `assay run` writes it anew."


def stored_plan(store: Store, name: str) -> Plan:
    """The plan of a study as its last `assay run` wrote it; of a search, with the points drawn since.

    Raises:
        InputError: If it was never started, or what is there cannot be read.
    """
    return with_points(written_plan(store, name), store)


def written_plan(store: Store, name: str) -> Plan:
    """The plan of a study as its last `assay run` wrote it; of a search, without points.

    Raises:
        InputError: If it was never started, or what is there cannot be read.
    """
    table, path = _plan_table(store, name), _plan_path(name)
    try:
        with collector_paused():
            plan = plan_of_table(table)
    except InputError as error:
        raise InputError(f"{path} in {store.uri}: {error}") from None
    except (KeyError, ValueError):
        raise InputError(f"{path} in {store.uri} is no plan. {_ANEW}") from None

    # A folder that was renamed or copied would bring a study's plan in under a second name.
    if (planned := plan.study.study) != name:
        text = f"{path} in {store.uri} is the plan of study {planned}"
        if not store.exists(store.study(planned)):
            raise RenamedFolderError(f"{text}. Give the folder its name again: {store.study(planned)}.")
        raise InputError(f"{text}. If {store.study(name)} is a copy, remove it; else {_ANEW}")
    return plan


def _plan_path(name: str) -> str:
    return f"{Store.study(name)}/plan.parquet"


def _plan_table(store: Store, name: str) -> pa.Table:
    """The table of a study's plan, as it was written."""
    path = _plan_path(name)
    try:
        table = store.read_table(path)
    except FileNotFoundError:
        # A missing plan means three things: the study was never run, this is a copy that leaves plans out, or
        # the file is lost.
        if not _began(store, name):
            raise InputError(
                f"study {name} has no {path} in {store.uri}: it was never started. Run it with `assay run`."
            ) from None
        if is_left_out(store, path, left_out(store)):
            raise InputError(
                f"of study {name} there is what the ledger reads: {path} was left out of this copy of a "
                f"storage: {store.uri}. Read it in the storage in which it was run."
            ) from None
        raise InputError(
            f"{path} in {store.uri} is not there, so that nobody knows which trials study {name} plans. "
            "`assay run` of its file writes it anew, and trains nothing that has a record. If the study is "
            f"not wanted any more, remove the folder {store.study(name)}."
        ) from None
    except StorageError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} in {store.uri} cannot be read: {error}. {_ANEW}") from None
    if table_checksum(table) != "right":
        raise InputError(f"{path} in {store.uri} was changed since it was written. {_ANEW}")
    return table


class PlannedTrials:
    """Trials of the plan that a run has written, by id, for those who train them: no others are made.

    Of a search they are those of its points, which are read as they are needed.
    """

    def __init__(self, store: Store, name: str) -> None:
        """Read the plan.

        Raises:
            InputError: If it is gone, or cannot be read.
        """
        self._store, self._table = store, _plan_table(store, name)
        self.plan: Plan = plan_of_table(self._table.slice(0, 0))  # without trials
        self._drawn = 0  # points of a search that were read,
        self._of_points: dict[str, Trial] = {}  # and their trials

    def by_id(self, ids: AbstractSet[str]) -> dict[str, Trial]:
        """Find some trials by id.

        Raises:
            StorageError: If the plan has not all of them: another run has written it anew.
        """
        if isinstance(self.plan, SearchPlan):
            if not ids <= self._of_points.keys():  # a point is written before any batch names its trials
                points = read_points(self._store, self.plan)
                for trial in trials_of_points(self.plan, points[self._drawn :]):
                    self._of_points.setdefault(trial.id, trial)
                self._drawn = len(points)
            found = {id_: self._of_points[id_] for id_ in ids & self._of_points.keys()}
        else:
            # Only the rows of these trials become objects: a plan may have many thousands.
            rows = self._table.filter(pc.field("id").isin(pa.array(list(ids), pa.string())))
            found = {trial.id: trial for trial in trials_of_table(rows, self.plan.cells)}
        if lacking := sorted(ids - found.keys()):
            raise StorageError(
                f"trial {lacking[0]} is not in the plan of study {self.plan.study.study} in "
                f"{self._store.uri}: another run has planned the study anew. What is finished is kept: "
                "`assay run` goes on from there."
            )
        return found


def stored_plans(store: Store, but: str | None = None) -> list[Plan]:
    """The plans of all studies that were started in ``store``, but one.

    Raises:
        InputError: If one cannot be read or is gone, or the folder of a study is a symbolic link.
    """
    for name in store.list("studies"):  # what they plan is not known, and must not count as unplanned
        if store.linked(path := store.study(name.removesuffix("/"))):
            raise InputError(
                f"the folder of a study is no symbolic link, found {path} in {store.uri}. "
                "Put what it leads to in its place, or remove it."
            )
    files = left_out(store)  # of a copy, whose studies of the ledger have no trials and no plan
    planned = {*store.studies()}
    names = [name for name in store.study_folders() if name != but]
    return [
        stored_plan(store, name)
        for name in names
        if name in planned
        or (not is_left_out(store, f"{store.study(name)}/plan.parquet", files) and _began(store, name))
    ]


def _began(store: Store, name: str) -> bool:
    """True of a study that was run, also where its plan is gone."""
    return not TRACES.isdisjoint(store.list(store.study(name)))


# A copy of a storage from which files were left out -----------------------------------------------
#
# A file beside it lists them, so that a command can say what is missing by design and what is lost.


LEFT_OUT = "left_out.json"  # beside the storage: path below it → bytes, of files of trials that are not there
SIZES = TypeAdapter(dict[str, int])  # of that file
OF_OTHERS = ("registered.json", "summary.parquet")  # what is there of other studies in the ledger


def left_out(store: Store) -> Mapping[str, int] | None:
    """Files of trials that a copy lacks, by path; None for a storage that is whole."""
    if store.local_path is None:
        return None
    try:
        return SIZES.validate_json((store.local_path.parent / LEFT_OUT).read_bytes())
    except (OSError, ValueError):
        return None


def is_left_out(store: Store, path: str, files: Mapping[str, int] | None) -> bool:
    """Tell a file that the copy lacks by design from one that is gone; ``files``: of :func:`left_out`."""
    if files is None:
        return False
    folder, _, name = path.rpartition("/")
    return path in files or (name == "plan.parquet" and {*OF_OTHERS}.issuperset(store.list(folder)))


# Records that are results of a study --------------------------------------------------------------
#
# They are some of those of its trials: searches prune trials that other studies share.


def is_foreign(record: Record, plan: Plan) -> bool:
    """True of a trial that a pruner stopped, for a study that has none: it has no result of it yet."""
    return record.status == "pruned" and plan.pruned_by is None


def own_records(plan: Plan, store: Store) -> dict[str, Record]:
    """Records of a plan's trials that are results of its study, by id."""
    records = store.records(trial.id for trial in plan.trials)
    return {id_: record for id_, record in records.items() if not is_foreign(record, plan)}
