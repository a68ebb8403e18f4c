"""MLflow, as a mirror of the records."""

from assay.tracking.mlflow import UI_ENVIRONMENT, MlflowMirror, SyncReport, default_uri, ui_command

__all__ = ["UI_ENVIRONMENT", "MlflowMirror", "SyncReport", "default_uri", "ui_command"]
