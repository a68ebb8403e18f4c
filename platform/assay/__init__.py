"""assay: ablation and hyperparameter studies of surface-defect segmentation on a Ray cluster.

>>> import assay
>>> study = assay.run("tiny.yaml", local=True)
>>> sorted(study.comparisons()["metric"])
['fn', 'fp', 'image_ap']

The name of a study that comes with assay, such as ``"quickstart"``, may stand in the file's place.
docs/python.md shows what there is. Everything is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from assay.version import VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from assay.api.functions import data, plan, run, train
    from assay.api.opened_storage import OpenedStorage
    from assay.study import Study
    from trainables.contract import LocalRun
    from trainables.errors import InputError, StorageError

__all__ = ["InputError", "LocalRun", "StorageError", "Study", "data", "open", "plan", "run", "train"]

__version__ = VERSION

_MODULES = {
    **dict.fromkeys(("data", "plan", "run", "train"), "assay.api.functions"),
    "Study": "assay.study",
    "LocalRun": "trainables.contract",
    **dict.fromkeys(("InputError", "StorageError"), "trainables.errors"),
}


def open(storage: str | Path = "./assay-storage") -> OpenedStorage:
    """Open the results in a folder, or at a URI that pyarrow knows (``s3://bucket/assay``).

    Raises:
        InputError: If there can be no storage.

    Example:
        >>> assay.open("assay-storage").study("tiny")
        <study tiny: 4 trials of 2 variants: 4 finished. Data: synthetic, 40 images, 16 defective.>
    """
    from assay.api.opened_storage import OpenedStorage

    return OpenedStorage.at(storage)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
