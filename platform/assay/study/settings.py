"""What a cell trains with: preset, then the study's config, then the settings of its levels.

Each setting remembers where it stands in the study file, so that the trainable's complaint about a value
points to the line that set it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, cast

from assay.study.identity import canonical_json, flatten
from assay.study.nesting import NO_LEVEL
from assay.study.reading import check_model
from assay.study.schema import Level, Study
from assay.study.search import Scalar
from assay.study.source import Path, Problem, nearest
from trainables.contract import Trainable, TrainableConfig
from trainables.data.spec import DataSpec, Supervision

__all__ = ["Device", "Settings", "bundle_paths", "resolve_settings"]

Device = Literal["cpu", "cuda"]
AnyTrainable = Trainable[TrainableConfig]


@dataclass(frozen=True)
class Settings:
    """The checked, fully resolved settings of a cell."""

    config: TrainableConfig
    supervision: Supervision
    data: DataSpec
    places: Mapping[Path, Path]  # setting → where the file sets it

    def as_dict(self) -> dict[str, Any]:
        """All settings as JSON values, flat: ``config.lr``, ``supervision``, ``data.reader`` …"""
        return flatten(
            {
                "config": self.config.model_dump(mode="json"),
                "supervision": str(self.supervision),
                "data": self.data.model_dump(mode="json"),
            }
        )

    def place(self, *setting: str) -> Path:
        """Where the study file sets something."""
        return _place(self.places, setting)


def resolve_settings(
    study: Study,
    trainable: AnyTrainable,
    levels: Mapping[str, str],
    device: Device,
    *,
    drawn: Mapping[str, Scalar] = MappingProxyType({}),
    override: tuple[Path, Level] | None = None,
) -> tuple[Settings | None, list[Problem]]:
    """The settings of a cell, or the problems in them.

    Args:
        study: Has the base and the levels.
        trainable: Checks them.
        levels: Of the cell.
        device: What ``auto`` settings are decided for.
        drawn: What a search sets on top of the levels.
        override: What the cell's row sets on top of the levels, and where.
    """
    problems = list(_conflicts(study, levels))
    places: dict[Path, Path] = {}
    config: dict[str, Any] = {}
    data: dict[str, Any] = {}
    supervision = study.supervision
    for at, layer in (*_layers(study, levels), *((override,) if override else ())):
        if "reader" in layer.data:
            data = {}
            places = {setting: place for setting, place in places.items() if setting[0] != "data"}
        data = _merged(data, layer.data)
        config = _merged(config, layer.config)
        if layer.supervision is not None:
            supervision = layer.supervision
            places[("supervision",)] = (*at, "supervision")
        places |= _layer_places(at, layer)
    for path, value in drawn.items():
        parts = tuple(path.split("."))
        config = _merged(config, _nested(parts[1:], value))
        places[parts] = ("space", path)
    preset, preset_problems = _preset(trainable, config, places)
    checked, config_problems = check_model(trainable.Config, _merged(preset, config), ("config",))
    spec, data_problems = check_model(DataSpec, data, ("data",))
    problems += preset_problems
    if spec is not None:
        data_problems += _reader_problems(spec)
    problems += [
        Problem(_place(places, problem.path), problem.message) for problem in config_problems + data_problems
    ]
    if supervision.kind not in trainable.supervisions:
        message = (
            f"{trainable.name} trains with supervision {', '.join(sorted(trainable.supervisions))}; "
            f"found {supervision}"
        )
        problems.append(Problem(_place(places, ("supervision",)), message))
    elif checked is not None and spec is not None:
        for setting, message in trainable.objections(checked, supervision, spec):
            problems.append(Problem(_place(places, tuple(setting.split("."))), message))
    if problems or checked is None or spec is None:
        return None, problems
    return Settings(checked.resolved(device), supervision, spec, places), []


def bundle_paths(trainable: AnyTrainable, bundle: Level) -> set[str]:
    """The settings that a level or an override is about, as flat paths; a parent stands for all below it."""
    paths = set(flatten({"config": bundle.config}) if bundle.config else ())
    if bundle.supervision is not None:
        paths.add("supervision")
    if "reader" in bundle.data:
        paths.add("data")
    elif bundle.data:
        paths |= set(flatten({"data": bundle.data}))
    if "config.preset" in paths:
        paths |= {path for preset in trainable.presets.values() for path in flatten({"config": preset})}
    return paths


def _layers(study: Study, levels: Mapping[str, str]) -> Iterator[tuple[Path, Level]]:
    """The base, then the levels; a level that names a reader first, since others refine its data."""
    data = study.data.model_dump(mode="json", exclude_unset=True)
    yield (), Level(config=study.config, data=data)
    chosen = [
        (("factors", factor, level), study.factors[factor][level])
        for factor, level in levels.items()
        if level != NO_LEVEL
    ]
    yield from sorted(chosen, key=lambda layer: "reader" not in layer[1].data)


def _conflicts(study: Study, levels: Mapping[str, str]) -> Iterator[Problem]:
    """Settings that two levels of one cell set to different values."""
    seen: dict[str, tuple[str, str, Any]] = {}
    for factor, level in levels.items():
        if level == NO_LEVEL:
            continue
        bundle = study.factors[factor][level]
        settings: dict[str, Any] = {"config": bundle.config, "data": bundle.data}
        if bundle.supervision is not None:
            settings["supervision"] = str(bundle.supervision)
        for path, value in flatten(settings).items():
            if value == {}:
                continue
            other = seen.setdefault(path, (factor, level, value))
            if canonical_json(other[2]) != canonical_json(value):
                yield Problem(
                    ("factors", factor, level),
                    f"level `{level}` of {factor} sets {path} to {value!r}, level `{other[1]}` of {other[0]} "
                    f"to {other[2]!r}, and the design combines them: let one factor set it",
                )


def _preset(
    trainable: AnyTrainable, config: dict[str, Any], places: Mapping[Path, Path]
) -> tuple[Mapping[str, Any], list[Problem]]:
    """Takes ``preset`` out of ``config`` and returns the published settings of that name."""
    name = config.pop("preset", None)
    if name is None:
        return {}, []
    if isinstance(name, str) and name in trainable.presets:
        return trainable.presets[name], []
    place = _place(places, ("config", "preset"))
    return {}, [
        Problem(place, f"{trainable.name} has no preset `{name}`; {nearest(str(name), trainable.presets)}")
    ]


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` on top of ``base``; mappings in both are merged key by key."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            result[key] = _merged(cast(Mapping[str, Any], old), cast(Mapping[str, Any], value))
        else:
            result[key] = value
    return result


def _nested(keys: Path, value: Any) -> dict[str, Any]:
    """``("a", "b"), 1`` as ``{"a": {"b": 1}}``."""
    for key in reversed(keys):
        value = {key: value}
    return value


def _reader_problems(spec: DataSpec) -> list[Problem]:
    from trainables.data.readers import READERS

    if spec.reader not in READERS:
        message = f"there is no reader `{spec.reader}`; {nearest(spec.reader, READERS)}"
        return [Problem(("data", "reader"), message)]
    return check_model(READERS[spec.reader].Options, spec.options, ("data", "options"))[1]


def _layer_places(at: Path, layer: Level) -> dict[Path, Path]:
    """Setting → place for what a layer sets. The block itself (for keys that miss) is the base's."""
    places: dict[Path, Path] = {}
    for part, settings in (("config", layer.config), ("data", layer.data)):
        if not at or "reader" in settings:
            places[(part,)] = (*at, part)
        places |= {setting: (*at, *setting) for setting in _nodes(settings, (part,))}
    return places


def _nodes(settings: Mapping[str, Any], at: Path) -> Iterator[Path]:
    for key, value in settings.items():
        yield (*at, key)
        if isinstance(value, Mapping):
            yield from _nodes(cast(Mapping[str, Any], value), (*at, key))


def _place(places: Mapping[Path, Path], setting: Path) -> Path:
    known = setting
    while known and known not in places:
        known = known[:-1]
    return (*places[known], *setting[len(known) :]) if known else setting
