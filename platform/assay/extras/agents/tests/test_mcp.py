"""`assay mcp` over stdio, driven by the official client; a run that ends when its hours are over."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from mcp.types import CallToolResult, ImageContent, Implementation, TextContent

import assay
from assay.extras.agents.requests import agent_requests, note_request
from assay.storage import Store
from assay.study import Plan
from assay.study.file.from_objects import study_yaml
from tests.api.tiny import TINY
from tests.cli.conftest import assay as command
from tests.cli.small_study import Assay
from tests.helpers.asynchronous import run_apart
from trainables.data import make_split, open_manifest

__all__ = ["command"]

STUDY = {**TINY, "repeats": {"seeds": [0]}, "keep": {"models": "all", "probes": 3}}
Call = Callable[..., Awaitable[CallToolResult]]


def connected(folder: Path, cache: Path, work: Callable[[Call], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """What ``work`` makes of a server that was started as an agent's program starts it."""
    server = StdioServerParameters(
        command=sys.executable,
        args=[
            *("-m", "assay", "mcp", "--budget-hours", "1", "--local", "--processes", "0"),
            *("--studies", str(folder), "--storage", str(folder / "storage")),
        ],
        env={"PYTHONPATH": os.environ["PYTHONPATH"], "ASSAY_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
    )

    async def session() -> dict[str, Any]:
        name = Implementation(name="coder", version="1.0")
        async with Client(stdio_client(server), client_info=name) as client:
            return await work(lambda tool, **arguments: client.call_tool(tool, arguments))

    return run_apart(session)


@pytest.fixture(scope="module")
def plan(cache_root: Path) -> Plan:
    return assay.plan(STUDY, cache=cache_root)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> dict[str, Any]:
    """Answers of all tools about a study that was trained through them."""
    folder = tmp_path_factory.mktemp("agent")
    (folder / "tiny.yaml").write_text(study_yaml(STUDY), encoding="utf-8")

    async def work(call: Call) -> dict[str, Any]:
        answers = {"validate": await call("validate", study="tiny.yaml")}
        answers["plan"] = await call("plan", study="tiny.yaml")
        answers["start"] = await call("start", study="tiny.yaml")
        while not (status := await call("wait", study="tiny")).structured_content["over"]:  # type: ignore[index]
            assert status.structured_content["held"], status  # type: ignore[index]
        answers["wait"] = status
        for tool in ("status", "report"):
            answers[tool] = await call(tool, study="tiny")
        answers["compare"] = await call("compare", left="tiny", right="tiny")
        answers["look"] = await call("look", study="tiny", cell="stop")
        answers["look at none"] = await call("look", study="tiny", cell="stop", images=[])
        answers["settings"] = await call("settings", method="segdec", name="delta")
        for number, (tool, arguments, _) in enumerate(REFUSED):
            answers[f"refused {number}"] = await call(tool, **arguments)
        answers["ledger"] = await call("ledger")
        return answers

    return connected(folder, cache_root, work)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        "wait",
        {"study": "tiny", "seconds": 40},
        "the tool wait takes `study`, `minutes`, found `seconds: 40`.",
    ),
    (
        "settings",
        {"method": "segdec", "setting": "lr"},
        "the tool settings takes `method`, `name`, found `setting: 'lr'`.",
    ),
    ("ledger", {"study": "tiny"}, "the tool ledger takes no arguments, found `study: 'tiny'`."),
    (
        "ledger",
        {"at": "s3://me:c4nary@b/x"},
        "the tool ledger takes no arguments, found `at: 's3://***@b/x'`.",
    ),
    (
        "plan",
        {"study": "tiny.yaml", "password": "c4nary"},
        "the tool plan takes `study`, `forecast`, found `password: '***'`.",
    ),
    (
        "status",
        {"study": {"token": "c4nary"}},
        "the tool status takes `study`: `study` should be text, found {'token': '***'}.",
    ),
    ("status", {}, "the tool status takes `study`: found no `study`."),
    (
        "wait",
        {"study": 3, "minutes": "few"},
        "the tool wait takes `study`, `minutes`: `study` should be text, found 3; `minutes` should be a "
        "number, found 'few'.",
    ),
    ("reprt", {}, "there is no tool `reprt`; did you mean `report`?"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=lambda number: REFUSED[number][0])
def test_arguments_that_a_tool_does_not_have_are_refused_in_words(
    answers: dict[str, Any], number: int
) -> None:
    answer = answers[f"refused {number}"]
    assert answer.is_error
    assert answer.content[0].text == REFUSED[number][2]


TOOLS = ["validate", "plan", "start", "wait", "status", "report", "settings", "ledger"]


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_answers_with_what_the_command_prints_as_json(answers: dict[str, Any], tool: str) -> None:
    answer = answers[tool]
    (content,) = answer.content
    assert isinstance(content, TextContent)
    assert not answer.is_error
    assert json.loads(content.text) == answer.structured_content
    assert answer.structured_content["schema"].startswith("assay/")


def test_a_tool_that_refuses_says_why(answers: dict[str, Any]) -> None:
    (content,) = answers["compare"].content
    assert answers["compare"].is_error
    assert content.text.endswith("Name another one.")


def test_a_study_that_was_started_is_registered_with_the_agents_name(answers: dict[str, Any]) -> None:
    agents = answers["ledger"].structured_content["agents"]
    assert (agents["clients"], agents["studies"], agents["settings"]) == (["coder 1.0"], ["tiny"], 2)
    assert answers["report"].structured_content["tried"] == (
        "The agent coder 1.0 tried 2 settings in 1 study of this storage."
    )
    assert 0 < agents["hours"] < 1


