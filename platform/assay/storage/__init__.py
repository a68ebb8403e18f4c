"""Records, summaries and tables: what a study leaves on disk, and how it is read."""

from assay.storage.lease import Lease
from assay.storage.progress import Progress
from assay.storage.record import (
    DamagedRecord,
    Environment,
    Record,
    Result,
    Worker,
)
from assay.storage.store import Attempt, AttemptStart, DamagedFileError, Store

__all__ = [
    "Attempt",
    "AttemptStart",
    "DamagedFileError",
    "DamagedRecord",
    "Environment",
    "Lease",
    "Progress",
    "Record",
    "Result",
    "Store",
    "Worker",
]
