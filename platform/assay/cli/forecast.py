"""The output of `assay plan --forecast`: hours and memory, per kind of trial and in total."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from assay.cli.output import console, duration
from assay.cli.tables import text_table
from trainables.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from assay.storage import Store
    from assay.storage.forecast import Forecast, Shape
    from assay.storage.timing import Machine
    from assay.study import Plan

__all__ = ["format_truth", "make_forecast", "show_forecast", "this_machine"]

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
    return Machine(data, cache, torch.device("cuda" if need.gpus else "cpu"), max(1, at_once))


def _table(forecast: Forecast) -> Table:
    rows = [
        (
            _cells(shape),
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


def _cells(shape: Shape) -> str:
    more = len(shape.cells) - _CELLS
    return ", ".join(shape.cells[:_CELLS]) + (f" and {more} more" if more > 0 else "")


def _source(shape: Shape) -> str:
    from assay.study.names import counted

    return counted(shape.seen, "finished trial" if shape.source == "finished trials" else "step")
