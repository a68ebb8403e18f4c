"""Trained trials and their exports, each made once a session and only if a test asks for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from assay.exports import EXPORTS
from assay.production.check import Check, check_photos
from assay.production.export import export_model
from assay.storage import Record, Store
from tests.production.trained import train


class Trained(NamedTuple):
    """A storage with one trained trial."""

    store: Store
    record: Record


class Exported(NamedTuple):
    """An export as a user gets it."""

    folder: Path
    check: Check


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> Callable[[str], Trained]:
    """Train the trial of a study in ``trained.STUDIES``."""

    @cache
    def make(name: str) -> Trained:
        store = Store(tmp_path_factory.mktemp(name))
        return Trained(store, train(name, store, cache_root))

    return make


@pytest.fixture(scope="session")
def exported(
    trained: Callable[[str], Trained], tmp_path_factory: pytest.TempPathFactory, cache_root: Path
) -> Callable[[str, str], Exported]:
    """Export that trial as ``onnx`` or ``mlflow``."""

    @cache
    def make(name: str, form: str) -> Exported:
        store, record = trained(name)
        folder = tmp_path_factory.mktemp(f"{name}-{form}") / "export"
        photos = check_photos(store, record, None, cache_root)
        return Exported(folder, export_model(store, record, EXPORTS[form], folder, photos))

    return make
