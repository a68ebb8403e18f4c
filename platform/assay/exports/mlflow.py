"""The export format `mlflow`: a folder that ``mlflow.pyfunc`` loads, without a pickle and without assay.

How it is written is a matter of :mod:`assay.tracking`, the one place that knows MLflow.
"""

from __future__ import annotations

from assay.tracking.pyfunc import PYFUNC as EXPORT

__all__ = ["EXPORT"]
