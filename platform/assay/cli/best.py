"""`assay best`: the winner of a search, or its front, and a point of it as a study file of its own."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from assay.cli.answers import AsJson, answers
from assay.cli.files import check_output, replace_file
from assay.cli.lookup import study_results
from assay.cli.options import DEFAULT_STORAGE, NewFile, Storage, in_use
from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.analysis.search_front import FrontPoint
    from assay.analysis.search_results import SearchResults
    from assay.storage.search_points import EvaluatedPoint
    from assay.study.search import Search

__all__ = ["best", "command_for", "offered_points", "way_on"]

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="The search: its name or file.")]
As = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Name of the new study. Without it the point is only named."),
]
Design = Annotated[
    Literal["leave_one_out"] | None,
    typer.Option("--design", help="Write a study that takes the point apart, one change after the other."),
]
CellName = Annotated[
    str | None,
    typer.Option("--cell", metavar="CELL", help="Whose winner, where several cells were searched."),
]
PointNumber = Annotated[
    int | None,
    typer.Option("--point", metavar="N", help="Which point, `base #N`; default: the best. A front has none."),
]


def best(
    study: StudyName,
    name: As = None,
    *,
    design: Design = None,
    cell: CellName = None,
    point: PointNumber = None,
    output: NewFile = None,
    as_json: AsJson = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Say which point of a search is best. With --as, write it as a study on the search's fresh seeds.

    With --design leave_one_out that study takes the point apart: each setting that the search changed is back
    where the search started, one at a time.

    Best is what the objective says on validation images. Of a search that is not over, the best so far. With
    several objectives no point is best: the front is listed, and --point takes one of it.
    """
    import re

    from assay.analysis.search_results import SearchResults
    from assay.report.search_tables import search_line
    from assay.storage.method_store import load_methods
    from assay.study.names import NAME_PATTERN, counted
    from assay.study.writing import study_of_point, study_that_leaves_one_out
    from trainables.catalogue import find_trainable

    if name is not None and not re.fullmatch(NAME_PATTERN, name):
        raise InputError(f"a study is named like {NAME_PATTERN}, found --as {name!r}.")
    made = {"--point": point, "--output": output, "--design": design}
    option = next((option for option, value in made.items() if value is not None), None)
    if name is None and option is not None:
        raise InputError(f"{option} makes a study, which has a name, found none. Add --as NAME.")
    check_output(output, study)
    results = study_results(storage, study)
    if name == results.name:
        raise InputError(f"a study of its own has a name of its own, found --as {name}: that of the search.")
    if not isinstance(results, SearchResults):
        raise InputError(f"{results.name} is no search: its study file says all that it trains.")
    plan = results.plan
    offered = _offered(results, cell)
    if name is None:
        _show(results, offered, storage, as_json=as_json)
        return
    if len(offered) > 1:
        names = ", ".join(f'"{each}"' for each in offered)  # `base, fold 0` has a comma of its own
        raise InputError(f"{plan.study.study} searched several cells. Choose one with --cell: {names}.")
    ((cell, best_ones),) = offered.items()
    searched = next(each for each in plan.searched if each.cell.name == cell)
    points = results.evaluated_points[cell]
    winner = _chosen(plan.search, best_ones, points, point)
    is_best = winner is best_ones[0].evaluated and not plan.search.has_front
    why = (
        f"{'The best point' if is_best else 'A point'} of {plan.study.study}: "
        f"{_valued(plan.search, winner)} "
        f"(mean over {counted(len(winner.repeats), 'repeat')}). "
        f"{search_line(plan, {searched.cell.name: points})}"
    )
    of_point, trained = (plan, searched, winner.point, name, why), results.records.keys()
    if design is None:
        text = study_of_point(*of_point, best=is_best, trained=trained)
    else:
        assert results.store is not None, "results of a storage"
        load_methods(results.store, [searched.cell.trainable])  # of a file, as the search trained it
        trainable = find_trainable(searched.cell.trainable)
        text = study_that_leaves_one_out(*of_point, trainable=trainable, trained=trained)
    if output is not None:
        replace_file(output, text.encode())
        typer.echo(f"wrote {output}", err=True)
    if as_json:
        from assay.report.answers.results import BestAnswer, objective_values

        answers().give(
            BestAnswer(
                study=plan.study.study,
                cell=searched.cell.name,
                point=winner.point.index,
                best=is_best,
                values=objective_values(plan.search.objectives, winner),
                repeats=len(winner.repeats),
                drawn=dict(winner.point.values),
                name=name,
                study_file=text,
            )
        )
    elif output is None:
        typer.echo(text, nl=False)


def offered_points(results: SearchResults, cell: str) -> list[FrontPoint]:
    """The best point of a searched cell, or its front; empty while no point is finished."""
    from assay.analysis.search_front import FrontPoint, search_front
    from assay.storage.search_points import best_points

    if results.plan.search.has_front:
        return search_front(results, cell)
    return [FrontPoint(each) for each in best_points(results.plan, results.evaluated_points[cell], 1)]


def command_for(results: SearchResults, cell: str | None = None) -> str | None:
    """The command that takes a winner, of a front a point that is still to be chosen.

    Args:
        results: Of a search.
        cell: The searched one; None: the first that has a point which is finished.

    Returns:
        None where no point is finished.
    """
    search, name = results.plan.search, results.name
    searched = list(results.evaluated_points)
    first = next((each for each in searched if cell in (None, each) and offered_points(results, each)), None)
    if first is None:
        return None
    new, point = ("NAME", " --point N") if search.has_front else (f"{name[:59]}_best", "")
    several = f" --cell {shlex.quote(first)}" if len(searched) > 1 else ""
    return f"assay best {name} --as {new}{several}{point}"


