"""The looks at a study with other numbers of seeds.

Adding seeds until p is small finds something in 10 % of studies where nothing is. So every number of seeds
at which `assay run` ended with all trials done is a look, and the looks at which the test could have spoken
share one error: the first may spend all of it. Seeds that were declared at the start are one look, however
often the run was interrupted. A look keeps the seeds that it saw, because the study's file may name those
that come later in front of them.
"""

from __future__ import annotations

from pydantic import BaseModel

from assay.storage.registration import FEWEST_SEEDS, format_replaced_looks, read_registration
from assay.storage.store import Store
from assay.storage.vouched import read_vouched, write_vouched
from assay.study import Plan, reported_plan

__all__ = ["added_seeds_warning", "read_interim_looks", "record_look", "replaced_looks_warning"]


class _Looks(BaseModel, frozen=True, extra="forbid"):
    seeds: tuple[tuple[int, ...], ...]


def read_interim_looks(store: Store, study: str) -> tuple[tuple[int, ...], ...]:
    """The seeds with which the study was analysed so far, look by look.

    Raises:
        InputError: If the file cannot be read: without it p-values would look better than they are.
    """
    looks = read_vouched(
        store,
        _path(store, study),
        _Looks,
        says="counts how often the study was analysed",
        way_out="Restore it, or remove it to start counting anew.",
    )
    return looks.seeds if looks else ()


def record_look(store: Store, plan: Plan) -> None:
    """Note that the study is analysed with the seeds that its plan has."""
    reported = reported_plan(plan)
    seeds = tuple(dict.fromkeys(trial.seed for trial in reported.trials))
    known = read_interim_looks(store, plan.study.study)
    noted = any({*look} == {*seeds} for look in known)
    if len(reported.cells) > 1 and seeds and not noted:
        write_vouched(store, _path(store, plan.study.study), _Looks(seeds=(*known, seeds)))


def added_seeds_warning(store: Store, plan: Plan) -> str | None:
    """Warn before repeats train that were added after a look: it left little to show with them."""
    seeds = len({trial.seed for trial in reported_plan(plan).trials})
    looks = read_interim_looks(store, plan.study.study)
    numbers = sorted({len(look) for look in looks})
    spent = [number for number in numbers if FEWEST_SEEDS <= number < seeds]
    if not spent or plan.study.repeats.decide:
        return None
    return (
        f"seeds were added after verdicts at {', '.join(map(str, spent))} seeds: those looks spent most "
        "of the error of 5 %, so further seeds show little that was open. A new study with `repeats.decide` "
        "and fresh seeds has all of it"
    )


def replaced_looks_warning(store: Store, plan: Plan) -> str | None:
    """Warn where `repeats.decide` came, or was changed, after verdicts: its looks count none before them."""
    replaced = format_replaced_looks(read_registration(store, plan.study.study))
    if not replaced or not plan.study.repeats.decide:
        return None
    return (
        f"`repeats.decide` replaces looks {replaced}, which may have shown something: they count for nothing "
        "in what comes. Where nothing differs, both together show something in more than 5 % of studies, and "
        "what was shown may be open again. A new study with fresh seeds keeps to 5 %"
    )


def _path(store: Store, study: str) -> str:
    return f"{store.study(study)}/looks.json"
