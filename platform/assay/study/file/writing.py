"""Writes a study file: the winner of a search as a question of its own, with comments, for people to edit."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from assay.study.file.schema import Study
from assay.study.planning.cells import Cell
from assay.study.planning.identity import flatten
from assay.study.search.points import Point, SearchedCell, changed_parameters, left_out, trials_of
from assay.study.search.search_plan import SearchPlan
from assay.study.search.space import format_parameter
from assay.study.search.spec import Parameter
from assay.study.settings.methods import layers_of, named_methods
from assay.study.settings.nesting import below
from assay.study.settings.settings import AnyTrainable, named_config
from trainables.errors import InputError
from trainables.plugins.method_files import is_file_method

__all__ = ["flow_yaml", "study_of_point", "study_that_leaves_one_out"]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_WORDS = {"null", "true", "false", "on", "off", "yes", "no", "y", "n"}  # the last ones: to YAML 1.1
_WIDTH = 102  # of a line of comment


def study_of_point(
    plan: SearchPlan,
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
    what = "the best point" if best else point.name
    fresh = " on fresh seeds" if _has_fresh_seeds(plan, searched) else ""
    named, drawn = _split_config(plan, point)
    lines = [
        *_head(plan, searched, name, why, f"What is {what} of {plan.study.study} worth{fresh}?"),
        "config:",
        *(f"  {line}" for line in _config_lines(plan, named, drawn, point)),
        "",
        *_tail(plan, searched, point, trained),
    ]
    return "\n".join([*lines, ""])


def study_that_leaves_one_out(
    plan: SearchPlan,
    searched: SearchedCell,
    point: Point,
    name: str,
    why: str,
    *,
    trainable: AnyTrainable,
    trained: Container[str] = (),
) -> str:
    """The text of a study that takes a point apart: the point, and the point without each of its changes.

    A parameter that the search changed is a factor: ``drawn``, or ``base``, where the setting is as in the
    cell that was searched. What was drawn only because of another one is its sub-factor, and is gone with it.

    Arguments are those of :func:`study_of_point`; ``trainable``: method of the cell.

    Raises:
        InputError: If the point has the settings of its cell, so that there is nothing to leave out.
    """
    assert point.config is not None
    study, whole = plan.study, flatten({"config": point.config})

    # What the cell is without each change. A change that the method cannot do without stays in the base.
    without: dict[str, Point] = {}
    notes: list[str] = []
    for path in changed_parameters(searched, point):
        one_less = left_out(study, trainable, searched, plan.device, point=point, path=path)
        if one_less.config is None:
            notes.append(f"# {path} is in every cell: without it the method says: {one_less.reason}")
        else:
            without[path] = one_less
    if not without:
        raise InputError(
            f"a point is taken apart where the search changed something, found {point.name}: it has the "
            f"settings of its cell{', or needs those that it changed' if notes else ''}. Take another with "
            "--point, or leave --design out."
        )
    factors = _factor_names(without)
    parents = {path: _parents_among(study.space, path, factors) for path in point.values}

    # The base has what every cell has. Of a parent that is left out, unchanged parameters are gone as well.
    config = named_config(study, searched.cell.levels)
    levels = {path: _with_setting({}, path, point.values[path]) for path in without}
    for path, value in point.values.items():
        if path in without:
            continue
        if parents[path]:
            levels[parents[path][-1]] = _with_setting(levels[parents[path][-1]], path, value)
        else:
            config = _with_setting(config, path, value)

    # The design: sub-factors are there with the drawn level of what they hang on.
    nested = {
        factor: {factors[parent]: "drawn" for parent in parents[path]}
        for path, factor in factors.items()
        if parents[path]
    }
    # Settings that follow others (a warm-up of half the epochs) differ beside the factor, and are meant to.
    follow: dict[str, str] = {}
    for path, one_less in without.items():
        less = flatten({"config": one_less.config})
        step = {factors[path], *below(nested, factors[path])}
        varied = {
            setting
            for other, factor in factors.items()
            if factor in step
            for setting in flatten({"config": levels[other]})
        }
        differing = {key for key in {*whole, *less} if whole.get(key) != less.get(key)}
        follow |= dict.fromkeys(sorted(differing - varied), f"follows {path}")

    before = flatten({"config": searched.cell.config})
    lines = [
        *_head(plan, searched, name, why, f"What is each setting of {point.name} of {study.study} worth?"),
        "config:" if config or notes else "config: {}",
        *(f"  {key}: {flow_yaml(value)}" for key, value in config.items()),
        *(f"  {note}" for note in notes),
        f"factors:  # base: as in the cell that was searched. drawn: point {point.index}, by {point.source}",
    ]
    for path, factor in factors.items():
        own = flow_yaml(before[path]) if path in before else "not set"
        lines += [
            f"  {factor}:",
            f"    base: {{}}  # {own}",
            f"    drawn: {{config: {flow_yaml(levels[path])}}}  # from {format_parameter(study.space[path])}",
        ]
    lines += [f"nested: {flow_yaml(nested)}"] if nested else []
    lines.append(
        f"design: {flow_yaml({'leave_one_out': {'whole': dict.fromkeys(factors.values(), 'drawn')}})}"
    )
    lines += [f"allow: {flow_yaml(follow)}"] if follow else []
    lines += ["", *_tail(plan, searched, point, trained)]
    return "\n".join([*lines, ""])


def _has_own_split(plan: SearchPlan, searched: SearchedCell) -> bool:
    """True where a fresh seed would draw a split whose test images a nested search may have seen."""
    return plan.search.nested and searched.cell.data.splits == "per_seed"


def _has_fresh_seeds(plan: SearchPlan, searched: SearchedCell) -> bool:
    return plan.study.replicate is not None and not _has_own_split(plan, searched)


def _head(plan: SearchPlan, searched: SearchedCell, name: str, why: str, question: str) -> list[str]:
    """Lines on why there is the study, its question, and what is trained on what."""
    cell = searched.cell
    return [
        textwrap.fill(why, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False),
        "#",
        f"#   assay run {name}.yaml",
        "",
        f"study: {name}",
        f"question: {flow_yaml(question)}",
        f"trainable: {_method(plan.study, cell)}",
        f"data: {flow_yaml(_data(cell.data.model_dump(mode='json', exclude_defaults=True)))}",
        f"supervision: {flow_yaml(cell.supervision.model_dump(mode='json'))}",
        "",
    ]


def _tail(plan: SearchPlan, searched: SearchedCell, point: Point, trained: Container[str]) -> list[str]:
    """Repeats, with a remark on what is trained already, and what is measured and kept."""
    study, cell = plan.study, searched.cell
    fresh = _has_fresh_seeds(plan, searched)
    known_repeats = searched.fresh if fresh else searched.repeats
    repeats: dict[str, Any] = {"seeds": list(dict.fromkeys(repeat.seed for repeat in known_repeats))}
    folds = dict.fromkeys(repeat.fold for repeat in known_repeats if repeat.fold is not None)
    if study.repeats.folds and folds:  # of a nested search the one fold on which its winner is tested
        repeats["folds"] = list(folds)
    known = "# those of the search's `replicate`" if fresh else "# the search's own"
    if _has_own_split(plan, searched):
        known = "# the split of its search, which may have seen the test images of others"
    drawn_cell = cell.model_copy(update={"config": point.config})
    if all(trial.id in trained for trial in trials_of(searched, drawn_cell, known_repeats)):
        known += ": trained already"
    return [
        f"repeats: {flow_yaml(repeats)}  {known}",
        f"metrics: {flow_yaml(study.metrics.model_dump(mode='json'))}",
        f"resources: {flow_yaml(study.resources.model_dump(mode='json'))}",
        f"keep: {flow_yaml(study.keep.model_dump(mode='json'))}",
    ]


def _factor_names(paths: Iterable[str]) -> dict[str, str]:
    """Path of a setting → name of its factor: ``config.tail.size`` → ``tail_size``."""
    names: dict[str, str] = {}
    for path in paths:
        plain = re.sub(r"[^a-z0-9_-]", "_", path.partition(".")[2].lower())
        free = (plain[:64], *(f"{plain[:60]}_{number}" for number in range(2, 1000)))
        names[path] = next(name for name in free if name not in names.values())
    return names


def _parents_among(space: Mapping[str, Parameter], path: str, factors: Collection[str]) -> list[str]:
    """The factors on which a parameter hangs; those on which another parameter hangs that is none."""
    parents: dict[str, None] = {}
    for other in space[path].when:
        parents |= dict.fromkeys([other] if other in factors else _parents_among(space, other, factors))
    return list(parents)


def _with_setting(config: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A block of settings with one more: ``config.tail.size``, or ``tail.size``."""
    key, _, rest = path.removeprefix("config.").partition(".")
    inner = config.get(key)
    block = inner if isinstance(inner, Mapping) else {}
    return {**config, key: _with_setting(block, rest, value) if rest else value}


def _method(study: Study, cell: Cell) -> str:
    """The method as the search named it; a file with the version that the search trained."""
    named = named_methods(layers_of(study, cell.levels))[-1][0]
    note = f"  # {cell.trainable}: the file lies beside this study" if is_file_method(cell.trainable) else ""
    return f"{flow_yaml(named)}{note}"


def _split_config(plan: SearchPlan, point: Point) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split what the study and its levels set from what was drawn; the preset has the rest."""
    assert point.config is not None
    named = named_config(plan.study, plan.by_name[point.cell].cell.levels)
    top = {path.split(".")[1] for path in point.values}
    preset = {"preset": named.pop("preset")} if "preset" in named else {}
    kept = {key: point.config[key] for key in named if key not in top}
    drawn = {key: point.config[key] for key in point.config if key in top}
    return {**preset, **kept}, drawn


def _config_lines(
    plan: SearchPlan, named: Mapping[str, Any], drawn: Mapping[str, Any], point: Point
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
    """Write ``validation: null`` as a user does."""
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
