"""Preregistration: a question as it was when its study began, and how often it was looked at, beside the
plan.

`assay run` writes an entry before anything trains: primary metric, `resolve`, comparisons and looks, with the
study's hash and the time. A later run of another question adds an entry and alters none, so a page can say
what was changed, and when.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict

from assay.storage.files.checksum import read_checksummed, write_checksummed
from assay.storage.plans import stored_plan
from assay.storage.search_points import known_replicas
from assay.storage.store import Store
from assay.study import Comparison, Plan, SearchPlan, Study, reported_plan
from assay.study.names import counted
from assay.study.planning.identity import canonical_json, short_hash
from trainables.data.inspect.findings import summarise
from trainables.errors import InputError

__all__ = [
    "FEWEST_SEEDS",
    "Preregistration",
    "added_seeds_warning",
    "format_changes",
    "format_replaced_looks",
    "preregister",
    "question_of",
    "read_interim_looks",
    "read_preregistrations",
    "record_interim_look",
    "replaced_looks_warning",
]

_FROZEN = ConfigDict(frozen=True, extra="forbid")
FEWEST_SEEDS = 6  # at which an exact test can show anything
_KEYS = 4  # that are named of those that changed
# What an entry says beside the question: when it was asked, by whom, and with what it was answered.
_AROUND = {"at", "ended", "ended_before", "seeds", "asked_by", "of_winners", "keys"}


class Preregistration(BaseModel):
    """One entry: the question at one time."""

    model_config = _FROZEN
    at: datetime
    ended: int  # trials of this question that had a record by then; of the first entry 0: nothing was known
    ended_before: int | None = None  # of the question before, and not of this one; None: unknown
    study: str  # hash of what the file asks
    primary: str
    resolve: float | None
    exact_test: str
    looks: tuple[int, ...]  # numbers of seeds at which verdicts come
    comparisons: tuple[str, ...]  # `off → on`, by the names of cells
    can_go: tuple[str, ...] = ()  # those of them that ask whether the right cell can go
    data_sets: tuple[str, ...] = ()  # claims over data sets: `stop: off → on over surface`
    cells: int
    points: int  # that a search may draw in all; 0: there is none
    data: tuple[str, ...]  # hashes of manifests
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    asked_by: str = ""  # a name of their own; empty: a person at the command line
    of_winners: tuple[str, ...]  # comparisons that a search may make beside
    keys: dict[str, str]  # key of the file (`metrics.report`) → hash of its value

    @property
    def question(self) -> Mapping[str, Any]:
        """The question alone."""
        return self.model_dump(exclude=_AROUND)


class _Entries(BaseModel):
    model_config = _FROZEN
    entries: tuple[Preregistration, ...]


def preregister(store: Store, plan: Plan, asked_by: str = "") -> None:
    """Note the question of a plan, unless it is the one that was noted last; ``asked_by``: who asks.

    It is called before :func:`~assay.storage.plans.write_plan`, which replaces the plan that was before.

    Raises:
        InputError: If what was noted before cannot be read.
    """
    name = plan.study.study
    entries = read_preregistrations(store, name)
    entry = question_of(plan)
    if entries and entries[-1].question == entry.question:
        return

    # How much had already ended is part of the entry: a question that was asked when results were there is
    # not one that was asked before.
    begun = {trial.id for trial in plan.trials} & set(store.trials())
    ended = len(store.records(begun)) + len(known_replicas(plan, store))
    facts: dict[str, object] = {"ended": ended, "asked_by": asked_by}
    if entries:
        facts["ended_before"] = _ended_before(store, plan)
    entry = entry.model_copy(update=facts)
    write_checksummed(store, _path(store, name), _Entries(entries=(*entries, entry)))


def _ended_before(store: Store, plan: Plan) -> int | None:
    """Count the records of what was planned before and is planned no more; None where no plan can be read."""
    try:
        earlier_plan = stored_plan(store, plan.study.study)
    except InputError:
        return None
    dropped = {trial.id for trial in earlier_plan.trials} - {trial.id for trial in plan.trials}
    return len(store.records(dropped & set(store.trials())))


def read_preregistrations(store: Store, study: str) -> tuple[Preregistration, ...]:
    """All entries of a study, the first one first; empty where it was not run, or the file was removed.

    Raises:
        InputError: If the file cannot be read.
    """
    file = read_checksummed(
        store,
        _path(store, study),
        _Entries,
        says="says what was asked before the first trial",
        way_out="Restore it, or remove it: the next `assay run` then registers the question as it is.",
    )
    return file.entries if file else ()


def format_changes(before: Preregistration, after: Preregistration) -> str:
    """``resolve 0.01 → 0.02, 1 comparison added, 0 dropped, other `metrics.report`, question reworded``.

    Code of a method and images may change below the same text of the study file.
    """
    parts = [
        f"{name} {_text(old)} → {_text(new)}"
        for name, old, new in (
            ("primary metric", before.primary, after.primary),
            ("`resolve`", before.resolve, after.resolve),
            ("exact test", before.exact_test, after.exact_test),
            ("looks", before.looks, after.looks),
            ("points", before.points, after.points),
            ("method", ", ".join(before.methods), ", ".join(after.methods)),
        )
        if old != new
    ]
    added = len(set(after.comparisons) - set(before.comparisons))
    dropped = len(set(before.comparisons) - set(after.comparisons))
    if added or dropped:
        parts.append(f"{counted(added, 'comparison')} added, {dropped} dropped")

    # What has words of its own above is not repeated among the other keys.
    if before.can_go != after.can_go:
        parts.append(f"`can go` asked of {len(before.can_go)} → {counted(len(after.can_go), 'comparison')}")
    if before.data_sets != after.data_sets:
        claims = counted(len(after.data_sets), "comparison")
        parts.append(f"claimed over data sets: {len(before.data_sets)} → {claims}")
    compared = all(
        getattr(before, part) == getattr(after, part) for part in ("comparisons", "can_go", "data_sets")
    )
    others = list(_other_keys(before, after, compared=compared))
    if others:
        parts.append(f"other {summarise([f'`{key}`' for key in others], _KEYS)}")
    if before.keys.get("question") != after.keys.get("question"):
        parts.append("question reworded")
    if before.data != after.data and not any(key.startswith(("data.", "factors.")) for key in others):
        parts.append("other images, labels or masks")
    return ", ".join(parts) or "other text in the study file"


def format_replaced_looks(entries: Sequence[Preregistration]) -> str:
    """``at 6 seeds, at 6, 8, 10 seeds``: looks that others replaced after they may have shown something.

    They may have where every cell that stayed can have had the seeds of the first of them by then.
    """
    replaced = [
        _text(before.looks)
        for before, after in pairwise(entries)
        if before.looks != entries[-1].looks
        and before.looks[-1] >= FEWEST_SEEDS
        and after.ended >= min(before.cells, after.cells) * before.looks[0]
    ]
    return ", ".join(dict.fromkeys(replaced))


def _other_keys(before: Preregistration, after: Preregistration, *, compared: bool) -> Iterator[str]:
    """Keys whose value differs, but those named anyway; ``compared``: the same pairs."""
    said = {"question", "resolve", "exact_test", "metrics.primary", "search.points"}
    if before.looks != after.looks:
        said |= {"repeats.seeds", "repeats.decide", "replicate.seeds"}
    if before.methods != after.methods:
        said.add("trainable")
    if not compared:
        said.add("comparisons")
    for key in dict.fromkeys([*before.keys, *after.keys]):
        if key not in said and before.keys.get(key) != after.keys.get(key):
            yield key


def question_of(plan: Plan) -> Preregistration:
    """The entry of a plan as of now, before any of its trials has a record."""
    study = plan.study
    repeats = study.replicate.seeds if study.replicate is not None else study.repeats.seeds
    return Preregistration(
        at=datetime.now(UTC),
        ended=0,
        asked_by="",
        study=study.content_hash,
        primary=study.metrics.primary,
        resolve=study.resolve,
        exact_test=study.exact_test,
        looks=study.repeats.decide or (len(repeats),),
        comparisons=_pairs(plan.comparisons),
        can_go=_pairs(asked for asked in plan.comparisons if asked.ask == "can go"),
        data_sets=tuple(sorted(f"{c.name} over {c.over}" for c in plan.comparisons if c.over is not None)),
        cells=len(plan.designed),
        points=plan.budget * len(plan.searched) if isinstance(plan, SearchPlan) else 0,
        data=tuple(sorted(plan.manifests)),
        methods=tuple(sorted(plan.trainables)),
        seeds=tuple(sorted({*study.repeats.seeds, *(study.replicate.seeds if study.replicate else ())})),
        of_winners=tuple(_winner_comparisons(plan)),
        keys={key: short_hash(canonical_json(value)) for key, value in _values(study)},
    )


def _pairs(comparisons: Iterable[Comparison]) -> tuple[str, ...]:
    return tuple(sorted({f"{a} → {b}" for comparison in comparisons for a, b in comparison.pairs}))


def _values(study: Study) -> Iterator[tuple[str, object]]:
    """Values of the file by the keys of its blocks: those of which ``Study.content_hash`` is made."""
    for key, value in study.question_content.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{name}", of_block) for name, of_block in value.items())
        else:
            yield key, value


def _winner_comparisons(plan: Plan) -> Iterator[str]:
    """Comparisons of each winner with its start points, at most so many: a winner may be one of them."""
    replicate = plan.study.replicate
    if not isinstance(plan, SearchPlan) or replicate is None or plan.search.has_front:
        return
    for cell in dict.fromkeys(searched.design_cell for searched in plan.searched):
        if replicate.start:
            yield from (f"{cell}: start #{index} → best" for index in range(len(plan.study.start)))


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return f"at {', '.join(map(str, value))} seeds"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _path(store: Store, study: str) -> str:
    return f"{store.study(study)}/registered.json"


# Looks at a study ---------------------------------------------------------------------------------
#
# The looks at a study with other numbers of seeds.
#
# Adding seeds until p is small finds something in 10 % of studies where nothing is. So every number of seeds
# at which `assay run` ended with all trials done is a look, and the looks at which the test could have spoken
# share one error: the first may spend all of it. Seeds that were declared at the start are one look, however
# often the run was interrupted. A look keeps the seeds that it saw, because the study's file may name those
# that come later in front of them.


class _InterimLooks(BaseModel, frozen=True, extra="forbid"):
    seeds: tuple[tuple[int, ...], ...]


def read_interim_looks(store: Store, study: str) -> tuple[tuple[int, ...], ...]:
    """The seeds with which the study was analysed so far, look by look.

    Raises:
        InputError: If the file cannot be read: without it p-values would look better than they are.
    """
    looks = read_checksummed(
        store,
        _looks_path(store, study),
        _InterimLooks,
        says="counts how often the study was analysed",
        way_out="Restore it, or remove it to start counting anew.",
    )
    return looks.seeds if looks else ()


def record_interim_look(store: Store, plan: Plan) -> None:
    """Note that the study is analysed with the seeds that its plan has."""
    reported = reported_plan(plan)
    seeds = tuple(dict.fromkeys(trial.seed for trial in reported.trials))
    known = read_interim_looks(store, plan.study.study)
    noted = any({*look} == {*seeds} for look in known)
    if len(reported.cells) > 1 and seeds and not noted:
        write_checksummed(store, _looks_path(store, plan.study.study), _InterimLooks(seeds=(*known, seeds)))


def added_seeds_warning(store: Store, plan: Plan) -> str | None:
    """Warn before repeats train that were added after a look: it left little to show with them."""
    seeds = len({trial.seed for trial in reported_plan(plan).trials})
    looks = read_interim_looks(store, plan.study.study)

    # A look counts if there were enough seeds to decide anything, and fewer than now.
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
    replaced = format_replaced_looks(read_preregistrations(store, plan.study.study))
    if not replaced or not plan.study.repeats.decide:
        return None
    return (
        f"`repeats.decide` replaces looks {replaced}, which may have shown something: they count for nothing "
        "in what comes. Where nothing differs, both together show something in more than 5 % of studies, and "
        "what was shown may be open again. A new study with fresh seeds keeps to 5 %"
    )


def _looks_path(store: Store, study: str) -> str:
    return f"{store.study(study)}/looks.json"
