"""`assay best`: the winner of a search as a study file of its own."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.answers import AsJson, answers
from assay.cli.options import DEFAULT_STORAGE, Storage

if TYPE_CHECKING:
    from assay.analysis.results import StudyResults
    from assay.storage.search_points import EvaluatedPoint
    from assay.study.search import Search

__all__ = ["best", "command_for", "register"]

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="The search: its name or file.")]
As = Annotated[str, typer.Option("--as", metavar="NAME", help="Name of the new study.")]
CellName = Annotated[
    str | None,
    typer.Option("--cell", metavar="CELL", help="Whose winner, where several cells were searched."),
]
PointNumber = Annotated[
    int | None,
    typer.Option("--point", metavar="N", help="Which point, `base #N`; default: the best. A front has none."),
]
Output = Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write here, not to stdout.")]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: assay best my_search --as my_best --output studies/my_best.yaml")(best)


def best(
    study: StudyName,
    name: As,
    *,
    cell: CellName = None,
    point: PointNumber = None,
    output: Output = None,
    as_json: AsJson = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Write the best point of a search as a study: its settings spelled out, on the search's fresh seeds.

    Best is what the objective says on validation images. Of a search that is not over, the best so far. With
    several objectives no point is best: the front is listed, and --point takes one of it.
    """
    import re

    from assay.cli.files import refuse_input
    from assay.cli.lookup import study_results
    from assay.report.search_tables import search_line
    from assay.storage.search_points import best_points
    from assay.study.names import NAME_PATTERN
    from assay.study.writing import study_of_point
    from trainables.errors import InputError

    if not re.match(NAME_PATTERN, name):
        raise InputError(f"a study is named like {NAME_PATTERN}, found --as {name!r}.")
    refuse_input(output, study)
    results = study_results(storage, study)
    plan = results.plan
    if name == results.name:
        raise InputError(f"a study of its own has a name of its own, found --as {name}: that of the search.")
    if plan.study.search is None:
        raise InputError(f"{plan.study.study} is no search: its study file says all that it trains.")
    cells = {searched.cell.name: searched for searched in plan.searched}
    if cell is None and len(cells) > 1:
        names = ", ".join(f'"{name}"' for name in cells)  # `base, fold 0` has a comma of its own
        raise InputError(f"{plan.study.study} searched several cells. Choose one with --cell: {names}.")
    searched = cells.get(cell or next(iter(cells)))
    if searched is None:
        raise InputError(f"{plan.study.study} has no cell {cell}. It searched {', '.join(cells)}.")
    points = results.evaluated_points[searched.cell.name]
    ranked = best_points(plan, points)
    if not ranked:
        raise InputError(
            f"no point of {plan.study.study} is finished yet. `assay status` shows how far it is."
        )
    winner = _chosen(plan.study.search, ranked if point is None else points, point)
    is_best = winner is ranked[0] and not plan.study.search.has_front
    why = (
        f"{'The best point' if is_best else 'A point'} of {plan.study.study}: "
        f"{_described(plan.study.search, winner)} "
        f"(mean over {len(winner.repeats)} repeats). "
        f"{search_line(plan, {searched.cell.name: points})}"
    )
    text = study_of_point(
        plan, searched, winner.point, name, why, best=is_best, trained=results.records.keys()
    )
    if output is not None:
        output.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {output}", err=True)
    if as_json:
        from assay.report.answers.results import BestAnswer, objective_values

        answers().give(
            BestAnswer(
                study=plan.study.study,
                cell=searched.cell.name,
                point=winner.point.index,
                best=is_best,
                values=objective_values(plan.study.search.objectives, winner),
                repeats=len(winner.repeats),
                drawn=dict(winner.point.values),
                name=name,
                study_file=text,
            )
        )
    elif output is None:
        typer.echo(text, nl=False)


def command_for(results: StudyResults) -> str | None:
    """The command that takes a winner: the first one of several searches, the first point of a front.

    None where no point is finished.
    """
    from assay.storage.search_points import best_points

    search, name = results.plan.study.search, results.name
    for cell, points in results.evaluated_points.items():
        ranked = best_points(results.plan, points)
        if search is not None and ranked:
            command = f"assay best {name} --as {name[:59]}_best"
            several = f" --cell {shlex.quote(cell)}" if len(results.evaluated_points) > 1 else ""
            return command + several + (f" --point {ranked[0].point.index}" if search.has_front else "")
    return None


def _chosen(search: Search, points: Sequence[EvaluatedPoint], number: int | None) -> EvaluatedPoint:
    """The point of a number, or the best.

    Raises:
        InputError: If there is no such finished point, or a front and no number.
    """
    from trainables.errors import InputError

    if number is None and search.has_front:
        listed = "\n".join(f"  {_described(search, each)}" for each in points)
        raise InputError(
            f"the search has {len(search.objectives)} objectives, and none of the {len(points)} points of "
            f"its front is best. Take one with --point, such as --point {points[0].point.index}:\n{listed}"
        )
    chosen = points[0] if number is None else next((p for p in points if p.point.index == number), None)
    if chosen is None or chosen.value is None:
        state = "it was not drawn" if chosen is None else f"it is {chosen.status}"
        raise InputError(f"a point that becomes a study is finished, found --point {number}: {state}.")
    return chosen


def _described(search: Search, point: EvaluatedPoint) -> str:
    """``base #3, validation.image_ap 0.9795, latency_ms 4.1``."""
    from assay.report.front_tables import objective_text

    values = zip(search.objectives, point.values, strict=True)
    texts = (f"{goal.max or goal.min} {objective_text(goal, value)}" for goal, value in values)
    return ", ".join([point.point.name, *texts])
