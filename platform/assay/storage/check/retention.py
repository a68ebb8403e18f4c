"""Files that may go: models that a study does not keep, and leftovers of attempts that came to nothing.

Records and the files that they name stay. The one exception are models under ``keep: {models: …}``: the
record then says that they were removed, so that it still tells the truth about its files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

from assay.storage.files.files import LinkError
from assay.storage.files.local_disk import UNFINISHED
from assay.storage.lease import running_studies
from assay.storage.record import Record
from assay.storage.stage_store import read_stage, stage_folder, stage_keys
from assay.storage.store import ATTEMPT, Store
from assay.study import Plan, PointCell
from trainables.evaluation.metrics import METRICS

__all__ = ["KeepRule", "Leftover", "clean_plan", "free", "unkept_models"]

Reason = Literal[
    "attempt that a later one replaced",
    "attempt without a record",
    "attempt at a stage that came to nothing",
    "checkpoint of a trial that ended",
    "file whose writer was killed",
    "heartbeat of a trial that ended",
    "request to stop a trial that ended",
    "scratch of the engine",
    "model that `keep` leaves out",
]


_Needless = tuple[str, Reason]  # with its path below the storage's root


class Leftover(NamedTuple):
    """A file or folder that can be freed."""

    path: str  # below the storage's root
    bytes: int
    reason: Reason


@dataclass(frozen=True)
class KeepRule:
    """The models that a study keeps.

    ``best_per_cell`` keeps the model that is best on *validation* images by the primary metric: choosing by
    test scores would choose with the test data. Ties, and cells without validation scores, keep the first
    repeat. Nothing of a cell is dropped before all its repeats have a record. Of a search with `replicate`,
    the points that were only tried keep none.
    """

    models: Literal["all", "best_per_cell", "none"]
    metric: str  # that is best where one model of a cell is kept
    trials: Mapping[str, Sequence[str]]  # cell → ids, in the order of its repeats
    tried: Collection[str]  # cells of points that are trained again where they win

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Read the rule of a plan; of a search, with the points drawn so far."""
        again = plan.study.replicate is not None
        points = (cell for cell in plan.cells if isinstance(cell, PointCell))
        trials: dict[str, list[str]] = {cell.name: [] for cell in plan.cells}
        for trial in plan.trials:
            trials[trial.cell].append(trial.id)
        return cls(
            models=plan.study.keep.models,
            metric=plan.study.metrics.primary,
            trials=trials,
            tried={cell.name for cell in points if again and not cell.replicated},
        )

    def dropped(self, records: Mapping[str, Record]) -> list[str]:
        """Ids of the trials whose model the study does not keep, of those that have one."""
        if self.models == "all":
            return []
        drop: list[str] = []

        # The best of a cell is known when all its trials have a record. Until then none of its models goes.
        for name, ids in self.trials.items():
            if not all(trial_id in records for trial_id in ids):
                continue
            have = [trial_id for trial_id in ids if _model_files(records[trial_id])]
            kept = set[str]()
            if self.models == "best_per_cell" and have and name not in self.tried:
                kept.add(_best(have, records, self.metric))
            drop += [trial_id for trial_id in have if trial_id not in kept]
        return drop


def clean_plan(store: Store, plans: Iterable[Plan] = ()) -> list[Leftover]:
    """List all that could be freed in ``store``.

    Args:
        store: The results.
        plans: Every study's plan; a model goes only if no study that has the trial keeps it.

    While a study runs, only what belongs to trials with a record is listed: attempts without one and the
    engine's scratch may be in use.
    """
    running = bool(running_studies(store))
    ids = store.trials()
    records, problems = store.records_of(ids)
    damaged = {problem.trial for problem in problems}
    needless: list[_Needless] = []

    # A trial with a record needs only the attempt that its record names. One without may be training, or go
    # on from its checkpoint; a damaged record is for `assay check` to judge.
    for trial_id in ids:
        record = records.get(trial_id)
        if record is not None:
            needless += _beside_the_record(store, record)
        elif not running and trial_id not in damaged:
            needless += _without_a_record(store, trial_id)

    # Who writes into scratch and stages is not noted, so nothing of them goes while anything runs.
    if not running:
        needless += _unfinished(store)
        needless += _scratch(store)
        needless += _dead_stages(store)
    needless += _unkept_models(store, [KeepRule.of(plan) for plan in plans], records)
    return _leftovers(store, needless)


def unkept_models(
    store: Store, rule: KeepRule, records: Mapping[str, Record], others: Callable[[], Iterable[Plan]]
) -> list[Leftover]:
    """Models of a study's own trials that no study keeps.

    Args:
        store: The results.
        rule: The study's; its trials are looked at, and no others.
        records: Those of its trials.
        others: Gives the plans of the other studies, which may keep a model of a trial that they share; asked
            only when there is a model to drop.
    """
    dropped = set(rule.dropped(records))
    if not dropped:
        return []
    sharing = [other for other in others() if any(trial.id in dropped for trial in other.trials)]
    theirs = store.records({t.id for other in sharing for t in other.trials} - records.keys())
    rules = [rule, *(KeepRule.of(other) for other in sharing)]
    return _leftovers(store, _unkept_models(store, rules, {**theirs, **records}, of=dropped))


