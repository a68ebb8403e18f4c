"""`assay clean`: files of a storage that no result needs, and their removal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.options import DEFAULT_STORAGE, Storage, in_use
from assay.cli.output import console, size, text_table
from trainables.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from assay.storage import Store
    from assay.study import Plan

__all__ = ["clean"]

Yes = Annotated[bool, typer.Option("--yes", help="Remove it. Without this it is only listed.")]
Orphans = Annotated[
    bool,
    typer.Option("--orphans", help="Also trials and stages that no study of this storage plans any more."),
]


def clean(*, yes: Yes = False, orphans: Orphans = False, storage: Storage = DEFAULT_STORAGE) -> None:
    """List what no result needs (dead attempts, old checkpoints, models not kept); `--yes` removes it.

    Records stay, and so does whatever a running study may be using.
    """
    from assay.storage import Store
    from assay.storage.lease import running_studies
    from assay.storage.plans import stored_plans
    from assay.storage.retention import clean_plan, free

    store, out = Store.open(storage), console()
    running = running_studies(store)
    plans = stored_plans(store)
    needless = clean_plan(store, plans)
    lost = _orphans(store, plans, out) if orphans else []
    rows = [(item.path, item.reason, item.bytes) for item in needless]
    rows += [(path, "no study plans it", store.size(path)) for path in lost]
    if rows:
        texts = [(path, reason, size(count)) for path, reason, count in rows]
        out.print(text_table(("path", "what it is", "size"), texts, right=("size",)))
    total = size(sum(count for _, _, count in rows))
    if not yes:
        command = in_use(f"assay clean --yes{' --orphans' if orphans else ''}", storage=storage)
        out.print(f"would free {total} in {store.uri}" + (f"; `{command}` does it" if rows else ""))
        return
    if began := sorted(set(running_studies(store)) - {*running}):
        raise InputError(
            f"{', '.join(began)} began to run while {store.uri} was looked through, and may use what is "
            "listed here. Nothing was removed: run this again, it then lists what no running study uses."
        )
    free(store, needless)
    for path in lost:
        store.delete_tree(path)
    out.print(f"freed {total} in {store.uri}")


def _orphans(store: Store, plans: Sequence[Plan], out: Console) -> list[str]:
    """Folders of trials and stages in no plan; none while a study runs, whose plan may have just changed."""
    from assay.storage.lease import running_studies
    from assay.storage.method_store import load_methods
    from assay.storage.search_points import known_replicas
    from assay.storage.stage_store import stage_folder, stage_keys
    from assay.study.stage_graph import stage_graph

    if running := running_studies(store):
        out.print(f"{', '.join(running)} is running: what no study plans was not looked for")
        return []
    trials = {trial.id: trial for plan in plans for trial in plan.trials}
    replicas = {id_: record for plan in plans for id_, record in known_replicas(plan, store).items()}
    planned = trials.keys() | replicas.keys()
    lost = [store.trial(trial) for trial in store.trials() if trial not in planned]
    stages = stage_keys(store)
    used = {stage.key for record in replicas.values() for stage in record.stages}
    if stages:
        load_methods(store, {trial.trainable for trial in trials.values()})
        used |= stage_graph(trials.values()).keys()
    lost += [stage_folder(key) for key in stages if key not in used]
    if lost:
        _refuse_lost_points(store, plans)
    return lost


def _refuse_lost_points(store: Store, plans: Iterable[Plan]) -> None:
    """See that nothing counts as unplanned because a search has lost the file of its points.

    Records do not tell: a trial that two searches share names the one that trained it.

    Raises:
        InputError: Naming the file.
    """
    from assay.study import SearchPlan

    for plan in plans:
        study = plan.study
        if not isinstance(plan, SearchPlan) or not plan.pending_points:
            continue
        if not store.exists(path := f"{store.study(study.study)}/search.jsonl"):
            raise InputError(
                f"{path} is not there (yet), so that nobody knows which trials the search {study.study} "
                "needs. Go on with it by `assay run`: it draws the same points, and finds their records. "
                f"If it is not wanted any more, remove the folder {store.study(study.study)}."
            )
