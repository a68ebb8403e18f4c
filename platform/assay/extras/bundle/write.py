"""Make the files of a bundle from a storage, which :mod:`assay.extras.bundle.archive` packs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from assay.analysis.results.reading import read_results
from assay.analysis.results.results import StudyResults
from assay.api.opened_storage import parameter_importance
from assay.extras.bundle import METADATA, PROGRAM, STORAGE
from assay.extras.bundle.contents import BundledStore, report_files, study_files
from assay.extras.bundle.crate import crate_bytes, facts_of
from assay.extras.bundle.manifests import manifest_files
from assay.extras.bundle.program import Program, installed_packages
from assay.storage import Store
from assay.storage.plans import LEFT_OUT
from assay.study import Plan
from trainables.data import Manifest
from trainables.data.readers import READERS
from trainables.data.spec import DataSpec
from trainables.errors import InputError

__all__ = ["bundle_files"]


def bundle_files(store: Store, name: str, open_manifest: Callable[[DataSpec], Manifest]) -> dict[str, bytes]:
    """Path → content of all files of a study's bundle.

    The report is made from the copies that the bundle holds, so that a study that still trains has one that
    fits its records.

    Raises:
        InputError: If the study was never started or has no record, or its data are not at hand or others.
    """
    stored, left_out = study_files(store, name)
    with TemporaryDirectory(prefix="assay-bundle-") as folder:
        copy = BundledStore.write(Path(folder), stored, left_out)
        results = read_results(copy, name, parameter_importance)
        if not results.records:
            raise InputError(
                f"a bundle holds the records of a study, found none of {name} in {store.uri}. Train it first."
            )
        files = {f"{STORAGE}/{path}": content for path, content in stored.items()}
        files |= manifest_files(results.plan, open_manifest)
        files |= report_files(results)
        program = Program.here(results.plan)
        files |= {
            LEFT_OUT: json.dumps(left_out, sort_keys=True, indent=1).encode(),
            PROGRAM: program.file_bytes(),
            "requirements.txt": installed_packages(),
            "README.md": _readme(results).encode(),
            "LICENCES.md": _licences(results.plan).encode(),
        }
        files[METADATA] = crate_bytes(facts_of(files), results, program)
    return files


def _readme(results: StudyResults) -> str:
    return f"""\
# {results.name}

{results.plan.study.question.strip()}

- `report/report.html` is the answer. `report/report.csv` and the files beside it are its numbers.
- `storage/` holds the question (`study.yaml`), all planned trials (`plan.parquet`), what was asked before the
  first trial (`registered.json`) and a record for each trial.
- `manifests/` names the images and masks with their sha256. No image is in this archive.
- `left_out.json` lists the files of trials that are not here: pictures, models, logs.

`assay verify` of this archive makes the plan and the report again and names every byte that differs.
`requirements.txt` and `program.json` say with which versions it does so to the last byte.
"""


def _licences(plan: Plan) -> str:
    readers = [READERS.find(name) for name in sorted({each.reader for each in plan.manifests.values()})]
    rows = "\n".join(f"| {reader.title} | {reader.licence} | {reader.citation} |" for reader in readers)
    return f"""\
# Licences

No image is in this archive. Names, hashes and scores of images come from these data:

| data | licence | cite |
|---|---|---|
{rows}

The program assay, which wrote plan, records and report, is under Apache-2.0. The study, its records and its
report belong to those who ran it: ask them where they name no licence.
"""
