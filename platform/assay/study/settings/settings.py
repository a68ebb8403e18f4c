"""Settings of a cell: its method, a preset, then the study's config, then the settings of its levels.

Each setting remembers where it stands in the study file, so that the trainable's complaint about a value
points to the line that set it.

``auto`` is decided by the study's `resources.gpus`, not by the machine at hand: a laptop plans the same ids
as the cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, cast

from assay.study.file.reading import check_model
from assay.study.file.schema import Level, Study
from assay.study.file.source import KeyPath, StudyProblem
from assay.study.planning.cells import Cell
from assay.study.planning.identity import canonical_json, flatten
from assay.study.search.spec import Scalar
from assay.study.settings.kept_config import kept_config
from assay.study.settings.methods import (
    SHARED,
    Layer,
    is_own_setting,
    layers_of,
    named_methods,
    shared_settings,
)
from assay.study.settings.nesting import NO_LEVEL
from trainables.contract import Trainable, TrainableConfig
from trainables.data.spec import DataSpec, Supervision
from trainables.errors import nearest
from trainables.plugins.method_files import method_error_line

__all__ = [
    "AnyTrainable",
    "Device",
    "PlannedCell",
    "Settings",
    "level_paths",
    "named_config",
    "named_settings",
    "resolve_settings",
]

Device = Literal["cpu", "cuda"]
AnyTrainable = Trainable[TrainableConfig]


@dataclass(frozen=True)
class Settings:
    """The checked, fully resolved settings of a cell."""

    trainable: AnyTrainable
    config: TrainableConfig
    supervision: Supervision
    data: DataSpec
    places: Mapping[KeyPath, KeyPath]  # setting → where the file sets it
    written: Mapping[str, Any]  # `config` as the file has it, flat: with `preset`, and with `auto`

    @cached_property
    def flat(self) -> Mapping[str, Any]:
        """All settings as JSON values: ``trainable``, ``config.lr``, ``supervision``, ``data.reader`` …"""
        return flatten(
            {
                "trainable": self.trainable.name,
                "config": self.config.model_dump(mode="json"),
                "supervision": str(self.supervision),
                "data": self.data.model_dump(mode="json"),
            }
        )

    @cached_property
    def as_written(self) -> Mapping[str, Any]:
        """The same, to be put beside another method's.

        Of the settings that the other one need not have, those that the file names. Those that both have are
        as the file has them, so that an ``auto`` that two methods decide differently is no difference.
        """
        others = {path: value for path, value in self.flat.items() if not path.startswith("config.")}
        return {**others, **self.written}

    def place(self, *setting: str) -> KeyPath:
        """Place in the study file that sets something."""
        return _place(self.places, setting)


def resolve_settings(
    study: Study,
    trainable: AnyTrainable,
    levels: Mapping[str, str],
    device: Device,
    *,
    drawn: Mapping[str, Scalar] = MappingProxyType({}),
    override: Layer | None = None,
) -> tuple[Settings | None, list[StudyProblem]]:
    """The settings of a cell, or the problems in them.

    Args:
        study: Has the base and the levels.
        trainable: The cell's method (:func:`assay.study.settings.methods.named_methods`): checks them.
        levels: Of the cell.
        device: What ``auto`` settings are decided for.
        drawn: What a search sets on top of the levels.
        override: What the cell's row sets on top of the levels, and where.
    """
    problems = list(_conflicts(study, levels))
    layers = layers_of(study, levels, override)
    if len({name for name, at in named_methods(layers) if at[0] == "factors"}) > 1:
        return None, problems  # nobody can say whose settings the others are

    # From the base upwards each layer sets what it names and notes where: so a mistake is told at the line
    # that made it, and not at the top.
    config, places = _layered_config(layers)
    data, data_places = _layered_data(layers)
    places |= data_places
    supervision = study.supervision
    for at, layer in layers:
        if layer.supervision is not None:
            supervision = layer.supervision
            places[("supervision",)] = (*at, "supervision")
    for path, value in drawn.items():
        parts = tuple(path.split("."))
        config = _merged(config, _nested(parts[1:], value))
        places[parts] = ("space", path)

    # The preset lies below all that the study itself has written. `_preset` takes its key out of the config,
    # so what was named is noted before.
    named = flatten({"config": config}) if config else {}
    preset, preset_problems = _preset(trainable, config, places)
    checked, config_problems = _checked_config(trainable, _merged(preset, config))
    spec, data_problems = check_model(DataSpec, data, ("data",))
    problems += preset_problems
    if spec is not None:
        data_problems += _reader_problems(spec)
    problems += [
        StudyProblem(_place(places, problem.path), problem.message)
        for problem in config_problems + data_problems
    ]
    if supervision.kind not in trainable.supervisions:
        message = (
            f"{trainable.name} trains with supervision {', '.join(sorted(trainable.supervisions))}; "
            f"found {supervision}"
        )
        problems.append(StudyProblem(_place(places, ("supervision",)), message))
    elif checked is not None and spec is not None:
        for setting, message in trainable.objections(checked, supervision, spec):
            problems.append(StudyProblem(_place(places, tuple(setting.split("."))), message))
    if problems or checked is None or spec is None:
        return None, problems

    # At last every `auto` is decided for the device. What results is what ids are made of and what workers
    # read.
    resolved, unkept = kept_config(trainable.name, checked, device)
    if resolved is None:
        return None, [StudyProblem(_place(places, problem.path), problem.message) for problem in unkept]
    shared = flatten({"config": shared_settings(checked.model_dump(mode="json"))})
    written = {**shared, **{path: value for path, value in named.items() if is_own_setting(path)}}
    return Settings(trainable, resolved, supervision, spec, places, written), []


class PlannedCell(NamedTuple):
    """A cell, and what it was made of."""

    cell: Cell
    settings: Settings


def named_settings(study: Study) -> dict[str, Any]:
    """Settings that all cells start from in a study whose levels name the methods, flat."""
    defaults = {
        name: field.default for name, field in TrainableConfig.model_fields.items() if not field.is_required()
    }
    return flatten(
        {
            "config": {**defaults, **study.config},
            "supervision": str(study.supervision),
            "data": study.data.model_dump(mode="json"),
        }
    )


def named_config(study: Study, levels: Mapping[str, str]) -> dict[str, Any]:
    """Part of a cell's `config` that base and levels name, with `preset`."""
    return _layered_config(layers_of(study, levels))[0]


