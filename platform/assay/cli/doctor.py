"""`assay doctor`: an examination of this machine and this storage before studies run."""

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

from assay.cli.answers import AsJson, answers
from assay.cli.mlflow import AnyTracking
from assay.cli.options import DEFAULT_CACHE, DEFAULT_STORAGE, Cache, Storage
from assay.cli.output import console
from assay.version import VERSION
from trainables.errors import InputError

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

    from assay.engine.ports import Port

__all__ = ["Finding", "doctor"]

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
        from assay.engine.ports import ray_ports

        listening = ray_ports()
        for port in listening:
            out.print(f"{port.process:<18} {port.address:<16} {port.port}")
        if as_json:
            _answer((), listening)
        return
    findings: list[Finding] = []
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
    yield _python()
    yield from _packages()
    yield _cores()
    if not quick:
        yield _gpus()
    yield _ray()
    yield from _ray_internals()
    yield _storage(storage)
    yield _folder("cache", os.fspath(cache))
    yield _mlflow(tracking_uri, storage)


def _python() -> Finding:
    version = platform.python_version()
    return Finding(sys.version_info >= (3, 11), "python", f"{version} on {platform.platform()}")


def _packages() -> Iterator[Finding]:
    wanted = _wanted()
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


def _wanted() -> dict[str, SpecifierSet]:
    """The versions that this package asks for, by name."""
    from packaging.requirements import Requirement

    requirements = [Requirement(line) for line in metadata.requires("assay") or []]
    return {requirement.name: requirement.specifier for requirement in requirements}


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    text = f"{cores} core(s), {memory:.0f} GB of memory (a pack that trains takes about 1 GB and its data)"
    return Finding(True, "machine", text)


def _gpus() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding(False, "gpu", f"torch cannot be loaded: {error}")
    if not torch.cuda.is_available():
        return Finding(True, "gpu", "none that torch can use; studies with `gpus: 0` run on the cores")
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return Finding(True, "gpu", ", ".join(names))


def _ray() -> Finding:
    from assay.engine.ray_watch import knock

    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return Finding(True, "cluster", "RAY_ADDRESS is not set: `assay run` starts Ray on this machine")
    try:
        if address != "auto":
            knock(address)
    except OSError as error:
        text = f"nobody answers at RAY_ADDRESS={address} ({error}): start it, or unset RAY_ADDRESS"
        return Finding(False, "cluster", text)
    return Finding(True, "cluster", f"`assay run` connects to RAY_ADDRESS={address}")


def _ray_internals() -> Iterator[Finding]:
    from assay.engine.ray_internals import moved

    for problem in moved():
        yield Finding(False, "ray", f"another release than assay was tested with: {problem}")


def _storage(uri: str) -> Finding:
    from assay.storage import Store
    from assay.storage.conditional import refuse_without_locks
    from trainables.data.atomic import nearest

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
    from trainables.data.atomic import nearest

    existing = nearest(Path(os.path.expanduser(path)).resolve())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding(False, subject, f"{path} cannot be written: {existing} is read-only or not yours")
    free = shutil.disk_usage(existing).free
    text = f"{path}, {free / 1e9:.0f} GB free"
    return Finding(free > _LOW_SPACE, subject, text if free > _LOW_SPACE else f"{text}: too little")


def _mlflow(tracking_uri: str | None, storage: str) -> Finding:
    if tracking_uri is None:
        return _beside_results(storage)
    from assay.tracking import why_away, why_refused

    shown = tracking_uri
    if why := why_refused(tracking_uri):
        return Finding(False, "tracking", f"{shown}: {why}")
    if why := why_away(tracking_uri):
        text = f"{shown} is away ({why}): studies run, and are replayed into it later"
        return Finding(False, "tracking", text)
    return Finding(True, "tracking", shown)


def _beside_results(storage: str) -> Finding:
    from assay.storage.local_disk import named_folder

    shown = storage
    if "://" in storage and not storage.startswith("file:"):
        text = f"{shown} has no place for MLflow's database: name one with --tracking-uri to see runs"
        return Finding(True, "tracking", text)
    try:
        place = _folder("tracking", os.fspath(named_folder(storage)))
    except InputError as error:
        return Finding(False, "tracking", str(error))
    return Finding(True, "tracking", f"SQLite beside the results in {shown}") if place.ok else place