def test_an_agent_sees_masks_of_validation_images_in_a_picture(answers: dict[str, Any]) -> None:
    (content,) = answers["look"].content
    assert isinstance(content, ImageContent)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(content.data), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.std() > 0
    assert answers["look at none"].content == answers["look"].content  # none are named: the first ones


@pytest.mark.parametrize("tool", TOOLS)
def test_no_answer_names_a_test_image(
    answers: dict[str, Any], plan: Plan, cache_root: Path, tool: str
) -> None:
    trial = plan.trials[0]
    manifest = open_manifest(trial.data, None, cache_root)
    test = make_split(manifest, trial.data, trial.supervision, trial.seed, trial.fold).test
    assert [name for name in test if name in answers[tool].content[0].text] == []


@pytest.mark.parametrize("seconds", [0.01, 2.0])  # while it imports, and while it prepares or trains
def test_a_run_ends_when_its_hours_are_over(tmp_path: Path, cache_root: Path, seconds: float) -> None:
    store = Store(tmp_path / "storage")
    endless = {**STUDY, "config": {**TINY["config"], "epochs": 10_000}}
    order = {
        **{
            "study": study_yaml(endless),
            "origin": "tiny.yaml",
            "storage": store.uri,
            "cache": str(cache_root),
        },
        **{
            "data": None,
            "local": True,
            "processes": 0,
            "cpus": None,
            "asked_by": "coder 1.0",
            "seconds": seconds,
        },
        "request": note_request(store, "coder 1.0", "start", "tiny", seconds=seconds),
    }
    run = [sys.executable, "-m", "assay.extras.agents.training"]
    subprocess.run(run, input=json.dumps(order).encode(), check=True)
    (request,) = agent_requests(store).values()
    assert "its time was over" in request.error
    assert request.seconds >= seconds
    assert store.records(store.trials()) == {}


def test_an_interrupt_in_the_midst_of_an_import_does_not_end_the_process_by_a_signal(tmp_path: Path) -> None:
    store = Store(tmp_path / "storage")
    order = {"storage": store.uri, "seconds": 60, "request": note_request(store, "coder", "start", "tiny")}
    program = (
        "from assay.extras.agents import training\n"
        "training.train = lambda order: exec('raise KeyboardInterrupt')\n"  # as a dataclass is made
        "training.main()"
    )
    subprocess.run([sys.executable, "-c", program], input=json.dumps(order).encode(), check=True)
    (request,) = agent_requests(store).values()
    assert "it was interrupted" in request.error


def test_a_run_whose_time_ends_while_it_imports_is_interrupted_after_the_import(tmp_path: Path) -> None:
    store = Store(tmp_path / "storage")
    order = {"storage": store.uri, "seconds": 0.2, "request": note_request(store, "coder", "start", "tiny")}
    (tmp_path / "slow.py").write_text(
        "import time, pathlib\ntime.sleep(0.6)\npathlib.Path('imported').touch()\n"
    )
    program = (
        "import time\n"
        "from assay.extras.agents import training\n"
        "training.train = lambda order: (__import__('slow'), time.sleep(60))\n"
        "training.main()"
    )
    run = [sys.executable, "-c", program]
    subprocess.run(run, input=json.dumps(order).encode(), check=True, cwd=tmp_path)
    (request,) = agent_requests(store).values()
    assert "its time was over" in request.error
    assert (tmp_path / "imported").exists()
    assert request.seconds < 30


@pytest.mark.parametrize("arguments", [("mcp", "--studies", ".", "--budget-hours", "1"), ("agents",)])
def test_a_storage_of_another_format_is_refused(
    command: Assay, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "storage.json").write_text('{"format": 2, "since": "0.9"}')
    ended = command(*arguments, "--storage", tmp_path)
    assert ended.code == 2
    assert f"found format 2 in {tmp_path}. Use the version of assay that wrote it" in ended.err


def test_without_its_package_the_server_says_how_to_install_it_and_the_rest_works(
    command: Assay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.extras.find_spec", lambda package: None if package == "mcp" else package)
    ended = command("mcp", "--studies", ".", "--budget-hours", "1")
    assert ended.code == 2
    assert "pip install 'assay[agents]'" in ended.err
    assert (command("skill").code, command("status").code) == (0, 0)


def test_agents_lists_refused_requests_and_says_where_there_are_none(command: Assay, tmp_path: Path) -> None:
    assert "no agent asked for anything in" in command("agents", "--storage", tmp_path / "none").out
    note_request(Store(tmp_path), "coder 1.0", "report", "../mine", refused="a study is named by its name")
    shown = command("agents", "--storage", tmp_path).out.splitlines()
    assert shown[0] == "The agent coder 1.0 tried nothing, 0 h; 1 request refused"
    assert shown[1].endswith("coder 1.0: report ../mine: a study is named by its name")


def test_the_skill_is_a_file_that_agents_read(command: Assay) -> None:
    printed = command("skill").out
    assert printed.startswith("---\nname: assay\n")
    text = printed.split("```yaml\n")[1].split("```")[0]
    from assay.study import parse_study

    assert parse_study(text).repeats.seeds[0] == 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--budget-hours", "1", "--studies", "nowhere"), "found no nowhere"),
        (("--budget-hours", "inf", "--studies", "."), "should be less than or equal to 10000, found 'inf'"),
        (("--budget-hours", "1", "--processes", "2", "--studies", "."), "--processes goes with --local"),
    ],
)
def test_a_server_that_cannot_serve_says_why(
    command: Assay, arguments: tuple[str, ...], message: str
) -> None:
    ended = command("mcp", *arguments)
    assert ended.code == 2
    assert message in " ".join(ended.err.replace("│", " ").split())
