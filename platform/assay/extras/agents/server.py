"""The server of `assay mcp`: names, descriptions and answers of the tools, by the official SDK."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Collection
from importlib import resources
from typing import Annotated, Any

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, InputRequiredResult, TextContent, ToolAnnotations
from pydantic import Field, ValidationError

from assay.extras.agents.answers import AgentReportAnswer, LedgerAnswer
from assay.extras.agents.requests import note_request
from assay.extras.agents.terms import OutOfBoundsError
from assay.extras.agents.tools import AgentTools
from assay.report.answers import Answer
from assay.report.answers.checks import SettingsAnswer
from assay.report.answers.plans import PlanAnswer
from assay.report.answers.progress import StatusAnswer
from assay.report.answers.results import PairAnswer
from assay.storage.redaction import redact, redact_values
from assay.study.file.source import dotted
from assay.version import VERSION
from trainables.errors import InputError, nearest, validation_message

__all__ = ["make_server"]

_MOST = 1000  # characters of a text: refusals repeat it, and the storage keeps them
File = Annotated[
    str,
    Field(max_length=_MOST, description="A study file in the folder for agents, such as `mine.yaml`."),
]
Name = Annotated[str, Field(max_length=_MOST, description="Name of a study that was started.")]
Text = Annotated[str, Field(max_length=_MOST)]
_READS = ToolAnnotations(read_only_hint=True)


def make_server(tools: AgentTools) -> MCPServer[Any]:
    """The server over its tools; ``run("stdio")`` serves until standard input ends."""
    text = resources.files(__package__ or "").joinpath("skill.md").read_text(encoding="utf-8")
    server = _Server(
        "assay", instructions=text.split("---\n", 2)[-1].strip(), version=VERSION, log_level="ERROR"
    )
    _add_study_tools(server, tools)
    _add_result_tools(server, tools)
    return server


class _Server(MCPServer[Any]):
    """Refuses arguments in plain words, also those that a tool does not have: the SDK ignores them."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool.

        Raises:
            ToolError: If there is no such tool, its arguments are others, or it refuses.
        """
        # An unknown argument is refused, as an unknown key of a study file is: what an agent meant by it
        # would silently not happen.
        tools = {tool.name: tuple(tool.input_schema["properties"]) for tool in await self.list_tools()}
        if name not in tools:
            named = redact(name[:_MOST])
            raise ToolError(f"there is no tool `{named}`; {nearest(named, tools)}")
        for argument, value in arguments.items():
            if argument not in tools[name]:
                text = redact(f"{argument[:_MOST]}: {_short(value)}")  # the name says what is secret
                raise ToolError(f"{_takes(name, tools[name])}, found `{text}`.")
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            problems = "; ".join(
                f"found no `{dotted(problem['loc'])}`"
                if problem["type"] == "missing"
                else f"`{dotted(problem['loc'])}` {validation_message(problem)}, "
                f"found {_short(problem['input'])}"
                for problem in error.__cause__.errors()
            )
            raise ToolError(f"{_takes(name, tools[name])}: {problems}.") from error.__cause__


def _short(value: object) -> str:
    """A value as messages repeat it: its beginning, without what may be secret."""
    return redact(reprlib.repr(redact_values(value)))


def _takes(tool: str, arguments: Collection[str]) -> str:
    names = ", ".join(f"`{name}`" for name in arguments) or "no arguments"
    return f"the tool {tool} takes {names}"


def _add_study_tools(server: MCPServer[Any], tools: AgentTools) -> None:
    @server.tool(annotations=_READS)
    def validate(study: File, ctx: Context[Any, Any]) -> Annotated[CallToolResult, PlanAnswer]:
        """Check a study file without opening its data; mistakes are named with line and column."""
        return _answered(tools, ctx, "validate", study, lambda client: tools.validate(study))

    @server.tool(annotations=_READS)
    def plan(
        study: File, ctx: Context[Any, Any], forecast: bool = False
    ) -> Annotated[CallToolResult, PlanAnswer]:
        """List cells and comparisons of a study, what is trained, and with `forecast` hours and memory."""
        return _answered(tools, ctx, "plan", study, lambda client: tools.plan(study, forecast=forecast))

    @server.tool()
    def start(study: File, ctx: Context[Any, Any]) -> Annotated[CallToolResult, StatusAnswer]:
        """Train what is missing of a study, within the hours that are left. Registered with your name."""
        return _answered(tools, ctx, "start", study, lambda client: tools.start(study, client))

    @server.tool(annotations=_READS)
    def settings(
        ctx: Context[Any, Any], method: Text | None = None, name: Text | None = None
    ) -> Annotated[CallToolResult, SettingsAnswer]:
        """List methods and blocks of the study file, all settings of one, or everything about one setting."""
        return _answered(tools, ctx, "settings", method or "", lambda client: tools.settings(method, name))


def _add_result_tools(server: MCPServer[Any], tools: AgentTools) -> None:
    @server.tool(annotations=_READS)
    def status(study: Name, ctx: Context[Any, Any]) -> Annotated[CallToolResult, StatusAnswer]:
        """Say how far a study is: what trains, what has no result and why."""
        return _answered(tools, ctx, "status", study, lambda client: tools.status(study))

    @server.tool(annotations=_READS)
    def ledger(ctx: Context[Any, Any]) -> Annotated[CallToolResult, LedgerAnswer]:
        """List all studies of the storage, and all that agents tried and were refused."""
        return _answered(tools, ctx, "ledger", "", lambda client: tools.ledger())

    @server.tool(annotations=_READS)
    def wait(
        study: Name, ctx: Context[Any, Any], minutes: float = 5.0
    ) -> Annotated[CallToolResult, StatusAnswer]:
        """Wait until a study is over, 10 minutes at most, and say how far it is."""
        return _answered(tools, ctx, "wait", study, lambda client: tools.wait(study, minutes))

    @server.tool(annotations=_READS)
    def report(study: Name, ctx: Context[Any, Any]) -> Annotated[CallToolResult, AgentReportAnswer]:
        """Read what a study found. Keep only the changes listed under `keep`."""
        return _answered(tools, ctx, "report", study, lambda client: tools.report(study))

    @server.tool(annotations=_READS)
    def compare(left: Name, right: Name, ctx: Context[Any, Any]) -> Annotated[CallToolResult, PairAnswer]:
        """Put two studies side by side. Exploratory: such a comparison shows nothing."""
        return _answered(tools, ctx, "compare", f"{left} {right}", lambda client: tools.compare(left, right))

    @server.tool(annotations=_READS)
    def look(
        study: Name, cell: Text, ctx: Context[Any, Any], images: list[Text] | None = None
    ) -> CallToolResult:
        """Look at a cell's masks on validation images (up to 6): decision filled, known truth outlined."""
        return _answered(tools, ctx, "look", study, lambda client: tools.look(study, cell, images))