def free(store: Store, leftovers: Iterable[Leftover]) -> int:
    """Delete what :func:`clean_plan` listed; returns the bytes that were freed.

    A record learns that its model goes before the model goes: after a kill in between, the next run frees
    the rest.
    """
    freed = 0
    for leftover in leftovers:
        if leftover.reason == "model that `keep` leaves out":
            _note_removal(store, leftover.path)
        store.delete_tree(leftover.path)
        freed += leftover.bytes
    return freed


def _best(trial_ids: list[str], records: Mapping[str, Record], primary: str) -> str:
    def value(trial_id: str) -> float:
        result = records[trial_id].result
        score = result.validation.get(primary) if result is not None else None
        return float("-inf") if score is None else METRICS[primary].sign * score

    return max(trial_ids, key=value)  # of equal ones the first


def _model_files(record: Record) -> list[str]:
    return [path for path in record.files if "/model/" in path]


def _beside_the_record(store: Store, record: Record) -> Iterator[_Needless]:
    folder = store.trial(record.id)
    names = store.list(folder)
    attempts = _attempts(store, folder, names)
    # A record that was made for a trial whose workers died, or that was pruned, names no attempt: then the
    # newest stays, whose log tells how it ended.
    kept = {f"{record.attempt}/"} if record.attempt else set(attempts[-1:])
    for name in names:
        path = f"{folder}/{name.removesuffix('/')}"
        if name.startswith("checkpoint.") and not name.endswith("/"):  # the worker, too, removes it
            yield path, "checkpoint of a trial that ended"
        elif name == "progress.json":
            yield path, "heartbeat of a trial that ended"
        elif name == "stop.json":
            yield path, "request to stop a trial that ended"
        elif name in attempts and name not in kept:
            named = any(file.startswith(name) for file in record.files)
            if not named:
                yield path, "attempt that a later one replaced"
    removed = (f"{folder}/{path}" for path in record.removed)
    for path in removed:  # a kill came between the note and the deletion
        if not store.linked(path) and store.exists(path):
            yield path, "attempt that a later one replaced"


def _without_a_record(store: Store, trial_id: str) -> Iterator[_Needless]:
    """List all attempts but the newest, whose log tells why it ended; the checkpoint stays for the next."""
    folder = store.trial(trial_id)
    for name in _attempts(store, folder, store.list(folder))[:-1]:
        yield f"{folder}/{name.removesuffix('/')}", "attempt without a record"


def _attempts(store: Store, folder: str, names: Iterable[str]) -> list[str]:
    """Folders of attempts among the names in a folder: what else lies there is not the program's to free."""
    attempts = filter(ATTEMPT.fullmatch, names)
    return [name for name in attempts if not store.linked(f"{folder}/{name}")]


def _dead_stages(store: Store) -> Iterator[_Needless]:
    """Attempts at stages that came to nothing; a checkpoint of one that is not made stays for the next."""
    for key in stage_keys(store):
        folder = stage_folder(key)
        try:
            record = read_stage(store, key)
        except LinkError:  # what names its attempts cannot be read
            continue
        for name in _attempts(store, folder, store.list(folder)):
            if record is None or name != f"{record.attempt}/":
                yield f"{folder}/{name.removesuffix('/')}", "attempt at a stage that came to nothing"


def _unfinished(store: Store) -> Iterator[_Needless]:
    """Files beside those of trials and stages that were begun and never moved to their place."""
    if store.local_path is None:
        return  # an object is whole, or not there
    for folder in (*map(store.trial, store.trials()), *map(stage_folder, stage_keys(store))):
        for name in filter(UNFINISHED.fullmatch, store.list(folder)):
            yield f"{folder}/{name}", "file whose writer was killed"


def _scratch(store: Store) -> Iterator[_Needless]:
    folders = [".tune", *(f"{store.study(study)}/packs" for study in store.study_folders())]
    for folder in folders:
        for name in [] if store.linked(folder) else store.list(folder):
            yield f"{folder}/{name.removesuffix('/')}", "scratch of the engine"


def _unkept_models(
    store: Store, rules: list[KeepRule], records: Mapping[str, Record], of: Collection[str] | None = None
) -> Iterator[_Needless]:
    """Models that no study keeps, of the trials ``of`` (None: of all)."""
    dropped = [set(rule.dropped(records)) for rule in rules]
    planned = [{trial_id for ids in rule.trials.values() for trial_id in ids} for rule in rules]

    # A trial may belong to several studies. Its model goes only if each of them would let it go.
    for trial_id in dict.fromkeys(trial_id for ids in dropped for trial_id in ids):
        wanted = any(
            trial_id in ids and trial_id not in gone for ids, gone in zip(planned, dropped, strict=True)
        )
        if not wanted and (of is None or trial_id in of):
            model = _model_files(records[trial_id])[0].partition("/model/")[0]
            path = f"{store.trial(trial_id)}/{model}/model"
            yield path, "model that `keep` leaves out"


def _note_removal(store: Store, path: str) -> None:
    """Move a model's files from `files` to `removed` in the record of its trial."""
    trial_id = path.split("/")[1]
    record = store.record(trial_id)
    assert isinstance(record, Record), "a model is listed for readable records only"
    gone = _model_files(record)
    kept = {name: digest for name, digest in record.files.items() if name not in gone}
    store.write_record(record.model_copy(update={"files": kept, "removed": (*record.removed, *gone)}))


def _leftovers(store: Store, needless: Iterable[_Needless]) -> list[Leftover]:
    """Add the sizes; a symbolic link, and what lies behind one, is left alone."""
    return [Leftover(path, store.size(path), reason) for path, reason in needless if not store.linked(path)]
