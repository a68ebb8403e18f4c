"""Trials: records, the files that they name, heartbeats and checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pydantic import ValidationError

from assay.storage.integrity.damage import (
    Damage,
    check_checkpoint,
    check_named_files,
    check_note,
    set_aside_since,
)
from assay.storage.progress import Progress
from assay.storage.record import DamagedRecord, Record, differences
from assay.storage.store import AttemptStart, Store
from assay.study import Plan, Trial
from assay.study.identity import CellIdentity
from assay.study.repeats import UNKNOWN
from trainables.catalogue import TRAINABLES
from trainables.method_files import is_file_method

__all__ = ["Planned", "check_trial"]

_TRAINED_AGAIN = "`assay run` trains it again"
# The trial counts as done as long as its record can be read, and what is no folder is in the way.
_ASIDE_FIRST = "`assay check --repair` sets it aside, then `assay run` trains it again"
_COSTS = {
    "predictions.parquet": "intervals over test items and `assay export`'s check leave the trial out",
    "regions.parquet": "no list has the trial's defects one by one",
    "maps.parquet": "no picture shows the trial",
    "lineage.parquet": "no picture shows the trial's stages",
    "curve.parquet": "the trial has no learning curve",
    "model": "the trial neither predicts nor is exported",
}


class Planned:
    """All plans of a storage: which trial is a repeat of which cells."""

    def __init__(self, plans: Iterable[Plan]) -> None:
        self._trials: dict[str, list[tuple[str, Trial]]] = {}  # with the studies' names
        self._repeats: dict[tuple[str, str], int] = {}
        for plan in plans:
            study = plan.study.study
            for trial in plan.trials:
                self._trials.setdefault(trial.id, []).append((study, trial))
                place = (study, trial.cell)
                self._repeats[place] = self._repeats.get(place, 0) + 1

    @property
    def ids(self) -> Mapping[str, object]:
        """Ids of all planned trials."""
        return self._trials

    def trials(self, trial_id: str) -> list[Trial]:
        """The trial as each plan has it."""
        return [trial for _, trial in self._trials.get(trial_id, ())]

    def cost(self, trial_id: str) -> str:
        """Say which repeats a lost record costs: ``1 of 3 repeats of `stop + distance` in quickstart …``."""
        repeats = [
            f"1 of {self._repeats[study, trial.cell]} repeats of `{trial.cell}` in {study}"
            for study, trial in self._trials.get(trial_id, ())
        ]
        return f"{' and '.join(repeats)} is left out" if repeats else "no study plans the trial"


def check_trial(
    store: Store,
    trial_id: str,
    record: Record | DamagedRecord | None,
    planned: Planned,
    *,
    witness: str | None,
    running: bool,
) -> Iterator[Damage]:
    """All damages of one trial.

    Args:
        store: The results.
        trial_id: Name of its folder.
        record: What lies there.
        planned: What the studies plan.
        witness: Path of a summary that lists it with a score, so that it had a record; None: of none.
        running: A study is being trained, and files of trials without a record may change at any moment.
    """
    folder = store.trial(trial_id)
    lost = planned.cost(trial_id)
    if isinstance(record, DamagedRecord):
        yield Damage(record.path, f"is damaged: {record.text}", lost, _ASIDE_FIRST, (folder,), trial_id)
    elif isinstance(record, Record):
        yield from _check_identity(record, planned, lost)
        yield from _check_files(store, record)
    elif witness is not None and not running:
        waits = set_aside_since(store, folder, witness)
        text = "was set aside" if waits else "is gone, and a summary of its study lists its score"
        aside = (folder,) if store.exists(folder) and not waits else ()
        yield Damage(f"{folder}/record.json", text, lost, _TRAINED_AGAIN, aside, trial_id, waits)
    if record is None and not running:
        yield from _check_unfinished(store, trial_id)
    yield from _check_notes(store, trial_id)


def _check_identity(record: Record, planned: Planned, lost: str) -> Iterator[Damage]:
    """The record's trial against the plans' and against its own id."""
    path = f"{Store.trial(record.id)}/record.json"
    texts = [text for trial in planned.trials(record.id) if (text := differences(record, trial))]
    other = None if texts else _identity(record)
    if other not in (None, record.id):
        texts = [f"its settings are those of trial {other}"]
    if record.status == "finished" and record.result is None:
        texts.append("finished, and without a result")
    for text in texts[:1]:
        folder = Store.trial(record.id)
        yield Damage(path, f"is damaged: {text}", lost, _ASIDE_FIRST, (folder,), record.id)


def _identity(record: Record) -> str | None:
    """The id that a record's settings have; None where it cannot be worked out, as of another revision."""
    trial = record.trial
    try:
        name, config, manifest = trial["trainable"], trial["config"], trial["manifest"]
        revision, supervision = trial["revision"], trial["supervision"]
        repeat = {key: trial[key] for key in ("split", "seed", "fold")}
        threshold = trial["data"].get("threshold", "best_f1")
    except KeyError:
        return None
    if manifest == UNKNOWN:
        return None

    def hashed(settings: Mapping[str, object]) -> str:
        cell = CellIdentity(
            trainable=name,
            revision=revision,
            config=settings,
            manifest=manifest,
            supervision=supervision,
            threshold=threshold,
        )
        return cell.trial_id(**repeat)

    if hashed(config) == record.id:
        return record.id
    if is_file_method(name) or name not in TRAINABLES or TRAINABLES[name].revision != revision:
        return None
    Config = TRAINABLES[name].Config
    try:
        identity = Config.model_validate(config).identity()  # the method may leave settings out
    except ValidationError:
        return None  # the method's settings were changed, and its revision was not raised
    return hashed(identity)


def _check_files(store: Store, record: Record) -> Iterator[Damage]:
    folder = store.trial(record.id)
    for path, text in check_named_files(store, folder, record.files):
        name = path.removeprefix(f"{folder}/{record.attempt}/")
        cost = _COSTS.get(name.split("/")[0], "what needs it leaves the trial out")
        yield Damage(path, text, f"{cost}; its scores stand", _ASIDE_FIRST, (folder,), record.id)


def _check_unfinished(store: Store, trial_id: str) -> Iterator[Damage]:
    path = f"{store.trial(trial_id)}/checkpoint.safetensors"
    text = check_checkpoint(store, path)
    if text is not None:
        cost = "the trial would fail, where it should go on"
        yield Damage(path, text, cost, "`assay run` begins it anew", (path,), trial_id)


def _check_notes(store: Store, trial_id: str) -> Iterator[Damage]:
    """Heartbeat and notes of attempts."""
    folder = store.trial(trial_id)
    path = f"{folder}/progress.json"
    notes = [(path, check_note(store, path, Progress, lambda beat: beat.trial == trial_id))]
    for name in store.list(f"{folder}/attempts"):
        path, attempt = f"{folder}/attempts/{name.removesuffix('/')}", name.removesuffix(".json")
        if name.endswith(".json"):
            notes.append((path, check_note(store, path, AttemptStart, lambda n, a=attempt: n.attempt == a)))
    for path, text in notes:
        if text is not None:
            cost, again = "status tells less of the trial", "the next attempt writes its own"
            yield Damage(path, text, cost, again, (path,), trial_id)
