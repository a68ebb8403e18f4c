"""MLflow, kept in step with the records: the MLflow sync."""

from assay.tracking.addresses import (
    default_uri,
    ui_command,
    ui_environment,
    why_away,
    why_refused,
    why_unknown,
)
from assay.tracking.database_file import complete_file
from assay.tracking.mlflow import MlflowSync, SyncReport

__all__ = [
    "MlflowSync",
    "SyncReport",
    "complete_file",
    "default_uri",
    "ui_command",
    "ui_environment",
    "why_away",
    "why_refused",
    "why_unknown",
]
