"""Number of times that a study was looked at with other numbers of seeds.

Adding seeds until p is small finds something in 10 % of studies where nothing is. So every number of seeds
at which `assay run` ended with all trials done is a look, and the looks at which the test could have spoken
share one error: the first may spend all of it. Seeds that were declared at the start are one look, however
often the run was interrupted.
"""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from assay.storage.checksum import with_checksum, without_checksum
from assay.storage.files import json_bytes
from assay.storage.store import Store
from assay.study import Plan, reported_plan
from trainables.errors import InputError

__all__ = ["added_seeds_warning", "read_interim_looks", "record_look"]


_FEWEST = 6  # seeds at which an exact test can show anything


class _Looks(BaseModel, frozen=True, extra="forbid"):
    seeds: tuple[int, ...] = ()


def read_interim_looks(store: Store, study: str) -> tuple[int, ...]:
    """Numbers of seeds at which the study was analysed so far, ascending.

    Raises:
        InputError: If the file cannot be read: without it p-values would look better than they are.
    """
    path = _path(store, study)
    try:
        content, checksum = without_checksum(store.read_bytes(path))
        looks = _Looks.model_validate_json(content)
    except FileNotFoundError:
        return ()
    except ValidationError as error:
        raise _damaged(store, path, f"cannot be read ({error.errors()[0]['msg']})") from None
    if checksum == "wrong":
        raise _damaged(store, path, "was changed since it was written")
    return looks.seeds


def record_look(store: Store, plan: Plan) -> None:
    """Note that the study is analysed with the seeds that its plan has."""
    reported = reported_plan(plan)
    seeds = len({trial.seed for trial in reported.trials})
    known = read_interim_looks(store, plan.study.study)
    if len(reported.cells) > 1 and seeds and seeds not in known:
        looks = _Looks(seeds=tuple(sorted((*known, seeds))))
        content = json_bytes(looks.model_dump(mode="json"))
        store.write_bytes(_path(store, plan.study.study), with_checksum(content))


def added_seeds_warning(store: Store, plan: Plan) -> str | None:
    """Warn before repeats train that were added after a look: it left little to show with them."""
    seeds = len({trial.seed for trial in reported_plan(plan).trials})
    spent = [k for k in read_interim_looks(store, plan.study.study) if _FEWEST <= k < seeds]
    if not spent or plan.study.repeats.decide:
        return None
    return (
        f"seeds were added after verdicts at {', '.join(map(str, spent))} seeds: those looks spent most "
        "of the error of 5 %, so further seeds show little that was open. A new study with `repeats.decide` "
        "and fresh seeds has all of it"
    )


def _damaged(store: Store, path: str, what: str) -> InputError:
    return InputError(
        f"{path} in {store.uri} counts how often the study was analysed and {what}. Restore it, or remove it "
        "to start counting anew."
    )


def _path(store: Store, study: str) -> str:
    return f"{store.study(study)}/looks.json"
