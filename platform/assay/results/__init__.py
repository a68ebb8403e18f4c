"""Records, summaries and tables: what a study leaves on disk, and how it is read."""

from assay.results.lease import Lease
from assay.results.progress import Progress
from assay.results.record import Environment, Problem, Record, Result, StageResult, Thresholds, Worker
from assay.results.store import Attempt, AttemptStart, DamagedFileError, RecordSet, Store

__all__ = [
    "Attempt",
    "AttemptStart",
    "DamagedFileError",
    "Environment",
    "Lease",
    "Problem",
    "Progress",
    "Record",
    "RecordSet",
    "Result",
    "StageResult",
    "Store",
    "Thresholds",
    "Worker",
]
