"""MLflow, as a mirror of the records."""

from assay.tracking.mlflow import (
    MlflowMirror,
    SyncReport,
    default_uri,
    ui_command,
    ui_environment,
    why_refused,
)

__all__ = ["MlflowMirror", "SyncReport", "default_uri", "ui_command", "ui_environment", "why_refused"]
