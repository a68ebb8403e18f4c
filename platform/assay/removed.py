"""Keys and values of the study file and options of commands that were removed, and what to write now.

The one place that remembers them: readers of studies and the command line ask it before they call a key, a
value or an option unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["what_to_type_instead", "what_to_write_instead"]

_AT_RANDOM = "masks are drawn at random. Write the number alone, as in `supervision: {mixed: 10}`"
_AS_FACTOR = (
    "a search draws settings of the method alone. Make `supervision` a factor, searched with `within: cell`, "
    "and let `labelling` set scores against hours in the report"
)
_AS_TRAINED = (
    "costs are those of the model as trained. Write `{min: latency_ratio}`, `{min: latency_ms}` or "
    "`{min: size_mb}`, and export the points of the front"
)
_ONE_DRAW = (
    "a study has one search of a cell. Write `seed: 0`, and a study of another name for each further seed, "
    "or `nested: true` with `splits: per_seed`, whose searches are repeats"
)
_AS_POINT = (
    "a search starts from points that its file names. Write `start: [{config.lr: 0.01}]` with the settings "
    "that `assay best NAME` prints"
)
_AS_DESIGN = (
    "`assay best NAME --as NEW --design leave_one_out` writes a study that takes the best point apart. Run "
    "that study when the search is over"
)
_STATELESS = (
    "a point is drawn from points and records alone, and CMA-ES learns from a state beside them. Write "
    "`sampler: tpe` or `sampler: gp`"
)
_ALL_WORKERS = (
    "a trial trains with all its workers, and waits until they have room. Write `workers` alone, as many as "
    "the nodes hold at once"
)
_NO_LIST = "no rule picked better images than chance. Draw masks of any defective training images without one"

_SLURM = "Slurm has a command of its own. Type `assay slurm STUDY` with the other options"
_KUBERAY = "KubeRay has a command of its own. Type `assay kuberay STUDY --output FILE` with the other options"

_KEYS: Mapping[str, str] = {  # or `key: value`, where other values of the key are read
    "supervision.by": _AT_RANDOM,
    "supervision.first": _AT_RANDOM,
    "space.supervision": _AS_FACTOR,
    "start.supervision": _AS_FACTOR,
    "start.study": _AS_POINT,
    "start.best": _AS_POINT,
    "search.seeds": _ONE_DRAW,
    "resources.min_workers": _ALL_WORKERS,
    "search.sampler: cmaes": _STATELESS,
    "replicate.ablate_winner": _AS_DESIGN,
    "search.objective.min: label_hours": _AS_FACTOR,
    "search.objective.min: export_latency_ms": _AS_TRAINED,
    "search.objective.min: export_latency_ratio": _AS_TRAINED,
    "search.objective.min: export_memory_mb": _AS_TRAINED,
    "search.objective.min: export_size_mb": _AS_TRAINED,
}
_OPTIONS: Mapping[str, str] = {
    "labels --next": _NO_LIST,
    "labels --by": _NO_LIST,
    "submit --slurm": _SLURM,
    "submit --sbatch": _SLURM,
    "submit --script": _SLURM,
    "submit --kuberay": _KUBERAY,
    "submit --image": _KUBERAY,
    "labels --output": f"it named the list of images, and {_NO_LIST}",
}


def what_to_write_instead(path: Iterable[str | int], value: object = None) -> str | None:
    """The message about a removed key or value of the study file; None for one that was never taken.

    Args:
        path: Of the key, from the top of the file. List positions do not count. A removed block is known from
            the top (``space.supervision``, whatever stands in it), and a removed key below any block
            (``factors.labels.few.supervision.by``).
        value: That stands there.
    """
    keys = [key for key in path if isinstance(key, str)]
    from_top = (".".join(keys[:end]) for end in range(1, len(keys) + 1))
    below_any = (".".join(keys[start:]) for start in range(1, len(keys)))
    for name in (*from_top, *below_any):
        for removed in (name, f"{name}: {value}"):
            if removed in _KEYS:
                return f"`{removed.rpartition('.')[2]}` was removed: {_KEYS[removed]}"
    return None


def what_to_type_instead(command: str, option: str) -> str | None:
    """The sentence about a removed option of a command (``labels``, ``--next``); None for any other."""
    return _OPTIONS.get(f"{command} {option}")
