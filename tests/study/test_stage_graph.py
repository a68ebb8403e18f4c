"""The stage graph: what a key depends on, what is shared, and what must come first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.study import Plan, Trial, parse_study, plan_study
from assay.study.planning.stage_graph import StageNode, shared_first, stage_graph, stages_of
from tests.engine.staged_study import STAGED, StagedStudy
from trainables.stages import Stage, StageWork, stage_keys


def planned(seeds: tuple[int, ...] = (0,)) -> Plan:
    text = STAGED.format(name="staged", epochs=3, seconds=0, workers=1, seeds=list(seeds))
    return plan_study(parse_study(text, "staged"), None, "cpu")


def keys_of(trial: Trial) -> dict[str, str]:
    return {need.stage.name: need.key for need in stages_of(trial)}


def by_cell(plan: Plan) -> dict[str, dict[str, str]]:
    return {trial.cell: keys_of(trial) for trial in plan.trials if trial.seed == 0}


def test_probes_of_a_method_in_stages_take_room_for_their_pictures() -> None:
    text = STAGED.format(name="staged", epochs=3, seconds=0, workers=1, seeds=[0])
    kept = (parse_study(text.replace("probes: 2", f"probes: {count}"), "staged") for count in (0, 10))
    without, some = (plan_study(study, None, "cpu").gigabytes for study in kept)
    assert without is not None
    assert some is not None
    assert (some - without) * 1e9 == pytest.approx(4 * 10 * (64_000 + 200_000))


def test_trials_that_agree_in_a_stages_settings_share_it() -> None:
    keys = by_cell(planned())
    assert len({of["base"] for of in keys.values()}) == 1
    assert (
        keys["sharpen=off last=none"]["maps"]
        == keys["sharpen=off last=some"]["maps"]
        != keys["sharpen=on last=none"]["maps"]
    )


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("epochs: {epochs}", "epochs: 4", {"base", "maps"}),  # what a stage reads is part of its key
        ("last: 0.1", "last: 0.2", set()),
        ("size: [32, 32]", "size: [40, 32]", {"base", "maps"}),
        ("{{reader: synthetic,", "{{reader: synthetic, splits: per_seed,", {"base", "maps"}),
    ],
)
def test_a_key_depends_on_what_the_stage_is_made_of_and_nothing_else(
    old: str, new: str, changed: set[str], tmp_path: Path, cache_root: Path
) -> None:
    texts = STAGED, STAGED.replace(old, new)
    plans = [StagedStudy.of(tmp_path, cache_root, seeds=(0,), text=text).plan for text in texts]
    before, after = (by_cell(plan)["sharpen=on last=some"] for plan in plans)
    assert {name for name in before if before[name] != after[name]} == changed


def test_another_repeat_has_stages_of_its_own() -> None:
    one, other = (keys_of(trial) for trial in planned((0, 1)).trials if trial.cell == "sharpen=off last=none")
    assert set(one.values()).isdisjoint(other.values())


def test_what_several_trials_need_comes_first_each_after_what_it_reads() -> None:
    graph = stage_graph(planned((0, 1)).trials)
    groups = shared_first(graph, done=())
    assert [[node.name for node in group] for group in groups] == [["base", "maps", "maps"]] * 2


def test_what_one_trial_needs_is_left_to_it() -> None:
    trials = [t for t in planned().trials if t.cell in ("sharpen=off last=none", "sharpen=on last=none")]
    (group,) = shared_first(stage_graph(trials), done=())
    assert [node.name for node in group] == ["base"]


def test_what_is_made_is_not_made_again() -> None:
    graph = stage_graph(planned().trials)
    base = next(key for key, node in graph.items() if node.name == "base")
    groups = shared_first(graph, done=[base])
    assert [[node.name for node in group] for group in groups] == [["maps"], ["maps"]]
    assert shared_first(graph, done=graph) == []


def test_stages_that_read_a_common_one_are_one_group() -> None:
    trials = planned().trials
    graph = {
        "a": StageNode("a", "a", (), list(trials)),
        "b": StageNode("b", "b", ("a",), list(trials)),
        "c": StageNode("c", "c", (), list(trials)),
        "d": StageNode("d", "d", ("b", "c"), list(trials)),
        "e": StageNode("e", "e", (), list(trials)),
    }
    names = [[node.name for node in group] for group in shared_first(graph, done=())]
    assert names == [["a", "b", "c", "d"], ["e"]]


def make_nothing(work: StageWork) -> None: ...


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([("a", ()), ("a", ())], "two stages are called a"),
        ([("b", ("a",)), ("a", ())], "reads a, which does not come before it"),
    ],
)
def test_a_method_names_its_stages_in_order_and_once(stages: list[Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        stage_keys([Stage(name, {}, make_nothing, after) for name, after in stages], {})


def test_a_method_without_stages_has_none() -> None:
    text = "study: one\ntrainable: segdec\ndata: {reader: synthetic}\nconfig: {preset: ksdd}\n"
    assert stage_graph(plan_study(parse_study(text, "one"), None, "cpu").trials) == {}
