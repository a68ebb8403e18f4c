"""Number of times that a study was looked at with other numbers of seeds.

Adding seeds until p is small finds something in 10 % of studies where nothing is. So every number of seeds
at which `assay run` ended with all trials done is a look, and p is multiplied by the looks at which the test
could have spoken. Seeds that were declared at the start are one look, however often the run was interrupted.
"""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from assay.storage.store import Store
from assay.study import Plan, reported_plan
from trainables.errors import InputError

__all__ = ["read_interim_looks", "record_look"]


class _Looks(BaseModel, frozen=True, extra="forbid"):
    seeds: tuple[int, ...] = ()


def read_interim_looks(store: Store, study: str) -> tuple[int, ...]:
    """Numbers of seeds at which the study was analysed so far, ascending.

    Raises:
        InputError: If the file cannot be read: without it p-values would look better than they are.
    """
    path = _path(store, study)
    try:
        return _Looks.model_validate_json(store.read_bytes(path)).seeds
    except FileNotFoundError:
        return ()
    except ValidationError as error:
        raise InputError(
            f"{path} in {store.uri} counts how often the study was analysed and cannot be read "
            f"({error.errors()[0]['msg']}). Restore it, or remove it to start counting anew."
        ) from None


def record_look(store: Store, plan: Plan) -> None:
    """Note that the study is analysed with the seeds that its plan has."""
    reported = reported_plan(plan)
    seeds = len({trial.seed for trial in reported.trials})
    known = read_interim_looks(store, plan.study.study)
    if len(reported.cells) > 1 and seeds and seeds not in known:
        looks = _Looks(seeds=tuple(sorted((*known, seeds))))
        store.write_bytes(_path(store, plan.study.study), looks.model_dump_json().encode())


def _path(store: Store, study: str) -> str:
    return f"{store.study(study)}/looks.json"
