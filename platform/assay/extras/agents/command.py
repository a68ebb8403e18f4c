"""`assay mcp`, `skill` and `agents`: the door for coding agents, what they should know, and what they did."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import (
    DEFAULT_CACHE,
    DEFAULT_STORAGE,
    Cache,
    CpusOption,
    Data,
    LocalOption,
    ProcessesOption,
    Storage,
    as_path,
    refuse_processes_alone,
)
from assay.cli.output import console
from assay.extras.agents import EXTRA
from trainables.errors import InputError

__all__ = ["agents", "mcp", "skill"]

BudgetOption = Annotated[
    float,
    typer.Option(
        "--budget-hours",
        min=0.0,
        max=10_000.0,  # as of `budget.hours`
        metavar="HOURS",
        help="Hours by the clock that all runs of agents into this storage may take together.",
    ),
]
StudiesOption = Annotated[
    Path,
    typer.Option(
        "--studies",
        metavar="FOLDER",
        parser=as_path,
        help="Where agents put their study files. They name no other file.",
    ),
]


def mcp(
    budget_hours: BudgetOption,
    *,
    studies: StudiesOption = Path("studies"),
    data: Data = None,
    storage: Storage = DEFAULT_STORAGE,
    cache: Cache = DEFAULT_CACHE,
    local: LocalOption = False,
    processes: ProcessesOption = None,
    cpus: CpusOption = None,
) -> None:
    """Serve coding agents over the Model Context Protocol, on standard input and output.

    An agent validates and plans studies, starts them within the budget, waits, reads reports and settings,
    and looks at validation images. It gets no test image and no score of one. What it starts is registered
    with its name, and counted: `assay agents` lists it.
    """
    EXTRA.require()
    from assay.extras.agents.terms import Terms
    from assay.extras.agents.tools import AgentTools
    from assay.storage import Store

    if not studies.is_dir():
        raise InputError(f"--studies is a folder that exists, found no {studies}. Make it first.")
    refuse_processes_alone(processes, local=local)
    from assay.extras.agents.server import make_server

    terms = Terms(
        studies=studies.resolve(),
        store=Store.open(storage),
        budget_hours=budget_hours,
        data=data,
        cache=cache,
        local=local,
        processes=processes,
        cpus=cpus,
    )
    make_server(AgentTools(terms)).run("stdio")


def skill() -> None:
    """Print the skill file for coding agents: how to find out with assay whether a change is better."""
    typer.echo(resources.files(__package__ or "").joinpath("skill.md").read_text(encoding="utf-8"), nl=False)


def agents(storage: Storage = DEFAULT_STORAGE) -> None:
    """List what agents tried in a storage, the hours that they took, and the requests that were refused.

    Of each study of theirs that has the best setting on its data it says whether that is shown to be better.
    """
    from assay.extras.agents.answers import agent_lines
    from assay.report.page.inline import visible
    from assay.storage import Store

    store, out = Store.open(storage), console()
    lines = list(agent_lines(store))
    for line in lines:
        out.print(visible(line))
    if not lines:
        out.print(f"no agent asked for anything in {store.uri} yet")