def level_paths(trainable: AnyTrainable, level_settings: Level) -> set[str]:
    """The settings that a level or an override is about, as flat paths; a parent stands for all below it.

    A preset stands for all that the method's presets set.
    """
    paths = set(flatten({"config": level_settings.config}) if level_settings.config else ())
    if level_settings.trainable is not None:
        paths.add("trainable")
    if level_settings.supervision is not None:
        paths.add("supervision")

    # With another reader all of the data are others: no single setting tells the difference.
    if "reader" in level_settings.data:
        paths.add("data")
    elif level_settings.data:
        paths |= set(flatten({"data": level_settings.data}))
    if "config.preset" in paths:
        paths |= {path for preset in trainable.presets.values() for path in flatten({"config": preset})}
    return paths


def _layered_config(layers: Sequence[Layer]) -> tuple[dict[str, Any], dict[KeyPath, KeyPath]]:
    """`config` of all layers, and where the file sets what; a method leaves to the next one what all have."""
    base, *above = layers
    method = base[1].trainable
    config, places = dict(base[1].config), _layer_places(base, "config")
    # The row's own layer comes last; of the levels the one that names the method first: others refine it.
    for at, layer in sorted(above, key=lambda one: (one[0][:1] != ("factors",), one[1].trainable is None)):
        # Another method takes over nothing but the settings that all methods have: the rest was meant for the
        # one before.
        if layer.trainable not in (None, method):
            method = layer.trainable
            config = shared_settings(config)
            shared = {("config", name) for name in SHARED}
            kept = {setting: place for setting, place in places.items() if setting[:2] in shared}
            places = {("config",): (*at, "config"), **kept}
        config = _merged(config, layer.config)
        places |= _layer_places((at, layer), "config")
    return config, places


def _layered_data(layers: Sequence[Layer]) -> tuple[dict[str, Any], dict[KeyPath, KeyPath]]:
    """`data` of all layers, and where the file sets what; a layer with a reader has a block of its own."""
    base, *above = layers
    data, places = dict(base[1].data), _layer_places(base, "data")

    # The row's own layer comes last; of the levels the one that names the reader first: the options of the
    # others refine it, and are of no other reader.
    for at, layer in sorted(above, key=lambda one: (one[0][:1] != ("factors",), "reader" not in one[1].data)):
        if "reader" in layer.data:
            data, places = {}, {("data",): (*at, "data")}
        data = _merged(data, layer.data)
        places |= _layer_places((at, layer), "data")
    return data, places


