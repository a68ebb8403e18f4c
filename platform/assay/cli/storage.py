"""`assay doctor`, `check` and `clean`: this machine and the files of a storage."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from assay.cli.options import (
    DEFAULT_CACHE,
    DEFAULT_STORAGE,
    AnyTracking,
    Cache,
    Storage,
    in_use,
    study_name,
)
from assay.cli.output import AsJson, answers, console, size, text_table
from assay.version import VERSION
from trainables.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from assay.engine.cluster.ports import Port
    from assay.storage import Store
    from assay.storage.check.check import Findings
    from assay.study import Plan

__all__ = ["Finding", "check", "clean", "doctor"]


# Check: every file that has a checksum, and a way out of damage --------------------------------


StudyName = Annotated[
    str | None, typer.Argument(metavar="[STUDY]", help="A study's name or file; default: all there is.")
]
Repair = Annotated[
    bool,
    typer.Option("--repair", help="Move what is damaged below `damaged/`, so that it is made again."),
]

Upgrade = Annotated[
    bool,
    typer.Option("--upgrade", help="Take a storage of an earlier format to the one of this version."),
]


def check(
    study: StudyName = None,
    *,
    repair: Repair = False,
    upgrade: Upgrade = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Read what has a checksum, and name what is damaged and what that costs.

    Exit code 0: all is sound, or was quarantined; 1: something is damaged; 2: bad input.
    """
    from assay.storage import Store
    from assay.storage.check.check import check_storage, quarantine
    from assay.storage.check.storage_format import FORMAT, upgrade_storage
    from assay.storage.files.files import Files

    # The upgrade opens the bare files, since a store refuses every format but the current one.
    if upgrade:
        if repair or study is not None:
            raise typer.BadParameter("--upgrade is of the whole storage, and goes alone.")
        files = Files(storage)
        upgrade_storage(files)
        console().print(f"{files.uri} has format {FORMAT}, the current one")
        return
    store, out = Store.open(storage), console()
    name = None if study is None else study_name(store, study)
    findings = check_storage(store, name)

    # An empty place would count as sound, which misleads whoever has mistyped it.
    if not (findings.studies or findings.records or findings.stages or findings.damages):
        what = "no study was" if name is None else f"study {name} was not"
        out.print(f"{what} run into {store.uri} yet: name another storage with --storage")
        return
    _print(findings, out)
    remaining = len(findings.damages)
    if repair and remaining:
        moved = quarantine(store, findings.damages)
        for path, target in moved.items():
            out.print(f"quarantined: {path} → {target}")
        if moved:
            again = in_use("assay run STUDY", storage=storage)
            out.print(f"`{again}` makes again what a study lacks: run each that is named above")

        # What no run can make again stays in its place, and counts as damaged.
        remaining = sum(not damage.aside for damage in findings.damages)
    elif any(damage.aside for damage in findings.damages):
        command = in_use(f"assay check{'' if name is None else f' {name}'} --repair", storage=storage)
        out.print(f"`{command}` sets aside what `assay run` can make again, and deletes nothing")
    if remaining:
        raise typer.Exit(1)


def _print(findings: Findings, out: Console) -> None:
    from assay.study.names import counted

    for damage in findings.damages:
        out.print(str(damage), style="red")
        out.print(f"  costs: {damage.cost}")
    trials = {damage.trial for damage in findings.damages if damage.trial is not None}
    if trials:
        out.print(f"damaged trials: {', '.join(sorted(trials))}")
    studies = f"{findings.studies} {'study' if findings.studies == 1 else 'studies'}"
    looked = f"{counted(findings.records, 'record')}, {counted(findings.stages, 'stage')}, {studies}"
    damages = counted(len(findings.damages), "damage") if findings.damages else "all sound"
    out.print(f"{looked} read: {damages}")
    if findings.left_out:
        files = counted(findings.left_out, "file")
        out.print(f"{files} more were left out of this copy of a storage: models, pictures, plans")


