"""`assay mcp` and `assay skill`: the door for coding agents, and what they should know before they enter."""

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
from trainables.errors import InputError

__all__ = ["mcp", "skill"]

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
    with its name, and counted: docs/agents.md.
    """
    from assay.extras.agents.terms import Terms
    from assay.extras.agents.tools import AgentTools
    from assay.storage import Store

    if not studies.is_dir():
        raise InputError(f"--studies is a folder that exists, found no {studies}. Make it first.")
    refuse_processes_alone(processes, local=local)
    try:
        from assay.extras.agents.server import make_server
    except ModuleNotFoundError as error:
        raise InputError(
            f"`assay mcp` needs the extra `mcp`, found no module {error.name}: pip install 'assay[mcp]'"
        ) from error
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
    typer.echo(resources.files(__name__).joinpath("skill.md").read_text(encoding="utf-8"), nl=False)
