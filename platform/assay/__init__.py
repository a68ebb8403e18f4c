"""assay: ablation and hyperparameter studies of surface-defect segmentation on a Ray cluster.

>>> import assay
>>> results = assay.open("./assay-storage").study("quickstart")
>>> results.summary("image_ap")[0].mean

``results`` is a :class:`~assay.analysis.results.StudyResults`: what reports, dashboard and MLflow read, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.opened_storage import OpenedStorage

__all__ = ["open"]

__version__ = "0.1.0"


def open(storage: str = "./assay-storage") -> OpenedStorage:
    """Open the results in a folder, or at a URI that pyarrow knows (``s3://bucket/assay``).

    Raises:
        InputError: If there can be no storage.
    """
    from assay.opened_storage import OpenedStorage

    return OpenedStorage.at(storage)