def way_on(results: SearchResults, storage: str) -> str | None:
    """The line with which a search ends: how its winner, or a point of its front, becomes a study."""
    command = command_for(results)
    if command is None:
        return None
    if not results.plan.search.has_front:
        return f"the winner as a study:    {in_use(command, storage=storage)}"
    fronts = (offered_points(results, cell) for cell in results.evaluated_points)
    unbeaten = [point.name for point in next(filter(None, fronts)) if point.unbeaten]
    known = f"not beaten on fresh seeds: {', '.join(unbeaten)}"
    listed = f"`{in_use(f'assay best {results.name}', storage=storage)}` lists the front"
    return f"a point as a study:       {in_use(command, storage=storage)} ({known if unbeaten else listed})"


def _offered(results: SearchResults, cell: str | None) -> dict[str, list[FrontPoint]]:
    """The points that are offered in each searched cell, or in the one that is named.

    Raises:
        InputError: If there is no such cell, or no finished point.
    """
    cells = list(results.evaluated_points)
    if cell is not None and cell not in cells:
        raise InputError(f"{results.name} has no cell {cell}. It searched {', '.join(cells)}.")
    offered = {each: offered_points(results, each) for each in cells if cell in (None, each)}
    if not any(offered.values()):
        raise InputError(_nothing_offered(results, offered))
    return offered


def _nothing_offered(results: SearchResults, cells: Iterable[str]) -> str:
    """Why no point can be offered: the search goes on, or all its points ended without a value."""
    from assay.storage.search_points import MEASURED_ANEW
    from trainables.data.inspect.findings import summarise

    points = [results.evaluated_points[cell] for cell in cells]
    drawn = [point for of_cell in points for point in of_cell]
    to_draw = results.plan.budget * len(points) - len(drawn)
    if to_draw > 0 or any(point.status == "open" for point in drawn):
        return f"no point of {results.name} is finished yet. `assay status` shows how far it is."
    reasons = summarise([f"{point.point.name}: {point.reason}" for point in drawn], separator="; ")
    return (
        f"a point is offered where all its repeats have a value, none of {results.name} has: {reasons}. "
        f"{MEASURED_ANEW}"
    )


def _show(
    results: SearchResults, offered: Mapping[str, Sequence[FrontPoint]], storage: str, *, as_json: bool
) -> None:
    """Print the best point of each cell, or its front, and how one becomes a study."""
    from assay.study.compare import format_value

    search = results.plan.search
    if as_json:
        from assay.report.answers.results import best_points_answer

        answers().give(best_points_answer(results, offered))
        return
    for cell, points in offered.items():
        if not points:
            typer.echo(f"{cell}: no point is finished yet")
            continue
        typer.echo(
            f"{cell}: {'the front, of which no point is best' if search.has_front else 'the best point'}"
        )
        for point in points:
            typer.echo(f"  {_described(search, point)}")
            drawn = (f"{path} {format_value(value)}" for path, value in point.evaluated.point.values.items())
            typer.echo(f"    {', '.join(drawn)}")
        command = command_for(results, cell)
        assert command is not None
        typer.echo(f"  as a study: {in_use(command, storage=storage)}")


def _chosen(
    search: Search, offered: Sequence[FrontPoint], points: Sequence[EvaluatedPoint], number: int | None
) -> EvaluatedPoint:
    """The point of a number, or the best.

    Raises:
        InputError: If there is no such finished point, or a front and no number.
    """
    if number is None and search.has_front:
        listed = "\n".join(f"  {_described(search, each)}" for each in offered)
        raise InputError(
            f"the search has {len(search.objectives)} objectives, and none of the {len(offered)} points of "
            f"its front is best. Take one with --point N, its number:\n{listed}"
        )
    if number is None:
        return offered[0].evaluated
    chosen = next((each for each in points if each.point.index == number), None)
    if chosen is None or chosen.value is None:
        state = "it was not drawn" if chosen is None else f"it is {chosen.status}"
        raise InputError(f"a point that becomes a study is finished, found --point {number}: {state}.")
    return chosen


def _described(search: Search, point: FrontPoint) -> str:
    """``base #3, validation.image_ap 0.9795, latency_ms 4.1: not beaten on fresh seeds``."""
    from assay.study.names import counted

    text = _valued(search, point.evaluated)
    if not search.has_front:
        return f"{text} (mean over {counted(len(point.evaluated.repeats), 'repeat')})"
    if point.unbeaten is None:
        return f"{text}: {'not trained again' if point.fresh is None else 'not complete on fresh seeds'}"
    return f"{text}: {'not beaten' if point.unbeaten else f'beaten by {point.beaten_by}'} on fresh seeds"


def _valued(search: Search, point: EvaluatedPoint) -> str:
    """``base #3, validation.image_ap 0.9795, latency_ms 4.1``."""
    from assay.report.front_tables import objective_text

    values = zip(search.objectives, point.values, strict=True)
    texts = (f"{goal.max or goal.min} {objective_text(goal, value)}" for goal, value in values)
    return ", ".join([point.point.name, *texts])
