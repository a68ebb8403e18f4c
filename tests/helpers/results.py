"""What must be the same however often a trial was interrupted."""

from __future__ import annotations

from assay.storage import Record
from assay.storage.files.files import json_bytes

__all__ = ["result_bytes"]


def result_bytes(record: Record) -> bytes:
    """Canonical JSON of a record's id, status, reason and result, without times, machine and attempts."""
    return json_bytes(record.model_dump(mode="json", include={"id", "status", "reason", "result"}))
