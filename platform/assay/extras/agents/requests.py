"""Requests of agents that count: runs that `assay mcp` began for them, and all that it refused.

Each is a small object of its own below ``agents/``, as attempts are: object stores cannot append. They say
who asked for what, and how long the runs took: the hours that a person gave are spent, whatever server is
started anew. A run without an end (its process was killed) counts with all the time that it was given.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from assay.storage.files.checksum import read_checksummed, write_checksummed
from assay.storage.store import Store
from assay.study import Plan
from assay.study.planning.identity import canonical_json, short_hash

__all__ = ["AgentRequest", "agent_requests", "end_request", "hours_spent", "note_request"]

_FOLDER = "agents"


class AgentRequest(BaseModel):
    """One request."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    at: datetime
    client: str  # by its own name
    tool: str
    study: str  # as it was asked for: a name, or a file
    refused: str = ""  # why; empty: a run began
    seconds: float = 0.0  # that the run took, or was given as long as it has not ended
    ended: bool = True
    error: str = ""  # that ended the run
    settings: tuple[str, ...] = ()  # a hash of each cell's that the run tries


def note_request(
    store: Store,
    client: str,
    tool: str,
    study: str,
    *,
    refused: str = "",
    seconds: float = 0.0,
    plan: Plan | None = None,
) -> str:
    """Note a request, of a run with the seconds that it is given and its plan; returns its object's name."""
    at = datetime.now(UTC)
    cells = () if plan is None else plan.cells
    request = AgentRequest(
        at=at,
        client=client,
        tool=tool,
        study=study,
        refused=refused,
        seconds=seconds,
        ended=bool(refused),
        settings=tuple(sorted({short_hash(canonical_json(cell.settings())) for cell in cells})),
    )

    # Names begin with the time, so that a listing has requests in their order. The random part tells two of
    # one moment apart.
    name = f"{at:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}.json"
    write_checksummed(store, f"{_FOLDER}/{name}", request)
    return name


def end_request(store: Store, name: str, seconds: float, error: str = "") -> None:
    """Note that a run has ended after some seconds, and why if it was an error.

    Raises:
        InputError: If the note was changed by hand.
    """
    update = {"seconds": seconds, "ended": True, "error": error}
    write_checksummed(store, f"{_FOLDER}/{name}", _read(store, name).model_copy(update=update))


def agent_requests(store: Store) -> dict[str, AgentRequest]:
    """All requests by the name of their object, the first one first.

    Raises:
        InputError: If one was changed by hand.
    """
    names = sorted(name for name in store.list(_FOLDER) if name.endswith(".json"))
    return {name: _read(store, name) for name in names}


def hours_spent(store: Store) -> float:
    """Hours by the clock that runs of agents took, or may still take."""
    return sum(request.seconds for request in agent_requests(store).values()) / 3600


def _read(store: Store, name: str) -> AgentRequest:
    request = read_checksummed(
        store,
        f"{_FOLDER}/{name}",
        AgentRequest,
        says="says what an agent asked for",
        way_out="Restore it. Without a copy remove it: its hours are then given again.",
    )
    assert request is not None, "a listed object is there"
    return request
