"""The plans that lie in a storage, as the last `assay run` of each study wrote them."""

from __future__ import annotations

import pyarrow as pa
from pydantic import ValidationError

from assay.storage.gc_paused import collector_paused
from assay.storage.search_points import with_points
from assay.storage.store import Store
from assay.study import Plan
from trainables.errors import InputError

__all__ = ["stored_plan", "stored_plans", "written_plan"]


def stored_plan(store: Store, name: str) -> Plan:
    """The plan of a study as its last `assay run` wrote it; of a search, with the points drawn since.

    Raises:
        InputError: If it was never started, or what is there cannot be read.
    """
    return with_points(written_plan(store, name), store)


def written_plan(store: Store, name: str) -> Plan:
    """The plan of a study as its last `assay run` wrote it; of a search, without points.

    Raises:
        InputError: If it was never started, or what is there cannot be read.
    """
    path = f"{store.study(name)}/plan.parquet"
    try:
        table = store.read_table(path)
    except FileNotFoundError:
        raise InputError(
            f"study {name} has no {path} in {store.uri}: it was never started. Run it with `assay run`."
        ) from None
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path} in {store.uri} cannot be read: {error}") from None
    try:
        with collector_paused():
            return Plan.from_table(table)
    except (KeyError, ValidationError):
        raise InputError(
            f"{path} in {store.uri} was written by another version of assay. `assay run` writes it anew."
        ) from None


def stored_plans(store: Store, but: str | None = None) -> list[Plan]:
    """The plans of all studies that were started in ``store``, but one."""
    started = [name for name in store.studies() if store.exists(f"{store.study(name)}/plan.parquet")]
    return [stored_plan(store, name) for name in started if name != but]
