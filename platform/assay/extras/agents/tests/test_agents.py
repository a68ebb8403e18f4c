"""The bounds of `assay mcp`: cheats gain nothing and stand in the ledger, an honest study is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import Implementation, TextContent

import assay
from assay.api.running import begin_study, end_study
from assay.extras.agents import validation_picture
from assay.extras.agents.answers import agent_lines
from assay.extras.agents.requests import agent_requests, end_request, note_request
from assay.extras.agents.server import make_server
from assay.extras.agents.terms import Terms
from assay.extras.agents.tools import AgentTools
from assay.extras.agents.tries import agent_tries
from assay.report.tables.footnotes import footnotes
from assay.storage import Store
from assay.storage.lease import Lease
from assay.storage.preregistration import preregister
from assay.study import Trial
from assay.study.file.from_objects import study_yaml
from tests.analysis.made_studies import make_plan, make_record
from tests.api.tiny import TINY
from tests.cli.small_study import finished
from tests.helpers.asynchronous import run_apart
from trainables.data import make_split, open_manifest
from trainables.errors import InputError

AGENT = "coder 1.0"
STUDY = """
study: tried
trainable: segdec
data: {reader: synthetic, splits: per_seed}
config: {preset: ksdd, image_size: [128, 64]}
factors:
  stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}
  delta: {low: {config: {delta: 0.1}}, high: {config: {delta: 1.0}}}
