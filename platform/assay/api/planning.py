"""From a study to its plan, with the data opened or without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.study import Plan, Study
    from assay.study.file.from_objects import StudyLike
    from assay.study.planning.cells import Cell
    from trainables.data import Manifest
    from trainables.data.spec import DataSpec

__all__ = ["read_plan", "read_plan_and_promises"]

_FREE_SETTINGS = {"options", "config"}  # blocks whose names are those of readers and methods


def read_plan(
    study: StudyLike, *, data: Path | None, cache: Path, with_data: bool = True, say: Callable[[str], None]
) -> Plan:
    """Read a study, open its data and lay out all trials.

    ``auto`` settings are decided by what the study asks for (``resources.gpus``), not by this machine: a
    laptop plans the same trial ids as the cluster that trains them.

    Raises:
        InputError: If the study or the data break a rule.
    """
    return _read(study, _opener(data, cache) if with_data else None, say)


def read_plan_and_promises(
    study: StudyLike, *, data: Path | None, cache: Path, say: Callable[[str], None]
) -> tuple[Plan, list[str]]:
    """As :func:`read_plan`, and what the parts that choose thresholds can promise of new ones, in words."""
    from assay.study.planning.promises import promise_texts

    opener = _opener(data, cache)
    plan = _read(study, opener, say)
    return plan, promise_texts(plan, opener)


def _opener(data: Path | None, cache: Path) -> Callable[[DataSpec], Manifest]:
    """What opens the data of a spec, each data set once: cells share them, and they are looked at again."""
    manifests: dict[str, Manifest] = {}

    def opener(spec: DataSpec) -> Manifest:
        from trainables.data import open_manifest

        key = spec.model_dump_json()
        if key not in manifests:
            manifests[key] = open_manifest(spec, data, cache)
        return manifests[key]

    return opener


def _read(
    study: StudyLike, opener: Callable[[DataSpec], Manifest] | None, say: Callable[[str], None]
) -> Plan:
    """The plan of a study; ``opener`` None: without its data."""
    say(f"reading {study if isinstance(study, str | Path) else 'the study'}")
    from assay.study import plan_study
    from assay.study.file.from_objects import as_study
    from assay.study.planning.resolution_limit import measure_resolution_limits

    study = as_study(study)
    _refuse_secrets(study)
    device = "cuda" if study.resources.gpus else "cpu"
    if opener is None:
        return _without_credentials(plan_study(study, None, device))
    say("opening the data")
    plan = _without_credentials(plan_study(study, opener, device))
    say("looking at masks in the network's grid")
    return plan.model_copy(update={"resolution_limits": measure_resolution_limits(plan, opener)})


def _without_credentials(plan: Plan) -> Plan:
    """The plan with the footnotes of methods, whose words are those of the method's code, redacted."""
    from assay.storage.redaction import redact

    def redacted(cell: Cell) -> Cell:
        return cell.model_copy(update={"footnotes": tuple(map(redact, cell.footnotes))})

    return plan.with_cells(redacted)


def _refuse_secrets(study: Study) -> None:
    """See that the study's text, which is stored with its results, shown and shipped, holds no credentials.

    Raises:
        InputError: Naming the first place that does.
    """
    from assay.storage.redaction import holds_credentials, is_secret_name, redact

    rule = "a study is stored with its results and holds no credentials"
    way_out = "Whoever needs them reads them from the environment."
    source = study.source

    # Credentials are known by how they look, anywhere in the text. In settings that a plug-in is free to
    # name, it is the name that tells a secret.
    for number, line in enumerate(source.text.splitlines(), start=1):
        if holds_credentials(line):
            raise InputError(f"{source.origin}:{number}: {rule}, found {redact(line.strip())}. {way_out}")
    for path in source.marks:
        name = str(path[-1])
        if _FREE_SETTINGS & set(path[:-1]) and is_secret_name(name):
            raise InputError(f"{source.where(path)}: {rule}, found the setting {name}. {way_out}")
