"""The stage graph of a plan: which steps its trials need, and which of them they share.

A method names its stages (``Trainable.stages``); a stage's key says what it is made of, so equal keys are one
stage, whichever trials and studies need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from assay.study.planning.cells import Trial
from assay.study.settings.settings import AnyTrainable
from trainables.plugins.catalogue import find_trainable
from trainables.stages import Stage, stage_keys

__all__ = ["Need", "StageNode", "shared_first", "stage_graph", "stages_of"]


class Need(NamedTuple):
    """A stage that a trial needs."""

    key: str
    stage: Stage


@dataclass
class StageNode:
    """One stage of the graph."""

    key: str
    name: str
    after: tuple[str, ...]  # keys
    trials: list[Trial] = field(default_factory=list)  # that need it, in the plan's order


def stages_of(trial: Trial, trainable: AnyTrainable | None = None) -> list[Need]:
    """The stages of a trial, in the order in which they are made; none for most methods."""
    trainable = trainable or find_trainable(trial.trainable)
    config = trainable.Config.model_validate(trial.config)
    stages = trainable.stages(config)
    if not stages:
        return []

    # All that a stage's result depends on beside its own settings: trials with the same key share it.
    base = {
        "trainable": trial.trainable,
        "revision": trial.revision,
        "image_size": trial.config["image_size"],
        "channels": trial.config["channels"],
        "manifest": trial.manifest,
        "supervision": trial.supervision.model_dump(mode="json"),
        "split": trial.split,  # names the mask subset
        "seed": trial.seed,
        "fold": trial.fold,
    }
    # Images of a kind are those that data, seed and fold leave to training. Without labels there are no
    # defective ones; other supervisions take only masks away.
    shared = {name: base[name] for name in ("image_size", "channels", "manifest", "seed", "fold")}
    images = {**shared, "data": trial.data.model_dump(mode="json")}
    without = {"supervision": "none"} if trial.supervision.kind == "none" else {}
    keys = stage_keys(stages, base, {"normal": images, "defective": {**images, **without}})
    return [Need(keys[stage.name], stage) for stage in stages]


def stage_graph(trials: Iterable[Trial]) -> dict[str, StageNode]:
    """Every stage that some trial needs, by key; each comes after those that it reads."""
    graph: dict[str, StageNode] = {}
    trainables: dict[str, AnyTrainable] = {}
    for trial in trials:
        trainable = trainables.setdefault(trial.trainable, find_trainable(trial.trainable))
        needs = stages_of(trial, trainable)
        keys = {need.stage.name: need.key for need in needs}
        for need in needs:
            after = tuple(keys[name] for name in need.stage.after)
            node = graph.setdefault(need.key, StageNode(need.key, need.stage.name, after))
            node.trials.append(trial)
    return graph


def shared_first(graph: Mapping[str, StageNode], done: Iterable[str]) -> list[list[StageNode]]:
    """The stages to make before any trial: needed by several trials, and not made yet.

    A stage that only one trial needs is made by that trial. What is needed by several is reached through
    stages that are needed by as many, so that none of its inputs is missing.

    Args:
        graph: Of the trials that are to be trained.
        done: Keys of the stages that are made.

    Returns:
        Groups that can be made side by side; within a group each comes after those that it reads.
    """
    made = set(done)
    wanted = {key: node for key, node in graph.items() if len(node.trials) > 1 and key not in made}
    leader: dict[str, str] = {}

    # What reads one another, directly or through others, forms a group; each points to one leader.
    def find(key: str) -> str:
        while (above := leader.setdefault(key, key)) != key:
            key = above
        return key

    for key, node in wanted.items():
        for other in node.after:
            if other in wanted:
                leader[find(key)] = find(other)
    groups: dict[str, list[StageNode]] = {}
    for key, node in wanted.items():
        groups.setdefault(find(key), []).append(node)
    return list(groups.values())