design: {full: all}
comparisons: [{factor: stop}, {factor: delta}]
repeats: {seeds: [0, 1, 2, 3, 4, 5, 6, 7]}
metrics: {primary: image_ap, report: [fp]}
resolve: 0.01
"""
SEEDS = "[0, 1, 2, 3, 4, 5, 6, 7]"
SIX = STUDY.replace(
    SEEDS, "[0, 1, 2, 3, 4, 5]"
)  # shown on its page, where p is .031, but at no agent's level


def scores(trial: Trial) -> dict[str, float]:
    """Scores in which `stop: on` is always much better: each test of it is shown."""
    noise = 0.001 * (hash((trial.seed, trial.cell.count("o"), 7)) % 10) + 0.0001 * trial.seed
    return {"image_ap": 0.8 + 0.05 * (trial.levels["stop"] == "on") + noise, "fp": 1.0 + trial.seed}


@dataclass
class World:
    """A storage with a server over it, in which all that an agent would train is made up."""

    folder: Path
    cache: Path
    store: Store
    budget_hours: float = 1.0
    client: str = AGENT

    @property
    def tools(self) -> AgentTools:
        """The tools of a server that was started anew."""
        return AgentTools(Terms(self.folder, self.store, self.budget_hours, None, self.cache, local=True))

    def run(self, text: str = STUDY, client: str = AGENT) -> None:
        """What `start` does with a study, but for the training."""
        plan = make_plan(text)
        if client:
            request = note_request(self.store, client, "start", plan.study.study, seconds=1, plan=plan)
            end_request(self.store, request, 0.0)
        begin_study(self.store, plan, client)
        for trial in plan.trials:
            if self.store.record(trial.id) is None:
                self.store.write_record(make_record(trial, scores))
        end_study(self.store, plan)

    def write(self, name: str, **changes: Any) -> str:
        """A study file of an agent, which trains in seconds."""
        (self.folder / name).write_text(study_yaml({**TINY, **changes}), encoding="utf-8")
        return name

    def call(self, tool: str, **arguments: Any) -> tuple[bool, str]:
        """The answer of the server to the official client: (refused, its text)."""

        async def ask() -> tuple[bool, str]:
            name, version = self.client.rsplit(maxsplit=1)
            async with Client(
                make_server(self.tools), client_info=Implementation(name=name, version=version)
            ) as client:
                result = await client.call_tool(tool, arguments)
                (content,) = result.content
                assert isinstance(content, TextContent)
                return bool(result.is_error), content.text

        return run_apart(ask)

    def kept(self) -> list[str]:
        """Changes that the server tells to keep, of all studies."""
        planned = filter(self.planned, self.store.studies())
        reports = [json.loads(self.call("report", study=name)[1]) for name in planned]
        return [str(change["better"]) for report in reports for change in report["keep"]]

    def ledger(self) -> str:
        """All that the ledger, `assay agents` and the pages say of what was tried."""
        names = filter(self.planned, self.store.studies())
        pages = [assay.open(self.store.uri).study(name).results for name in names]
        notes = [note for page in pages for note in footnotes(page)]
        return " ".join([self.call("ledger")[1], *agent_lines(self.store), *notes])

    def planned(self, name: str) -> bool:
        return self.store.exists(f"{self.store.study(name)}/plan.parquet")


@pytest.fixture
def world(tmp_path: Path, cache_root: Path) -> World:
    folder = tmp_path / "studies"
    folder.mkdir()
    return World(folder.resolve(), cache_root, Store(tmp_path / "storage"))


def refused(world: World, tool: str, **arguments: Any) -> None:
    """A request that the server refuses."""
    is_error, text = world.call(tool, **arguments)
    assert is_error, text


# Cheats: each returns what the ledger says of it ------------------------------------------------------


def more_seeds_until_it_shines(world: World) -> str:
    world.run(STUDY.replace(SEEDS, "[0, 1, 2]"))
    world.run(STUDY)
    return "looks at 3 seeds → at 8 seeds"


def the_same_study_renamed(world: World) -> str:
    world.run(STUDY.replace(SEEDS, "[0, 1, 2]"))
    world.run(STUDY.replace("tried", "fresh_start"))
    return "tried 4 settings in 2 studies"


def the_same_seeds_with_another_method_setting(world: World) -> str:
    world.run(STUDY.replace(SEEDS, "[0, 1, 2]"))
    world.run(
        STUDY.replace("study: tried", "study: other").replace("preset: ksdd", "preset: ksdd, epochs: 49")
    )
    return "tried 8 settings in 2 studies"


def the_same_images_as_other_data(world: World) -> str:
    world.run(STUDY.replace(SEEDS, "[0, 1, 2]"))
    world.run(STUDY.replace("study: tried", "study: other").replace("per_seed}", "per_seed, white: 255}"))
    return "tried 8 settings in 2 studies"


def one_file_edited_again_and_again(world: World) -> str:
    for epochs in (20, 21, 22):
        world.run(STUDY.replace("preset: ksdd", f"preset: ksdd, epochs: {epochs}").replace(SEEDS, "[0, 1]"))
    return "tried 12 settings in 1 study"


def resolve_changed_afterwards(world: World) -> str:
    world.run()
    world.run(STUDY.replace("resolve: 0.01", "resolve: 0.2"))
    return "`resolve` 0.01 → 0.2"


def a_metric_chosen_afterwards(world: World) -> str:
    world.run()
    world.run(STUDY.replace("primary: image_ap, report: [fp]", "primary: fp, report: [image_ap]"))
    return "primary metric image_ap → fp"


def a_comparison_dropped_afterwards(world: World) -> str:
    world.run()
    world.run(STUDY.replace(", {factor: delta}", ""))
    return "0 comparisons added, 2 dropped"


def the_winner_asked_again_alone(world: World) -> str:
    world.run(SIX)
    world.run(SIX.replace("study: tried", "study: alone").replace(", {factor: delta}", ""))
    return "preregistered when 24 trials that it shares with other studies had ended"


def question_after_question_with_fresh_seeds(world: World) -> str:
    for number in range(3):
        fresh = str(list(range(10 * number, 10 * number + 6)))
        world.run(STUDY.replace("tried", f"tried{number}").replace(SEEDS, fresh))
    return "in 3 studies of this storage"


def two_studies_put_side_by_side(world: World) -> str:
    world.run(STUDY.replace(SEEDS, "[0, 1]"))
    other = STUDY.replace("study: tried", "study: base").replace("preset: ksdd,", "preset: ksdd, epochs: 2,")
    world.run(other.replace(SEEDS, "[0, 1]"))
    _, answer = world.call("compare", left="tried", right="base")
    assert {row["verdict"] for row in json.loads(answer)["comparisons"]} == {"exploratory"}
    return "2 studies"


def a_record_written_by_hand(world: World) -> str:
    world.run(SIX)
    trial = make_plan(SIX).trials[0].id
    path = f"{world.store.trial(trial)}/record.json"
    raised = re.sub(rb'("image_ap": ?)0\.8', rb"\g<1>0.9", world.store.read_bytes(path))
    world.store.write_bytes(path, raised)
    assert json.loads(world.call("status", study="tried")[1])["damaged"] == [trial]
    return "damaged"


def a_record_copied_to_another_trial(world: World) -> str:
    world.run(SIX)
    first, *_, last = make_plan(SIX).trials
    better = world.store.read_bytes(f"{world.store.trial(last.id)}/record.json")
    world.store.write_bytes(f"{world.store.trial(first.id)}/record.json", better)
    assert json.loads(world.call("status", study="tried")[1])["damaged"] == [first.id]
    return "damaged"


def a_persons_study_taken_over(world: World) -> str:
    world.run(STUDY.replace("study: tried", "study: tiny"), client="")
    refused(world, "start", study=world.write("mine.yaml"))
    return "the study tiny of this storage is a person's"


def a_file_above_the_folder(world: World) -> str:
    (world.folder.parent / "secret.yaml").write_text("password: hunter2")
    refused(world, "validate", study="../secret.yaml")
    return "found '../secret.yaml'"


def a_file_by_its_whole_path(world: World) -> str:
    refused(world, "plan", study="/etc/passwd")
    return "found '/etc/passwd'"


def a_link_out_of_the_folder(world: World) -> str:
    (world.folder.parent / "secret.yaml").write_text("password: hunter2")
    (world.folder / "link.yaml").symlink_to(world.folder.parent / "secret.yaml")
    refused(world, "start", study="link.yaml")
    return "found 'link.yaml'"


def a_study_above_the_storage(world: World) -> str:
    refused(world, "report", study="../../elsewhere/studies/mine")
    return "found '../../elsewhere/studies/mine'"


def code_in_a_study(world: World) -> str:
    (world.folder / "spy.py").write_text("raise SystemExit('it ran')")
    refused(world, "validate", study=world.write("spy.yaml", trainable="./spy.py:TRAINABLE"))
    refused(world, "settings", method="./spy.py:TRAINABLE")
    return "found the file ./spy.py:TRAINABLE"


def a_budget_exceeded(world: World) -> str:
    note_request(world.store, AGENT, "start", "earlier", seconds=3600)  # killed: it has no end
    refused(world, "start", study=world.write("tiny.yaml"))
    return "the budget is 1 h, found 1 h spent"


def a_budget_won_back_by_hand(world: World) -> str:
    name = note_request(world.store, AGENT, "start", "earlier", seconds=3600)
    path = f"agents/{name}"
    original = world.store.read_bytes(path)
    world.store.write_bytes(path, original.replace(b"3600", b"1"))
    refused(world, "start", study=world.write("tiny.yaml"))
    world.store.write_bytes(path, original)
    return '"hours": 1.0'


def two_runs_at_once(world: World) -> str:
    note_request(world.store, AGENT, "start", "busy", seconds=60)
    with Lease(world.store, "busy"):
        refused(world, "start", study=world.write("tiny.yaml"))
    return "one run at a time, found busy at work"


def trained(world: World, seeds: list[int], **data: Any) -> tuple[str, str]:
    """A study with a kept model; names of a test image, and of a validation image that is one elsewhere."""
    text = study_yaml({**TINY, "data": {**TINY["data"], **data}, "repeats": {"seeds": seeds}})
    (world.folder / "tiny.yaml").write_text(text)
    plan = world.tools._plan(world.tools._study("tiny.yaml"))
    begin_study(world.store, plan, AGENT)
    for trial in plan.trials:
        finished(trial, world.store, model=True)
    manifest = open_manifest(plan.trials[0].data, None, world.cache)
    first, last = (
        make_split(manifest, trial.data, trial.supervision, trial.seed, None)
        for trial in (plan.trials[0], plan.trials[-1])
    )
    return first.test[0], sorted({*first.validation} & {*last.test})[0] if len(seeds) > 1 else ""


def a_test_image_asked_for(world: World) -> str:
    name, _ = trained(world, [0])
    refused(world, "look", study="tiny", cell="stop", images=[name])
    return f"found '{name}'"


def a_validation_image_that_is_tested_elsewhere(world: World) -> str:
    _, name = trained(world, list(range(6)), splits="per_seed")
    refused(world, "look", study="tiny", cell="stop", images=[name])
    return f"found '{name}'"


CHEATS: list[Callable[[World], str]] = [
    more_seeds_until_it_shines,
    the_same_study_renamed,
    the_same_seeds_with_another_method_setting,
    the_same_images_as_other_data,
    one_file_edited_again_and_again,
    resolve_changed_afterwards,
    a_metric_chosen_afterwards,
    a_comparison_dropped_afterwards,
    the_winner_asked_again_alone,
    question_after_question_with_fresh_seeds,
    two_studies_put_side_by_side,
    a_record_written_by_hand,
    a_record_copied_to_another_trial,
    a_persons_study_taken_over,
    a_file_above_the_folder,
    a_file_by_its_whole_path,
    a_link_out_of_the_folder,
    a_study_above_the_storage,
    code_in_a_study,
    a_budget_exceeded,
    a_budget_won_back_by_hand,
    two_runs_at_once,
    a_test_image_asked_for,
    a_validation_image_that_is_tested_elsewhere,
]


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.__name__)
def test_a_cheat_gains_nothing_and_stands_in_the_ledger(world: World, cheat: Callable[[World], str]) -> None:
    trace = cheat(world)
    assert trace in world.ledger()
    assert world.kept() == []


@pytest.mark.parametrize(
    ("tool", "arguments", "rule"),
    [
        ("validate", {"study": "x" * 300 + ".yaml"}, "there is no study file"),
        ("settings", {"name": "epochs"}, "found epochs without one"),
    ],
)
def test_a_wrong_argument_is_refused(world: World, tool: str, arguments: dict[str, Any], rule: str) -> None:
    is_error, text = world.call(tool, **arguments)
    assert is_error
    assert rule in text


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("start", {"study": "../" + "A" * 100_000}),
        ("report", {"study": "../" + "A" * 100_000}),
        ("settings", {"method": "A" * 100_000}),
        ("settings", {"A" * 100_000: "segdec"}),
        ("look", {"study": "tried", "cell": "base", "images": ["A" * 100_000]}),
        ("A" * 100_000, {}),
    ],
    ids=["file", "name", "method", "argument", "image", "tool"],
)
def test_what_is_refused_is_repeated_and_kept_by_its_beginning(
    world: World, tool: str, arguments: dict[str, Any]
) -> None:
    is_error, text = world.call(tool, **arguments)
    assert is_error
    assert len(text) < 2000
    assert sum(len(request.refused) for request in agent_requests(world.store).values()) < 2000


@pytest.mark.parametrize("tool", ["validate", "plan", "start"])
def test_a_name_that_no_file_can_have_is_refused(world: World, tool: str) -> None:
    is_error, text = world.call(tool, study="a\0b.yaml")
    assert is_error
    assert r"found 'a\x00b.yaml'" in text


def test_the_list_of_study_files_offers_no_link_out_of_the_folder(world: World) -> None:
    a_link_out_of_the_folder(world)
    world.write("mine.yaml")
    assert "It holds: mine.yaml." in world.call("validate", study="none.yaml")[1]


def test_what_is_refused_is_repeated_and_kept_without_secrets(world: World) -> None:
    _, text = world.call("start", study="s3://me:c4nary@bucket/a.yaml")
    (request,) = agent_requests(world.store).values()
    assert "c4nary" not in text + request.refused + request.study


def test_the_name_of_an_agent_is_kept_without_secrets(world: World) -> None:
    world.client = "coder http://me:c4nary@host 1.0"
    world.call("start", study="../none.yaml")
    (request,) = agent_requests(world.store).values()
    assert request.client == "coder http//@host 1.0"


def test_a_change_that_one_fresh_study_shows_is_kept(world: World) -> None:
    world.run(STUDY.replace(SEEDS, "[0, 1, 2]").replace("study: tried", "study: idea"))
    world.run(STUDY.replace(SEEDS, str(list(range(100, 110)))).replace(", {factor: delta}", ""))
    assert set(world.kept()) == {"stop=on delta=low", "stop=on delta=high"}
    assert "The agent coder 1.0 tried 4 settings in 2 studies of this storage" in world.ledger()
    assert "shown to be better, also at 0.0083, the level after so many" in world.ledger()


def test_agents_lists_that_the_best_of_an_agents_settings_is_not_shown_to_be_better(world: World) -> None:
    one_file_edited_again_and_again(world)
    first, best = agent_lines(world.store)
    assert (
        first == "The agent coder 1.0 tried 12 settings in 1 study of this storage, 0 h; 0 requests refused"
    )
    assert "not shown to be better. Only a study that is registered with fresh seeds" in best


def test_the_levels_of_all_studies_sum_to_five_percent_at_most(world: World) -> None:
    question_after_question_with_fresh_seeds(world)
    tries = agent_tries(world.store)
    assert tries is not None
    assert len(tries.levels) == 3
    assert sum(tries.levels.values()) < 0.05


def test_a_run_that_ended_gives_back_the_hours_that_it_did_not_take(world: World) -> None:
    end_request(world.store, note_request(world.store, AGENT, "start", "a", seconds=3600), 36.0)
    assert json.loads(world.call("ledger")[1])["agents"]["hours"] == 0.01
    (request,) = agent_requests(world.store).values()
    assert request.ended


def test_test_images_are_unknown_while_a_registered_study_has_no_plan(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_bytes("studies/additions/forecast.json", b"{}")
    assert validation_picture.tested_images(store, None, tmp_path) == set()  # it was never begun
    preregister(store, make_plan())
    with pytest.raises(InputError, match=r"studies/additions/plan\.parquet"):
        validation_picture.tested_images(store, None, tmp_path)
