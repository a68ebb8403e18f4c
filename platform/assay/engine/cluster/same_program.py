"""Every node of a cluster is asked, before anything trains, whether it would train the same.

One tiny task per node that stays compares its program with this process's, and looks whether storage, data
and the interpreters of training programs are there. A node that joins later is not asked: its workers compare
themselves (``worker/train_trials.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.engine.cluster.capacity import staying_nodes
from assay.engine.cluster.local_ray import patience
from assay.engine.cluster.ray_connect import last_line
from assay.engine.versions import differences, program
from assay.storage import Store
from assay.storage.method_store import read_method
from trainables.errors import InputError
from trainables.plugins.method_files import is_file_method
from trainables.program.method import Program, check_interpreter

__all__ = ["same_on_all_nodes"]

_ANSWER_SECONDS = 120.0  # a node unpacks the shipped code first; where this one is busy it may take longer
_LATE = 0.25  # of that time: later than all others
_ID_CHARACTERS = 8
_LINE_CHARACTERS = 200
_TOKEN = b"every node reads this"


@dataclass(frozen=True)
class _Question:
    """A question to one node."""

    program: dict[str, str]
    trainables: tuple[str, ...]
    storage: str
    folder: str  # on the storage: holds a token, and is where the node writes
    node: str
    data_root: str | None  # None: nothing trains there, or no data are needed


def same_on_all_nodes(
    trainables: Sequence[str],
    store: Store,
    folder: str,
    data_root: Path | None,
    say: Callable[[str], None],
) -> dict[str, str]:
    """Compare all nodes that stay with this process.

    Args:
        trainables: The methods that will be trained.
        store: Must be seen by all nodes.
        folder: On the storage, for what the question needs; deleted by the caller.
        data_root: Must be there on all nodes that have CPUs.
        say: Hears of nodes that do not answer while others do: they hang, or are about to be taken away.
            Should one of them get work, its workers compare themselves.

    Returns:
        The program that all nodes have, as :func:`assay.engine.versions.program` names it.

    Raises:
        InputError: If a node differs, with the list of what differs on which node.
    """
    wanted = program(*trainables)
    store.write_bytes(f"{folder}/token", _TOKEN)
    nodes = staying_nodes()

    # Only nodes with CPUs train, so that only they need the data.
    questions = [
        _Question(
            wanted,
            tuple(trainables),
            store.uri,
            folder,
            node_id,
            str(data_root.resolve()) if data_root and node["Resources"].get("CPU") else None,
        )
        for node_id, node in nodes.items()
    ]
    answers = _ask(questions)

    # A node that went while it was asked trains nothing.
    here = [node for node_id, node in staying_nodes().items() if node_id in nodes]

    # If some nodes answer, those that do not are only mentioned: they hang or are about to leave. If none
    # does, there is nobody to train.
    silent = [node for node in here if node["NodeID"] not in answers]
    rows = [f"  {_name(node)}: {'; '.join(lines)}" for node in here if (lines := answers.get(node["NodeID"]))]
    if silent and len(silent) == len(here):
        rows = [f"  {_name(node)}: gives no answer" for node in silent]
    elif silent:
        say(f"not compared, because other nodes answer and they do not: {', '.join(map(_name, silent))}")
    if rows:
        raise InputError(
            "all nodes of a cluster have the program, storage and data of the process that runs the study, "
            f"found {len(rows)} of {len(nodes)} that differ:\n"
            + "\n".join(rows)
            + "\nInstall the wanted versions there (requirements.txt pins them), put storage and data where "
            "all nodes see them under the same path or URI, or take these nodes out of the cluster."
        )
    return wanted


def _name(node: Mapping[str, Any]) -> str:
    where = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
    return f"node {node['NodeID'][:_ID_CHARACTERS]} on {where}"


def _ask(questions: list[_Question]) -> dict[str, list[str]]:
    """Collect what differs on each node, from all at the same time; without those that do not answer."""
    import ray
    from ray.exceptions import RayError, TaskUnschedulableError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # The tasks take no CPU, so that nodes answer however busy they are, and each is bound to its own.
    nodes = {
        ray.remote(_answer)
        .options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(question.node, soft=False),
        )
        .remote(question): question.node
        for question in questions
    }

    # All have the full time until the first answers, and a quarter of it from then on: a node that needs so
    # much longer than another one hangs.
    seconds = max(_ANSWER_SECONDS, patience())
    until = last = time.monotonic() + seconds
    waiting, answers = list(nodes), dict[str, list[str]]()
    while waiting and (left := until - time.monotonic()) > 0:
        answered, waiting = ray.wait(waiting, timeout=left)
        for answer in answered:
            try:
                answers[nodes[answer]] = ray.get(answer)
            except TaskUnschedulableError:  # it is about to be taken away
                continue
            except RayError as error:
                answers[nodes[answer]] = [f"cannot run the program: {last_line(error)[:_LINE_CHARACTERS]}"]
        if answers:
            until = min(last, time.monotonic() + _LATE * seconds)
    for answer in waiting:
        ray.cancel(answer, force=True)
    return answers


def _answer(question: _Question) -> list[str]:
    """List what differs on this node; runs there."""
    differing = differences(question.program, *question.trainables)
    try:
        # Reading the token shows that this is the same storage, and no empty folder at the same path. Writing
        # beside it shows that results can be kept.
        store = Store(question.storage)
        if store.read_bytes(f"{question.folder}/token") != _TOKEN:
            raise FileNotFoundError
        store.write_bytes(f"{question.folder}/{question.node}", b"")
    except FileNotFoundError:
        differing.append(f"does not see the storage {question.storage}")
    except (OSError, InputError) as error:
        differing.append(f"cannot use the storage {question.storage}: {error}")
    else:
        differing += _other_interpreters(store, question.trainables)
    if question.data_root is not None and not Path(question.data_root).is_dir():
        differing.append(f"has no data root {question.data_root}")
    return differing


def _other_interpreters(store: Store, trainables: Sequence[str]) -> list[str]:
    """What this node lacks of the interpreters that training programs name."""
    lacking: list[str] = []
    for name in filter(is_file_method, trainables):
        source = read_method(store, name)
        try:
            if source.is_program:
                check_interpreter(Program.of(source.files))
        except InputError as error:
            lacking.append(f"{name.partition('@')[0]}: {error}")
    return lacking