# Clean: files that no result needs, and their removal --------------------------------------------------


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
    from assay.storage.check.retention import clean_plan, free
    from assay.storage.lease import running_studies
    from assay.storage.plans import stored_plans

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

    # What was listed as needless may be needed by a run that has begun since, so it is asked once more before
    # anything is deleted.
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
    from assay.study.planning.stage_graph import stage_graph

    if running := running_studies(store):
        out.print(f"{', '.join(running)} is running: what no study plans was not looked for")
        return []
    trials = {trial.id: trial for plan in plans for trial in plan.trials}
    replicas = {id_: record for plan in plans for id_, record in known_replicas(plan, store).items()}
    planned = trials.keys() | replicas.keys()
    lost = [store.trial(trial) for trial in store.trials() if trial not in planned]
    stages = stage_keys(store)
    used = {stage.key for record in replicas.values() for stage in record.stages}

    # Only its method knows which stages a trial uses, so methods are loaded where there are stages at all.
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
    for plan in plans:
        study = plan.study
        if plan.size == len(plan.trials):
            continue
        if not store.exists(path := f"{store.study(study.study)}/search.jsonl"):
            raise InputError(
                f"{path} is not there (yet), so that nobody knows which trials the search {study.study} "
                "needs. Go on with it by `assay run`: it draws the same points, and finds their records. "
                f"If it is not wanted any more, remove the folder {store.study(study.study)}."
            )


# Doctor: this machine and this storage before studies run ----------------------------------------------


_LOW_SPACE = 2e9  # bytes
_PACKAGES = ("ray", "torch", "mlflow", "optuna", "streamlit", "pyarrow", "numpy", "pydantic")


class Finding(NamedTuple):
    """One line of the examination."""

    ok: bool
    subject: str
    text: str


Quick = Annotated[bool, typer.Option("--quick", help="Do not load torch to look for GPUs.")]


Ports = Annotated[
    bool,
    typer.Option("--ports", help="List the ports that Ray's processes listen on here, and nothing else."),
]


def doctor(
    *,
    quick: Quick = False,
    ports: Ports = False,
    as_json: AsJson = False,
    storage: Storage = DEFAULT_STORAGE,
    cache: Cache = DEFAULT_CACHE,
    tracking_uri: AnyTracking = None,
) -> None:
    """Examine versions, cores, memory, GPUs, Ray, the storage, the cache and MLflow.

    Exit code 0: all is well, 1: something will not work.
    """
    out = console()
    if ports:
        from assay.engine.cluster.ports import ray_ports

        listening = ray_ports()
        for port in listening:
            out.print(f"{port.process:<18} {port.address:<16} {port.port}")
        if as_json:
            _answer((), listening)
        return
    findings: list[Finding] = []

    # Each finding is printed when it is known: some take seconds.
    for finding in _examine(quick, storage, cache, tracking_uri):
        findings.append(finding)
        out.print(f"{'ok ' if finding.ok else 'BAD'}  {finding.subject:<9} {finding.text}")
    if as_json:
        _answer(findings, ())
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _answer(findings: Sequence[Finding], ports: Sequence[Port]) -> None:
    from assay.report.answers.checks import DoctorAnswer, FindingRow, PortRow

    answers().give(
        DoctorAnswer(
            version=VERSION,
            ok=all(finding.ok for finding in findings),
            findings=tuple(FindingRow(**finding._asdict()) for finding in findings),
            ports=tuple(PortRow(**port._asdict()) for port in ports),
        )
    )


def _examine(quick: bool, storage: str, cache: Cache, tracking_uri: str | None) -> Iterator[Finding]:
    yield Finding(True, "assay", VERSION)
    version = platform.python_version()
    yield Finding(sys.version_info >= (3, 11), "python", f"{version} on {platform.platform()}")
    yield from _packages()
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    text = f"{cores} core(s), {memory:.0f} GB of memory (a worker that trains takes about 1 GB and its data)"
    yield Finding(True, "machine", text)
    if not quick:
        yield _gpus()
    yield from _ray_release()
    yield _ray()
    yield _storage(storage)
    yield _folder("cache", os.fspath(cache))
    yield _mlflow(tracking_uri, storage)


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    requirements = [Requirement(line) for line in metadata.requires("assay") or []]
    wanted = {requirement.name: requirement.specifier for requirement in requirements}
    for name in _PACKAGES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(False, name, "is not installed: pip install -r requirements.txt")
            continue
        if name in wanted and not wanted[name].contains(version, prereleases=True):
            text = f"{version}, assay needs {wanted[name]}: pip install -r requirements.txt"
            yield Finding(False, name, text)
        else:
            yield Finding(True, name, version)


