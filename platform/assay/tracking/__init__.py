"""MLflow, as a mirror of the records."""

from assay.tracking.addresses import (
    default_uri,
    ui_command,
    ui_environment,
    why_away,
    why_refused,
    why_unknown,
)
from assay.tracking.database_file import complete_file
from assay.tracking.mlflow import MlflowMirror, SyncReport

__all__ = [
    "MlflowMirror",
    "SyncReport",
    "complete_file",
    "default_uri",
    "ui_command",
    "ui_environment",
    "why_away",
    "why_refused",
    "why_unknown",
]
