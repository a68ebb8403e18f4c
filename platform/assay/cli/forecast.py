"""The time that a study takes, as `assay plan` says it: trainings until it is decided, hours, memory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assay.cli.output import console, duration, text_table
from trainables.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from assay.report.answers.plans import ExpectedTrainings
    from assay.storage import Store
    from assay.storage.forecast import Forecast, Shape
    from assay.storage.record import Record
    from assay.storage.timing import Machine
    from assay.study import Plan

__all__ = [
    "expected_of",
    "format_expected",
    "format_truth",
    "make_forecast",
    "show_forecast",
    "this_machine",
]

_CELLS = 3  # named of a shape that has more
_WORTH_SAYING = 0.9  # of a study's hours: timings differ by a tenth


def make_forecast(plan: Plan, store: Store, data: Path | None, cache: Path, start: float) -> Forecast:
    """Make the forecast, and keep it beside the study's results; ``start``: of the command's clock."""
    from assay.cli.live import LiveView
    from assay.storage.forecast import write_forecast
    from assay.storage.timing import forecast_study

    with LiveView(console(stderr=True), start=start) as view:
        forecast = forecast_study(plan, store, this_machine(plan, data, cache), view.message)
    write_forecast(store, plan.study.study, forecast)
    return forecast


def show_forecast(forecast: Forecast, threads: int) -> None:
    """Print a forecast of trials that ask for so many threads of a CPU."""
    out = console()
    if not any(shape.missing for shape in forecast.shapes):
        out.print("forecast: nothing is left to train")
        return
    out.print(_table(forecast))
    for reason in forecast.untimed:
        out.print(f"not timed: stages after one that was cut short ({reason})")
    out.print(
        f"forecast: {duration(forecast.hours * 3600)} here, {forecast.places} at a time "
        f"({duration(forecast.trial_hours * 3600)} one after the other), "
        "and ten seconds or so to start a pack"
    )
    alone = forecast.with_one_thread(threads)
    if alone is not None and alone.hours < _WORTH_SAYING * forecast.hours:
        out.print(
            f"with resources: {{cpus: 1}} {duration(alone.hours * 3600)}, {alone.places} at a time: with one "
            f"thread a trial takes {forecast.one_thread:.1f} times as long"
        )
    if forecast.places > 1:
        out.print("trials beside each other share memory and caches: they may take longer than one alone")


def format_truth(store: Store, plan: Plan) -> str | None:
    """``8 finished trials took 2 h 10 min …, the forecast said 2 h``; None where there was no forecast."""
    from assay.storage.forecast import read_forecast
    from assay.study.names import counted

    forecast = read_forecast(store, plan.study)
    if forecast is None:
        return None
    of_cell = {cell: shape.seconds for shape in forecast.shapes for cell in shape.cells}
    cell_of = {trial.id: trial.cell for trial in plan.trials}
    records = store.records(cell_of).values()
    known = [record for record in records if record.status == "finished" and cell_of[record.id] in of_cell]
    if not known:
        return None
    expected = sum(of_cell[cell_of[record.id]] for record in known)
    took = duration(sum(record.seconds for record in known))
    trials = counted(len(known), "finished trial")
    return f"{trials} took {took} one after the other, the forecast said {duration(expected)}"


def this_machine(plan: Plan, data: Path | None, cache: Path) -> Machine:
    """This machine as the place of a study.

    Raises:
        InputError: If it lacks the GPUs that a trial asks for.
    """
    import torch

    from assay.storage.timing import Machine

    need = plan.study.resources
    cores = len(os.sched_getaffinity(0))
    at_once = cores // (need.workers * need.cpus)
    if need.gpus:
        at_once = min(at_once, int(torch.cuda.device_count() / (need.workers * need.gpus)))
        if not at_once:
            raise InputError(
                f"a forecast is made where the study trains: it asks for {need.workers} worker(s) with "
                f"{need.gpus:g} GPU(s) each, and this machine has {torch.cuda.device_count()}. "
                "Make it there, or set resources.gpus: 0."
            )
    return Machine(data, cache, torch.device("cuda:0" if need.gpus else "cpu"), max(1, at_once))


def _table(forecast: Forecast) -> Table:
    from trainables.data.inspect.findings import summarise

    rows = [
        (
            summarise(shape.cells, _CELLS),
            f"{shape.missing} of {shape.trials}",
            duration(shape.seconds),
            f"{shape.memory_mb / 1024:.1f} GB",
            _source(shape),
        )
        for shape in forecast.shapes
    ]
    rows += [
        (f"stage {stage.name}", str(stage.missing), duration(stage.seconds), "–", "cut short, reckoned up")
        for stage in forecast.stages
    ]
    return text_table(("trials like", "remaining", "each takes", "memory", "known from"), rows)


def _source(shape: Shape) -> str:
    from assay.study.names import counted

    return counted(shape.seen, "finished trial" if shape.source == "finished trials" else "step")


def format_expected(expectations: Sequence[ExpectedTrainings]) -> Iterator[str]:
    """``expect 63 of 140 trainings (56–84 in 8 of 10 studies) where comparisons differ by 0.01 …``"""
    for expected in expectations:
        effect = expected.effect
        where = f"every comparison differs by {effect:g}" if effect else "nothing differs"
        spread = f"{expected.low}–{expected.high}" if expected.low < expected.high else str(expected.low)
        yield (
            f"where {where}: expect {expected.mean:.0f} of {expected.most} trainings ({spread} in "
            f"8 of 10 studies), {100 * expected.settled:.0f} % of comparisons settled"
        )
    for expected in expectations[:1]:
        yield f"spread of a difference: {expected.sd:.2g}, {expected.sd_source}"


def expected_of(
    planned: Plan, records: Mapping[str, Record], store: Store, effect: float | None
) -> list[ExpectedTrainings]:
    """Trainings that a study with `repeats.decide` will take; of any other study none.

    Args:
        planned: Of any study.
        records: Of its trials.
        store: Where other studies may know the spread.
        effect: True difference of every comparison; None: of `resolve`, and of nothing, until all is settled.
    """
    study = planned.study
    if not study.repeats.decide or study.resolve is None:
        return []
    from assay.analysis.reading import decisions_so_far

    decisions = decisions_so_far(planned, records)
    if effect is None and decisions is not None and decisions.over:
        return []  # nothing more trains
    from assay.report.answers.plans import ExpectedTrainings
    from assay.statistics.looks import (
        expected_trainings,
    )  # loads pandas and scipy.stats

    sd, source = _spread(planned, records, store)
    places = {cell.name: index for index, cell in enumerate(planned.cells)}
    pairs = {
        frozenset(pair): (places[pair[0]], places[pair[1]])
        for comparison in planned.comparisons
        for pair in comparison.pairs
    }
    trials = Counter(trial.cell for trial in planned.trials)
    per_seed = [trials[name] // len(study.repeats.seeds) for name in places]
    looks, most = study.repeats.decide, len(planned.trials)
    expectations: list[ExpectedTrainings] = []
    for size in (study.resolve, 0.0) if effect is None else (effect,):
        expected = expected_trainings(
            list(pairs.values()), per_seed, looks, effect=size, sd=sd, resolve=study.resolve
        )
        facts = {"mean": expected.mean, "low": expected.low, "high": expected.high, "most": most}
        spread = {"effect": size, "settled": expected.settled, "sd": sd, "sd_source": source}
        expectations.append(ExpectedTrainings.model_validate({**facts, **spread}))
    return expectations


def _spread(planned: Plan, records: Mapping[str, Record], store: Store) -> tuple[float, str]:
    """Standard deviation of a comparison's differences, and the words for its source."""
    import numpy as np

    from assay.analysis.ledger import spread_seen
    from assay.analysis.results import StudyResults
    from assay.analysis.study_analysis import so_far

    comparisons = so_far(StudyResults(planned, records)).comparisons if records else ()
    claim = comparisons[0].claim if comparisons else None  # the narrowest, which is the one that is decided
    seen = [np.var(r.differences, ddof=1) for r in comparisons if r.claim == claim and r.n > 2]
    if seen and sum(seen):
        return float(np.sqrt(np.mean(seen))), "as seen in this study so far"
    known = spread_seen(store, planned)
    if known is not None:
        return known[0], f"as seen over the seeds of {known[1]}"
    assert planned.study.resolve is not None, "the schema refuses `decide` without it"
    return planned.study.resolve, "assumed to be `resolve`: nothing was trained on these data yet"
