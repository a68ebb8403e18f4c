"""Every node of a cluster is asked, before anything trains, whether it would train the same.

One tiny task per node that stays compares its program with this process's, and looks whether storage and data
are there. A node that joins later is not asked: its workers compare themselves (``train_pack.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.engine.local_ray import patience
from assay.engine.ray_connect import last_line
from assay.engine.room import staying_nodes
from assay.engine.versions import differences, program
from assay.storage import Store
from trainables.errors import InputError

__all__ = ["same_on_all_nodes"]

_ANSWER_SECONDS = 120.0  # a node unpacks the shipped code first; where this one is busy it may take longer
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
    trainables: Sequence[str], store: Store, folder: str, data_root: Path | None
) -> dict[str, str]:
    """Compare all nodes that stay with this process.

    Args:
        trainables: The methods that will be trained.
        store: Must be seen by all nodes.
        folder: On the storage, for what the question needs; deleted by the caller.
        data_root: Must be there on all nodes that have CPUs.

    Returns:
        The program that all nodes have, as :func:`assay.engine.versions.program` names it.

    Raises:
        InputError: If a node differs, with the list of what differs on which node.
    """
    wanted = program(*trainables)
    store.write_bytes(f"{folder}/token", _TOKEN)
    nodes = staying_nodes()
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
    here = staying_nodes()  # a node that went while it was asked trains nothing
    rows = [
        f"  node {node_id[:_ID_CHARACTERS]} on {nodes[node_id]['NodeManagerHostname']} "
        f"({nodes[node_id]['NodeManagerAddress']}): {'; '.join(lines)}"
        for node_id, lines in answers.items()
        if lines and node_id in here
    ]
    if rows:
        raise InputError(
            "all nodes of a cluster have the program, storage and data of the process that runs the study, "
            f"found {len(rows)} of {len(nodes)} that differ:\n"
            + "\n".join(rows)
            + "\nInstall the wanted versions there (requirements.txt pins them), put storage and data where "
            "all nodes see them under the same path or URI, or take these nodes out of the cluster."
        )
    return wanted


def _ask(questions: list[_Question]) -> dict[str, list[str]]:
    """Collect what differs on each node, from all at the same time."""
    import ray
    from ray.exceptions import GetTimeoutError, RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    answers_to_come = {
        question.node: ray.remote(_answer)
        .options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(question.node, soft=False),
        )
        .remote(question)
        for question in questions
    }
    seconds = max(_ANSWER_SECONDS, patience())
    ray.wait(list(answers_to_come.values()), num_returns=len(answers_to_come), timeout=seconds)
    answers: dict[str, list[str]] = {}
    for node, answer in answers_to_come.items():
        try:
            answers[node] = ray.get(answer, timeout=0)
        except GetTimeoutError:
            ray.cancel(answer, force=True)
            answers[node] = [f"did not answer within {seconds:.0f} s"]
        except RayError as error:
            answers[node] = [f"cannot run the program: {last_line(error)[:_LINE_CHARACTERS]}"]
    return answers


def _answer(question: _Question) -> list[str]:
    """List what differs on this node; runs there."""
    differing = differences(question.program, *question.trainables)
    try:
        store = Store(question.storage)
        if store.read_bytes(f"{question.folder}/token") != _TOKEN:
            raise FileNotFoundError
        store.write_bytes(f"{question.folder}/{question.node}", b"")
    except FileNotFoundError:
        differing.append(f"does not see the storage {question.storage}")
    except (OSError, InputError) as error:
        differing.append(f"cannot use the storage {question.storage}: {error}")
    if question.data_root is not None and not Path(question.data_root).is_dir():
        differing.append(f"has no data root {question.data_root}")
    return differing