def _conflicts(study: Study, levels: Mapping[str, str]) -> Iterator[StudyProblem]:
    """Settings that two levels of one cell set to different values."""
    seen: dict[str, tuple[str, str, Any]] = {}
    for factor, level in levels.items():
        if level == NO_LEVEL:
            continue
        level_settings = study.factors[factor][level]
        settings: dict[str, Any] = {"config": level_settings.config, "data": level_settings.data}
        if level_settings.trainable is not None:
            settings["trainable"] = level_settings.trainable
        if level_settings.supervision is not None:
            settings["supervision"] = str(level_settings.supervision)
        for path, value in flatten(settings).items():
            if value == {}:
                continue

            # Equal values are no conflict: levels of two factors may need the same setting.
            other = seen.setdefault(path, (factor, level, value))
            if canonical_json(other[2]) != canonical_json(value):
                yield StudyProblem(
                    ("factors", factor, level),
                    f"level `{level}` of {factor} sets {path} to {value!r}, level `{other[1]}` of {other[0]} "
                    f"to {other[2]!r}, and the design combines them: let one factor set it",
                )


def _preset(
    trainable: AnyTrainable, config: dict[str, Any], places: Mapping[KeyPath, KeyPath]
) -> tuple[Mapping[str, Any], list[StudyProblem]]:
    """Take ``preset`` out of ``config``, and return the published settings of that name."""
    name = config.pop("preset", None)
    if name is None:
        return {}, []
    if isinstance(name, str) and name in trainable.presets:
        return trainable.presets[name], []
    place = _place(places, ("config", "preset"))
    return {}, [
        StudyProblem(
            place, f"{trainable.name} has no preset `{name}`; {nearest(str(name), trainable.presets)}"
        )
    ]


def _checked_config(
    trainable: AnyTrainable, config: dict[str, Any]
) -> tuple[TrainableConfig | None, list[StudyProblem]]:
    try:
        return check_model(trainable.Config, config, ("config",))
    except Exception as error:  # noqa: BLE001 - a validator of the method's, told with its line
        message = f"the method's code fails in `Config`: {method_error_line(trainable.name, error)}"
        return None, [StudyProblem(("config",), message)]


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay ``over`` on top of ``base``; mappings in both are merged key by key."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            result[key] = _merged(cast(Mapping[str, Any], old), cast(Mapping[str, Any], value))
        else:
            result[key] = value
    return result


def _nested(keys: KeyPath, value: Any) -> dict[str, Any]:
    """Write ``("a", "b"), 1`` as ``{"a": {"b": 1}}``."""
    for key in reversed(keys):
        value = {key: value}
    return value


def _reader_problems(spec: DataSpec) -> list[StudyProblem]:
    from trainables.data.readers import READERS

    classes = spec.classes or ()
    if spec.classes is not None and len(set(classes)) != max(1, len(classes)):
        message = (
            f"defect classes to keep are named once each, found {list(classes)}. Leave it out to keep all"
        )
        return [StudyProblem(("data", "classes"), message)]
    if spec.reader not in READERS:
        message = f"there is no reader `{spec.reader}`; {nearest(spec.reader, READERS)}"
        return [StudyProblem(("data", "reader"), message)]
    return check_model(READERS[spec.reader].Options, spec.options, ("data", "options"))[1]


def _layer_places(layer: Layer, part: Literal["config", "data"]) -> dict[KeyPath, KeyPath]:
    """Setting → place for what a layer sets; the block itself (for keys that miss) where it is the base's."""
    at, level = layer
    places = {setting: (*at, *setting) for setting in _nodes(getattr(level, part), (part,))}
    return places if at else {(part,): (part,), **places}


def _nodes(settings: Mapping[str, Any], at: KeyPath) -> Iterator[KeyPath]:
    for key, value in settings.items():
        yield (*at, key)
        if isinstance(value, Mapping):
            yield from _nodes(cast(Mapping[str, Any], value), (*at, key))


def _place(places: Mapping[KeyPath, KeyPath], setting: KeyPath) -> KeyPath:
    known = setting
    while known and known not in places:
        known = known[:-1]
    return (*places[known], *setting[len(known) :]) if known else setting
