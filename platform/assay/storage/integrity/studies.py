"""Folders of studies: the study, its plan and points, the looks at it, its lease and its summary."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from assay.storage.integrity.damage import GONE, Damage, check_note, read_table, set_aside_since
from assay.storage.interim_looks import read_interim_looks
from assay.storage.lease import LeaseNote
from assay.storage.mlflow_marker import Marker
from assay.storage.plans import TRACES, RenamedFolderError, stored_plan, written_plan
from assay.storage.registration import read_registration
from assay.storage.search_points import read_points
from assay.storage.store import Store
from assay.study import Plan, parse_study
from trainables.errors import InputError

__all__ = ["check_study", "finished_trials", "sound_plan"]

_MARKER = re.compile(r"mlflow-[0-9a-f]{12}\.json")
_DAY = 86_400.0
_NO_PLAN = "status, report and pages do not know the study; its records stand"


def sound_plan(store: Store, name: str) -> Plan | None:
    """The plan of a study with its points; without them where they are damaged, None where it is itself."""
    for read in (stored_plan, written_plan):
        try:
            return read(store, name)
        except InputError:
            continue
    return None


def finished_trials(store: Store, name: str) -> dict[str, str]:
    """Trials to which the last summary of a study gives a score, with its path; none where it is damaged."""
    path = _summary(name)
    table, _ = read_table(store, path)
    if table is None or not {"trial", "value"} <= set(table.column_names):
        return {}
    rows = zip(table["trial"].to_pylist(), table["value"].to_pylist(), strict=True)
    return {trial: path for trial, value in rows if value is not None}


def check_study(store: Store, name: str, plan: Plan | None, *, running: bool) -> Iterator[Damage]:
    """All damages of a study's folder.

    Args:
        store: The results.
        name: Of the study.
        plan: As :func:`sound_plan` gives it.
        running: Somebody is at it, and its files change.
    """
    folder = store.study(name)
    names = [entry for entry in store.list(folder) if not entry.startswith(".")]
    if plan is None:
        yield from _check_plan(store, name, names)
    yield from _check_text(store, name, plan, names, running=running)
    if plan is not None and plan.study.search is not None:
        yield from _check_points(store, plan, names)
    yield from _check_notes(store, name)
    if not running:
        path, tomorrow = f"{folder}/lease.json", time.time() + _DAY
        future = "has a beat of a time that is not yet"
        text = check_note(store, path, LeaseNote, lambda note: note.beat < tomorrow, future)
        if text is not None:
            cost = "a run of the study that is alive would not be seen"
            yield Damage(path, text, cost, "the next `assay run` writes its own", (path,))
    for entry in filter(_MARKER.fullmatch, names):
        path = f"{folder}/{entry}"
        text = check_note(store, path, Marker)
        if text is not None:
            again = "`assay mlflow --sync` writes it anew"
            yield Damage(path, text, "MLflow is asked again for each record", again, (path,))
    path = _summary(name)
    _, text = read_table(store, path)
    if text is not None:
        yield Damage(path, text, "other programs cannot read it", "`assay run` writes it anew", (path,))


def _check_notes(store: Store, name: str) -> Iterator[Damage]:
    """Notes that only a copy brings back."""
    folder = store.study(name)
    try:
        read_interim_looks(store, name)
    except InputError:
        cost = "nothing is reported: p-values would look better than they are"
        again = "a copy of it does; without one, remove it, and its looks count as none"
        yield Damage(f"{folder}/looks.json", "cannot be believed", cost, again)
    try:
        read_registration(store, name)
    except InputError:
        cost = "nothing is reported: changes of the question would go unnoticed"
        again = "a copy of it does; without one, remove it, and the next `assay run` registers the question"
        yield Damage(f"{folder}/registered.json", "cannot be believed", cost, again)


def _check_plan(store: Store, name: str, names: list[str]) -> Iterator[Damage]:
    """Say why there is no sound plan."""
    path = f"{store.study(name)}/plan.parquet"
    again = "`assay run` of the study's file writes it anew, and trains nothing"
    if "plan.parquet" not in names:
        # Of a study that was refused or killed before its first plan there is the text at most.
        known = not TRACES.isdisjoint(names)
        if known:
            yield _gone(store, path, _NO_PLAN, again)
        return
    table, text = read_table(store, path)
    if table is not None:
        try:
            written_plan(store, name)
        except RenamedFolderError as error:
            text = "is not the name of its study, and the plan in it is sound"
            yield Damage(store.study(name), text, _NO_PLAN, _in_a_line(error))
            return
        except InputError as error:
            text = f"cannot be believed: {_in_a_line(error)}"
    if text is not None:
        yield Damage(path, text, _NO_PLAN, again, (path,))


def _check_text(
    store: Store, name: str, plan: Plan | None, names: list[str], *, running: bool
) -> Iterator[Damage]:
    """The study's own file, which nothing but its user reads: it must ask what its plan asks."""
    path = f"{store.study(name)}/study.yaml"
    cost = "the question cannot be read from the storage; plan and records stand"
    again = "`assay run` with your file writes it anew, and trains nothing"
    if "study.yaml" not in names:
        if "plan.parquet" in names and not running:
            yield _gone(store, path, cost, again)
        return
    try:
        study = parse_study(store.read_bytes(path).decode(), path)
    except (InputError, UnicodeDecodeError, FileNotFoundError):  # the last of a link that leads nowhere
        yield Damage(path, "is no study that can be read", cost, again, (path,))
        return
    if plan is not None and study.content_hash != plan.study.content_hash and not running:
        yield Damage(path, "asks something else than the plan beside it", cost, again, (path,))


def _check_points(store: Store, plan: Plan, names: list[str]) -> Iterator[Damage]:
    folder = store.study(plan.study.study)
    cost = "its points are unknown, and no table has their trials; their records stand"
    again = "`assay run` draws the same points, and finds their records"
    path = f"{folder}/search.jsonl"
    try:
        read_points(store, plan)
    except InputError:
        yield Damage(path, "cannot be believed", cost, again, (path,))
    if "search.jsonl" not in names and finished_trials(store, plan.study.study):
        yield _gone(store, path, cost, again, "is gone, and its summary lists points")


def _gone(store: Store, path: str, cost: str, again: str, text: str = GONE) -> Damage:
    """A file of a study that is not there, or was set aside since its summary was written."""
    waits = set_aside_since(store, path, f"{path.rpartition('/')[0]}/summary.parquet")
    return Damage(path, "was set aside" if waits else text, cost, again, waits=waits)


def _in_a_line(error: InputError) -> str:
    return " ".join(str(error).split())


def _summary(name: str) -> str:
    return f"{Store.study(name)}/summary.parquet"
