"""Records, summaries and tables: what a study leaves on disk, and how it is read."""

from assay.storage.lease import Lease
from assay.storage.progress import Progress
from assay.storage.record import (
    Environment,
    Record,
    Result,
    StageResult,
    Thresholds,
    UnreadableRecord,
    Worker,
)
from assay.storage.store import Attempt, AttemptStart, DamagedFileError, Store

__all__ = [
    "Attempt",
    "AttemptStart",
    "DamagedFileError",
    "Environment",
    "Lease",
    "Progress",
    "Record",
    "Result",
    "StageResult",
    "Store",
    "Thresholds",
    "UnreadableRecord",
    "Worker",
]
