"""Coding agents that ask within a person's bounds: ``assay mcp``.

A server over the Model Context Protocol (``server.py``) has the tools (``tools.py``) that a person's terms
allow (``terms.py``). Requests are noted in the storage (``requests.py``), and all that was tried decides what
may be kept (``tries.py``). The core registers a study with the name of who asked, and knows no more.
"""

from assay.extras import Extra

EXTRA = Extra(
    name="agents",
    summary="Coding agents that plan, start and read studies over MCP, within a budget of hours.",
    commands={
        "assay mcp --budget-hours 2 --studies studies --local": "assay.extras.agents.command:mcp",
        "assay skill > SKILL.md": "assay.extras.agents.command:skill",
        "assay agents --storage ./assay-storage": "assay.extras.agents.command:agents",
    },
    answers={"agent-report": "assay.extras.agents.answers:AgentReportAnswer"},
    needs=("mcp",),
)
