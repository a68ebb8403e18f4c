"""The storage inside a bundle, and the report that is made from it alone.

Of a trial go in: its record, predictions (names and scores of test images, no pixels), regions, curve, and
results under other conditions.
Photos and maps of test images, models and logs stay out. The bundle lists them with their sizes, so that the
report made from it names none of them as gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

from assay.analysis.ledger import study_ledger
from assay.analysis.results.reading import read_results
from assay.analysis.results.results import StudyResults
from assay.extras.bundle import REPORT
from assay.report.formats import FORMATS
from assay.storage import Store
from assay.storage.check.storage_format import FORMAT_FILE
from assay.storage.conditions import UNDER
from assay.storage.plans import OF_OTHERS, stored_plan
from assay.storage.record import Record, read_record
from trainables.plugins.method_files import is_file_method

__all__ = ["BundledStore", "damaged_files", "report_files", "study_files"]

_FORMS = ("csv", "html", "md")
_OF_STUDY = (
    "looks.json",
    "plan.parquet",
    "registered.json",
    "search.jsonl",
    "study.yaml",
    "summary.parquet",
)
_OF_TRIAL = ("curve.parquet", "predictions.parquet", "regions.parquet")


class BundledStore(Store):
    """The storage of a bundle: files that were left out count as there, with the sizes that they had."""

    left_out: Mapping[str, int]  # path → bytes

    @classmethod
    def write(cls, folder: Path, files: Mapping[str, bytes], left_out: Mapping[str, int]) -> Self:
        """Write the files below an empty folder and open it."""
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        store = cls(folder)
        store.left_out = left_out
        return store

    def sizes(self, folder: str, names: Iterable[str]) -> dict[str, int]:
        """Bytes of files below a folder, those that were left out among them; 0 for one that is gone."""
        there = super().sizes(folder, names)
        return {name: size or self.left_out.get(f"{folder}/{name}", 0) for name, size in there.items()}


def study_files(store: Store, name: str) -> tuple[dict[str, bytes], dict[str, int]]:
    """Read what a bundle holds of a storage.

    Returns:
        Path → content, and path → size of the files of its trials that stay out.

    Raises:
        InputError: If the study was never started, or its plan cannot be read.
    """
    plan = stored_plan(store, name)
    paths = [FORMAT_FILE, *(f"{store.study(name)}/{file}" for file in _OF_STUDY)]

    # The report counts the comparisons of all studies on the same data. What those registered and summed up
    # comes along, and nothing else of theirs.
    results = read_results(store, name)
    ledger = study_ledger(results)
    others = [page.study for page in ledger.pages] if ledger is not None else []
    paths += [f"{store.study(other)}/{file}" for other in others for file in OF_OTHERS]
    files = _read_present(store, dict.fromkeys(paths))
    for method in filter(is_file_method, plan.trainables):
        files |= _read_present(store, store.below(f"methods/{method}"))
    left_out: dict[str, int] = {}

    # Of each trial there are its record and the tables that the report is made from. Models, pictures and
    # logs stay out, and the archive says how large they were.
    for trial in plan.trials:
        folder = store.trial(trial.id)
        of_record = _read_present(store, [f"{folder}/record.json"])
        files |= of_record
        for content in of_record.values():
            record = read_record(content, trial.id, folder)
            if isinstance(record, Record):
                files |= _files_of(store, record)
                files |= _read_present(store, store.below(f"{folder}/{UNDER}"))
                outside = [path for path in record.files if path.rpartition("/")[2] not in _OF_TRIAL]
                sizes = store.sizes(folder, outside)
                left_out |= {f"{folder}/{path}": size for path, size in sizes.items() if size}
    return files, left_out


def report_files(results: StudyResults) -> dict[str, bytes]:
    """Path in the bundle → content of the report in each form, with what lies beside it."""
    return {
        f"{REPORT}/{path}": content
        for form in _FORMS
        for path, content in FORMATS[form].study_files(results, f"report{FORMATS[form].suffix}").items()
    }


def damaged_files(store: Store, results: StudyResults) -> Iterator[str]:
    """Sentences on records that cannot be believed, and on files that are not those of their records."""
    for problem in results.problems:
        yield f"{problem.path}: {problem.text}"
    for record in results.records.values():
        folder = store.trial(record.id)
        for path, content in _files_of(store, record).items():
            if hashlib.sha256(content).hexdigest() != record.files[path.removeprefix(f"{folder}/")]:
                yield f"{path}: not the file that its record names (sha256 differs)"


def _files_of(store: Store, record: Record) -> dict[str, bytes]:
    """Path → content of those files of a trial that a bundle holds."""
    folder = store.trial(record.id)
    inside = [path for path in record.files if path.rpartition("/")[2] in _OF_TRIAL]
    return _read_present(store, [f"{folder}/{path}" for path in inside])


def _read_present(store: Store, paths: Iterable[str]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for path in paths:
        try:
            files[path] = store.read_bytes(path)
        except FileNotFoundError:
            continue
    return files