def _answered(
    tools: AgentTools, ctx: Context[Any, Any], tool: str, about: str, make: Callable[[str], Answer | bytes]
) -> CallToolResult:
    """The answer as content; what is out of bounds is noted with the client's name.

    Raises:
        ToolError: With the message that a user of the command line would read.
    """
    client = _client(ctx)
    try:
        answer = make(client)
    except OutOfBoundsError as error:
        # A request out of bounds is noted, and `assay agents` lists it. A mistake in a file is only answered.
        said = redact(str(error))
        note_request(tools.terms.store, client, tool, redact(about)[:200], refused=said)
        raise ToolError(said) from error
    except (InputError, OSError) as error:
        raise ToolError(redact(str(error))) from error
    if isinstance(answer, bytes):
        return CallToolResult(content=[Image(data=answer, format="png").to_image_content()])
    text = answer.text(indent=None)
    return CallToolResult(content=[TextContent(text=text)], structured_content=json.loads(text))


def _client(ctx: Context[Any, Any]) -> str:
    """Name and version by which the client introduced itself."""
    params = ctx.session.client_params
    if params is None:
        return "unknown"
    said = redact(f"{params.client_info.name} {params.client_info.version}")  # before it loses its colons
    return re.sub(r"[^\w .@/+-]", "", said)[:60].strip() or "unknown"