def _gpus() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding(False, "gpu", f"torch cannot be loaded: {error}")
    if not torch.cuda.is_available():
        return Finding(True, "gpu", "none that torch can use; studies with `gpus: 0` run on the cores")
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return Finding(True, "gpu", ", ".join(names))


def _ray_release() -> Iterator[Finding]:
    """Report what is to know of this release of Ray: none of it keeps a study from being run."""
    from assay.engine.cluster.ray_head import TRIED, moved

    try:
        release = metadata.version("ray")
    except metadata.PackageNotFoundError:
        return  # said among the packages
    if release not in TRIED:
        text = f"{release} was not tried with assay, and may work; {', '.join(TRIED)} were"
        yield Finding(True, "ray", text)
    for problem in moved():
        yield Finding(True, "ray", f"{release} is started on this machine the public, slower way: {problem}")


def _ray() -> Finding:
    from assay.engine.cluster.ray_watch import refuse_silent_address

    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return Finding(True, "cluster", "RAY_ADDRESS is not set: `assay run` starts Ray on this machine")
    try:
        if address != "auto":
            refuse_silent_address(address)
    except OSError as error:
        text = f"nobody answers at RAY_ADDRESS={address} ({error}): start it, or unset RAY_ADDRESS"
        return Finding(False, "cluster", text)
    return Finding(True, "cluster", f"`assay run` connects to RAY_ADDRESS={address}")


def _storage(uri: str) -> Finding:
    from assay.storage import Store
    from assay.storage.files.conditional import refuse_without_locks
    from trainables.data.files.atomic import nearest

    try:
        store = Store.open(uri)
        if store.local_path is not None:
            place = _folder("storage", os.fspath(store.local_path))
            if place.ok:
                refuse_without_locks(nearest(store.local_path))
            return place
        store.study_folders()  # one request: of a silent store the several of a writing take a minute
        store.probe()
        store.swaps.prove()
    except (InputError, OSError) as error:
        return Finding(False, "storage", str(error))
    return Finding(True, "storage", f"{store.uri} can be written")


def _folder(subject: str, path: str) -> Finding:
    """A folder: can it be written, or be made where it is to be?"""
    from trainables.data.files.atomic import nearest

    existing = nearest(Path(os.path.expanduser(path)).resolve())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding(False, subject, f"{path} cannot be written: {existing} is read-only or not yours")
    free = shutil.disk_usage(existing).free
    text = f"{path}, {free / 1e9:.0f} GB free"
    return Finding(free > _LOW_SPACE, subject, text if free > _LOW_SPACE else f"{text}: too little")


def _mlflow(tracking_uri: str | None, storage: str) -> Finding:
    from assay.storage.files.local_disk import named_folder

    if tracking_uri is None:
        if "://" in storage and not storage.startswith("file:"):
            text = f"{storage} has no place for MLflow's database: name one with --tracking-uri to see runs"
            return Finding(True, "tracking", text)
        try:
            place = _folder("tracking", os.fspath(named_folder(storage)))
        except InputError as error:
            return Finding(False, "tracking", str(error))
        return Finding(True, "tracking", f"SQLite beside the results in {storage}") if place.ok else place
    from assay.tracking import why_away, why_refused

    if why := why_refused(tracking_uri):
        return Finding(False, "tracking", f"{tracking_uri}: {why}")
    if why := why_away(tracking_uri):
        text = f"{tracking_uri} is away ({why}): studies run, and are replayed into it later"
        return Finding(False, "tracking", text)
    return Finding(True, "tracking", tracking_uri)
