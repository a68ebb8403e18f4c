"""Writes a study file: the winner of a search as a question of its own, with comments, for people to edit."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from assay.study.cells import Cell
from assay.study.identity import flatten
from assay.study.methods import layers_of, named_methods
from assay.study.plan import Plan
from assay.study.points import Point, SearchedCell, trials_of
from assay.study.schema import Study
from assay.study.settings import named_config
from assay.study.space import format_parameter
from trainables.method_files import is_file_method

__all__ = ["flow_yaml", "study_of_point"]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_WORDS = {"null", "true", "false", "on", "off", "yes", "no", "y", "n"}  # the last ones: to YAML 1.1
_WIDTH = 102  # of a line of comment


def study_of_point(
    plan: Plan,
    searched: SearchedCell,
    point: Point,
    name: str,
    why: str,
    *,
    best: bool = True,
    trained: Container[str] = (),
) -> str:
    """The text of a study that trains one point of a search, and nothing else.

    Args:
        plan: Of the search.
        searched: The cell in which the point was drawn.
        point: The point.
        name: Of the new study.
        why: A sentence on how the point was chosen.
        best: It is the best of its search.
        trained: Ids of trials that have a record.
    """
    study, cell = plan.study, searched.cell
    assert point.config is not None
    named, drawn = _split_config(plan, point)
    what = "the best point" if best else point.name
    # A fresh seed of a study draws a split of its own, and a nested search may have seen its test images.
    own_split = study.search is not None and study.search.nested and cell.data.splits == "per_seed"
    fresh = study.replicate is not None and not own_split
    question = f"What is {what} of {study.study} worth{' on fresh seeds' if fresh else ''}?"
    lines = [
        textwrap.fill(why, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False),
        "#",
        f"#   assay run {name}.yaml",
        "",
        f"study: {name}",
        f"question: {flow_yaml(question)}",
        f"trainable: {_method(study, cell)}",
        f"data: {flow_yaml(_data(cell.data.model_dump(mode='json', exclude_defaults=True)))}",
        f"supervision: {flow_yaml(cell.supervision.model_dump(mode='json'))}",
        "",
        "config:",
    ]
    lines += [f"  {line}" for line in _config_lines(plan, named, drawn, point)]
    known_repeats = searched.fresh if fresh else searched.repeats
    repeats: dict[str, Any] = {"seeds": list(dict.fromkeys(repeat.seed for repeat in known_repeats))}
    folds = dict.fromkeys(repeat.fold for repeat in known_repeats if repeat.fold is not None)
    if study.repeats.folds and folds:  # of a nested search the one fold on which its winner is tested
        repeats["folds"] = list(folds)
    known = "# those of the search's `replicate`" if fresh else "# the search's own"
    if own_split:
        known = "# the split of its search, which may have seen the test images of others"
    drawn_cell = cell.model_copy(update={"config": point.config})
    if all(trial.id in trained for trial in trials_of(searched, drawn_cell, known_repeats)):
        known += ": trained already"
    lines += [
        "",
        f"repeats: {flow_yaml(repeats)}  {known}",
        f"metrics: {flow_yaml(study.metrics.model_dump(mode='json'))}",
        f"resources: {flow_yaml(study.resources.model_dump(mode='json'))}",
        f"keep: {flow_yaml(study.keep.model_dump(mode='json'))}",
    ]
    return "\n".join([*lines, ""])


def _method(study: Study, cell: Cell) -> str:
    """The method as the search named it; a file with the version that the search trained."""
    named = named_methods(layers_of(study, cell.levels))[-1][0]
    note = f"  # {cell.trainable}: the file lies beside this study" if is_file_method(cell.trainable) else ""
    return f"{flow_yaml(named)}{note}"


def _split_config(plan: Plan, point: Point) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split what the study and its levels set from what was drawn; the preset has the rest."""
    assert point.config is not None
    searched = next(searched for searched in plan.searched if searched.cell.name == point.cell)
    named = named_config(plan.study, searched.cell.levels)
    top = {path.split(".")[1] for path in point.values}
    preset = {"preset": named.pop("preset")} if "preset" in named else {}
    kept = {key: point.config[key] for key in named if key not in top}
    drawn = {key: point.config[key] for key in point.config if key in top}
    return {**preset, **kept}, drawn


def _config_lines(
    plan: Plan, named: Mapping[str, Any], drawn: Mapping[str, Any], point: Point
) -> Iterator[str]:
    for key, value in named.items():
        yield f"{key}: {flow_yaml(value)}"
    yield f"# drawn: point {point.index} of {plan.study.study}, by {point.source}"
    spaces = {path.split(".")[1]: plan.study.space[path] for path in point.values}
    for key, value in drawn.items():
        line = f"{key}: {flow_yaml(value)}"
        flat = len(flatten({key: value})) == 1
        yield f"{line:<34} # from {format_parameter(spaces[key])}" if flat else line


def _data(spec: dict[str, Any]) -> dict[str, Any]:
    """``validation: null`` is written as a user writes it."""
    return {key: "none" if key == "validation" and value is None else value for key, value in spec.items()}


def flow_yaml(value: Any) -> str:
    """YAML in one line, as the studies that come with assay are written."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow_yaml(str(k))}: {flow_yaml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(flow_yaml, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return "".join(map(_printed, json.dumps(value, ensure_ascii=False)))


def _printed(sign: str) -> str:
    """A sign of a quoted text; YAML's readers refuse control characters and their like as they are."""
    return sign if sign.isprintable() else f"\\U{ord(sign):08x}"
