"""Recompute a bundle: each file against its sha256, plan, preregistration and report made again.

Nothing of the bundle is run: a study that names a method by its file is not planned anew, and that is said.
Everything is read as JSON, YAML without tags, or Parquet.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assay.analysis.results.reading import read_results
from assay.analysis.results.results import StudyResults
from assay.api.opened_storage import parameter_importance
from assay.extras.bundle import MANIFESTS, METADATA, PROGRAM, REPORT, STORAGE
from assay.extras.bundle.archive import read_archive
from assay.extras.bundle.contents import BundledStore, damaged_files, report_files
from assay.extras.bundle.crate import crate_bytes, crate_facts, facts_of
from assay.extras.bundle.manifests import manifest_opener, read_manifest
from assay.extras.bundle.program import Program
from assay.storage.check.storage_format import FORMAT, OtherFormatError, refuse_other_format
from assay.storage.plans import LEFT_OUT, SIZES, written_plan
from assay.storage.preregistration import question_of, read_preregistrations
from assay.study import Plan, SearchPlan, plan_study, read_study
from assay.study.settings.methods import file_references
from trainables.errors import InputError
from trainables.plugins.catalogue import find_trainable

__all__ = ["Verification", "verify_bundle"]

_MOST_ROWS = 20_000_000  # values of a table
_MOST_BYTES = 1 << 30  # of a table, unpacked
_TOLERANCE = 1e-9  # of numbers that another version computed
_NAMED = 5  # differences of one kind; more are counted
# Errors of what reads JSON, YAML, Parquet and tables, where somebody wrote them otherwise than assay does.
_UNREADABLE = (
    InputError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    RecursionError,
    pa.ArrowException,
    csv.Error,
)


@dataclass
class Verification:
    """Result of a look at a bundle."""

    study: str = ""
    trials: int = 0
    files: int = 0
    differences: list[str] = field(default_factory=list[str])  # each names the file
    notes: list[str] = field(default_factory=list[str])  # what could not be compared, and why


def verify_bundle(path: Path) -> Verification:
    """Compare a bundle with itself: files with their hashes, the rest with what follows from the records.

    Raises:
        InputError: If it is no bundle, or one that cannot be read safely.
    """
    archive = read_archive(path)
    if METADATA not in {*archive.files, *archive.unreadable}:
        raise InputError(f"a bundle describes itself in {METADATA}, found none in {path}. Name a bundle.")
    result = Verification(files=len(archive.files) + len(archive.unreadable))
    result.differences += [f"{name}: {why}" for name, why in archive.unreadable.items()]
    result.differences += _against_crate(archive.files, archive.unreadable)
    if not archive.as_written and not result.differences:
        result.differences.append(f"{path.name}: the archive around its files is not as assay wrote it")
    with TemporaryDirectory(prefix="assay-verify-") as folder:
        try:
            _recompute(archive.files, Path(folder), result)
        except OtherFormatError as error:
            if not result.differences:
                raise _refusal(error, path) from None
            result.differences.append(str(_refusal(error, path)))
        except _UNREADABLE as error:
            text = str(error) if isinstance(error, InputError) else repr(error)
            result.differences.append(f"not all can be read, so no more was compared: {text}")

        # Messages name the folder into which it was unpacked, which is gone by now: the reader knows the
        # bundle's.
        result.differences = [text.replace(folder, STORAGE) for text in result.differences]
    return result


def _refusal(error: OtherFormatError, path: Path) -> InputError:
    found = "none" if error.stated is None else f"format {error.stated}"
    return InputError(
        f"this version of assay verifies bundles of storages of format {FORMAT}, found {found} stated in "
        f"{path}. Use the version of assay that wrote it: its {PROGRAM} names that."
    )


def _against_crate(files: Mapping[str, bytes], unreadable: Collection[str]) -> Iterator[str]:
    """Sentences on files that are not those of the description; of ``unreadable`` ones all is said."""
    if METADATA not in files:
        return
    try:
        listed = crate_facts(files[METADATA])
    except InputError as error:
        yield str(error)
        return
    present = facts_of(files)
    for name in sorted({*listed, *present}.difference(unreadable)):
        if name not in present:
            yield f"{name}: {METADATA} lists it, and it is not there"
        elif name not in listed:
            yield f"{name}: {METADATA} does not list it"
        elif listed[name] != present[name]:
            yield f"{name}: its sha256 or size is not that in {METADATA}"


def _recompute(files: Mapping[str, bytes], folder: Path, result: Verification) -> None:
    stored = {
        name.removeprefix(f"{STORAGE}/"): content
        for name, content in files.items()
        if name.startswith(f"{STORAGE}/")
    }

    # A Parquet file of a few bytes may claim billions of rows: its claim is read before its rows are.
    for name, content in stored.items():
        if name.endswith(".parquet"):
            _refuse_huge(name, content)
    store = BundledStore.write(folder, stored, SIZES.validate_json(_read(files, LEFT_OUT)))
    refuse_other_format(store)
    program = Program.read(_read(files, PROGRAM))
    names = store.studies()
    if len(names) != 1:
        raise InputError(f"a bundle has the plan of one study, found {len(names)} in {STORAGE}/studies.")
    result.study = names[0]
    results = read_results(store, result.study, parameter_importance)
    result.trials = len(results.records)
    result.differences += [f"{STORAGE}/{text}" for text in damaged_files(store, results)]
    plan = written_plan(store, result.study)
    versions = program.differences(Program.here(plan))
    _check_plan(plan, store, files, versions, result)
    _check_preregistration(plan, store, result)
    _check_report(files, report_files(results), versions, result)
    _check_description(files, results, program, result)


# The plan -------------------------------------------------------------------------------------------------


# A bundle has neither the masks, in which resolution limits are measured, nor files that no reader opens, of
# which warnings tell. Trials are compared as the rows of their table, since each repeats its cell.
_APART: Mapping[str, Any] = {"study": True, "trials": True, "resolution_limits": True, "warnings": True}
# Another version may know further settings, word footnotes otherwise, and estimate the storage otherwise.
# Where what is trained would be another, the ids of trials and searches are others, too.
_NEWER: Mapping[str, Any] = {
    "gigabytes": True,
    "cells": {"__all__": {"config", "diff", "footnotes"}},
    "searched": {"__all__": {"cell": {"config", "diff", "footnotes"}}},
    "comparisons": {"__all__": {"paths", "values"}},
}


def _check_plan(
    plan: Plan,
    store: BundledStore,
    files: Mapping[str, bytes],
    versions: Collection[str],
    result: Verification,
) -> None:
    """Compare question and plan with those of the study file; ``versions``: what is another one here."""
    manifests = {name: content for name, content in files.items() if name.startswith(f"{MANIFESTS}/")}
    hashes = {name: read_manifest(content, name).hash for name, content in manifests.items()}
    result.differences += [
        f"{name}: its rows make the hash {hash_[:12]}, which the plan does not have"
        for name, hash_ in hashes.items()
        if hash_ not in plan.manifests
    ]
    path = f"{store.study(plan.study.study)}/study.yaml"
    file = store.local_file(path)
    assert file is not None, "a bundle is unpacked into a folder"
    try:
        study = read_study(file)
        if others := _differing(plan.study.model_dump(mode="json"), study.model_dump(mode="json")):
            result.differences.append(f"{STORAGE}/{path}: has another {', '.join(others)} than plan.parquet")
        if references := file_references(study):
            result.notes.append(f"not planned anew: {', '.join(references)} is code, and none is run here")
            return
        lacking = [name for name in plan.trainables if _is_lacking(name)]
        if lacking:
            result.notes.append(f"not planned anew: the method {', '.join(lacking)} is not installed here")
            return
        again = plan_study(study, manifest_opener(manifests), plan.device)
    except InputError as error:
        result.differences.append(f"{STORAGE}/{path}: does not make the plan: {error}")
        return
    result.differences += [
        f"{STORAGE}/{path}: does not make the {what.replace('_', ' ')} of plan.parquet"
        for what in _differing(_facts(plan, versions), _facts(again, versions))
    ]


def _differing(stored: Mapping[str, object], again: Mapping[str, object]) -> list[str]:
    return [name for name in stored if stored[name] != again.get(name)]


def _facts(plan: Plan, versions: Collection[str]) -> dict[str, object]:
    """All of a plan that follows from its study and data sets, where ``versions`` are others here."""
    facts = plan.model_dump(mode="json", exclude={**_APART, **(_NEWER if versions else {})})
    trials = [(t.id, t.cell, t.seed, t.fold, t.manifest, t.split) for t in plan.trials]
    searches = {"searches": facts.pop("searched")} if isinstance(plan, SearchPlan) else {}
    return {"trials": trials, **searches, **facts}


def _is_lacking(method: str) -> bool:
    try:
        find_trainable(method)
    except InputError:
        return True
    return False


def _check_preregistration(plan: Plan, store: BundledStore, result: Verification) -> None:
    entries = read_preregistrations(store, plan.study.study)
    if not entries:
        result.notes.append("no preregistration: the storage of the study had none")
        return
    registered, planned = entries[-1].question, question_of(plan).question
    names = [name for name in planned if registered[name] != planned[name]]
    if names:
        path = f"{STORAGE}/{store.study(plan.study.study)}/registered.json"
        result.differences.append(f"{path}: its last entry has another {', '.join(names)} than the plan")


# The report -----------------------------------------------------------------------------------------------


def _check_report(
    files: Mapping[str, bytes], made: Mapping[str, bytes], versions: list[str], result: Verification
) -> None:
    """Compare the report byte by byte; where another version wrote it, the numbers of its tables."""
    written = {name: content for name, content in files.items() if name.startswith(f"{REPORT}/")}
    others = [name for name in sorted({*written, *made}) if written.get(name) != made.get(name)]

    # Equal versions make equal bytes. With others the words may be others, and numbers alone are compared.
    if not versions:
        if others:  # in one line: all follow from the same records
            result.differences.append(f"{', '.join(others)}: does not follow from the records")
        return
    if others:
        result.notes.append(
            f"another version wrote the report, so numbers were compared and not bytes: {'; '.join(versions)}"
        )
    for name in others:
        if name.endswith(".csv"):
            old, new = written.get(name, b""), made.get(name, b"")
            result.differences += [f"{name}: {text}" for text in _differing_numbers(old, new)]


def _differing_numbers(written: bytes, made: bytes) -> list[str]:
    """Sentences on numbers of two CSV files that differ by more than rounding, in the columns of both."""
    old, new = (list(csv.DictReader(io.StringIO(text.decode()))) for text in (written, made))
    if len(old) != len(new):
        return [f"{len(old)} rows, and {len(new)} follow from the records"]
    texts = [
        f"{column} in row {number} is {before[column] or 'empty'}, and {after[column] or 'nothing'} follows "
        "from the records"
        for number, (before, after) in enumerate(zip(old, new, strict=True), start=1)
        for column in before
        if column in after and not _equal(before[column], after[column])
    ]
    more = [f"{len(texts) - _NAMED} further numbers differ"] if len(texts) > _NAMED else []
    return texts[:_NAMED] + more


def _equal(before: str, after: str) -> bool:
    """False where two numbers differ, or a number stands where there is none; texts are wording."""
    old, new = _number(before), _number(after)
    if before == after or (old is None and new is None):
        return True
    if old is None or new is None:
        return False
    return math.isclose(old, new, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):  # the former of a row that is too short or too long
        return None


def _check_description(
    files: Mapping[str, bytes], results: StudyResults, program: Program, result: Verification
) -> None:
    """Make the description again, with the hashes that it lists: those of files were compared before."""
    listed = crate_facts(_read(files, METADATA))
    if crate_bytes(listed, results, program) != files[METADATA]:
        result.differences.append(f"{METADATA}: not the one that follows from {PROGRAM} and the records")


def _read(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise InputError(f"a bundle has a {name}, found none. Fetch it again.")
    return files[name]


def _refuse_huge(name: str, content: bytes) -> None:
    """Refuse a table that cannot be read, or unfolds into more than memory holds.

    Raises:
        InputError: Naming it with what it unfolds into.
    """
    try:
        facts = pq.read_metadata(pa.BufferReader(content))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"a table of a bundle is Parquet, found {name}: {error}") from None
    unpacked = sum(facts.row_group(number).total_byte_size for number in range(facts.num_row_groups))
    if facts.num_rows * facts.num_columns > _MOST_ROWS or unpacked > _MOST_BYTES:
        raise InputError(
            f"a table of a bundle has at most {_MOST_ROWS:,} values and {_MOST_BYTES:,} bytes, found "
            f"{facts.num_rows * facts.num_columns:,} and {unpacked:,} in {name}."
        )
