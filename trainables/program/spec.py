"""Description of a training program: the YAML file of a method without Python, and what its commands become.

:class:`ProgramSpec` is the file's shape. :func:`program_problems` names what breaks a rule that a shape can't
say, with the key that it is about. Commands are split into words first and filled in afterwards, so that no
value can become a second argument, and no shell ever sees them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from shutil import which
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model, model_validator

from trainables.contract import Objection, TrainableConfig
from trainables.data.spec import DataSpec, Supervision, SupervisionKind
from trainables.errors import nearest

__all__ = [
    "ProgramConfig",
    "ProgramLog",
    "ProgramSetting",
    "ProgramSpec",
    "filled",
    "make_config",
    "program_problems",
    "stored_objections",
]

_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, serialize_by_alias=True)
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SETTINGS = "settings"  # stands for several words
_COMMON = ("python", "out", "seed", "height", "width", "channels", "threads", "device", _SETTINGS)
_KNOWN: Mapping[str, tuple[str, ...]] = {
    "train": (*_COMMON, "data", "checkpoint"),
    "predict": (*_COMMON, "images", "answers"),
    "resume": ("checkpoint",),
    "keep": ("out",),
    "log": ("out",),
}
_NEEDED: Mapping[str, tuple[str, ...]] = {"train": ("data", "out"), "predict": ("images", "answers")}
_NAME = r"[a-z][a-z0-9_]{0,63}"
_FLAG = re.compile(r"--?[A-Za-z][\w-]*(/--?[A-Za-z][\w-]*)?")
_SHARED = tuple(TrainableConfig.model_fields)  # settings that every method has

Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Scalar = bool | int | float | str
Place = tuple[str | int, ...]  # of a key below the description


class ProgramSetting(BaseModel):
    """A setting that a study may vary: one of `choice`, `float`, `int` and `flag`."""

    model_config = _STRICT
    choice: tuple[Scalar, ...] | None = Field(
        default=None, min_length=1, description="Values, one of which it has."
    )
    number: tuple[float, float] | None = Field(
        default=None, alias="float", description="Least and greatest number."
    )
    whole: tuple[int, int] | None = Field(
        default=None, alias="int", description="Least and greatest whole number."
    )
    flag: Text | None = Field(default=None, description="`--aug`, given where true; or `--aug/--no-aug`.")
    default: Scalar | None = Field(
        default=None, description="Where no study sets it; without one every study does."
    )
    says: str = Field(default="", max_length=200, description="What it is, with its unit.")

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        kinds = {"choice": self.choice, "float": self.number, "int": self.whole, "flag": self.flag}
        given = [name for name, value in kinds.items() if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"a setting has one of choice, float, int and flag, found {', '.join(given) or 'none'}"
            )
        if self.flag is not None and not _FLAG.fullmatch(self.flag):
            raise ValueError(f"a flag is written like `--aug` or `--aug/--no-aug`, found {self.flag!r}")
        bounds = self.number or self.whole
        if bounds is not None and bounds[0] > bounds[1]:
            raise ValueError(f"the least value comes first, found [{bounds[0]}, {bounds[1]}]")
        return self

    def default_problem(self) -> str | None:
        """A sentence on a default that the setting itself would refuse; None where it is right."""
        value = self.default
        if value is None:
            return None
        # True is 1 to Python; as a number of a setting it would be a slip.
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        bounds = self.number or self.whole
        if self.choice is not None:
            rule = f"the default is one of {', '.join(map(_written, self.choice))}"
            right = any(type(value) is type(one) and value == one for one in self.choice)
        elif self.flag is not None:
            rule, right = "the default of a flag is true or false", isinstance(value, bool)
        else:
            assert bounds is not None, "a setting has one kind"
            kind = "whole number" if self.whole is not None else "number"
            rule = f"the default is a {kind} from {bounds[0]:g} to {bounds[1]:g}"
            right = is_number and bounds[0] <= float(value) <= bounds[1]
            right = right and (self.whole is None or float(value).is_integer())
        return None if right else f"{rule}, found {_written(value)}"

    def field(self) -> tuple[Any, Any]:
        """Type and field of a pydantic model."""
        default = ... if self.default is None else self.default
        if self.choice is not None:
            return Literal[self.choice], Field(default, description=self.says)
        if self.flag is not None:
            return bool, Field(default, description=self.says)
        if self.whole is not None:
            return int, Field(default, ge=self.whole[0], le=self.whole[1], description=self.says)
        assert self.number is not None, "a setting has one kind"
        default = default if default is ... else float(default)
        return float, Field(default, ge=self.number[0], le=self.number[1], description=self.says)

    def words(self, name: str, value: Scalar) -> list[str]:
        """The arguments that say this value: ``--lr 0.1``, ``--no-aug``, or none."""
        if self.flag is None:
            return [f"--{name}", _written(value)]
        on, _, off = self.flag.partition("/")
        return [on] if value else [off] if off else []


class ProgramLog(BaseModel):
    """The file in which a program notes its epochs, a line each."""

    model_config = _STRICT
    csv: Text | None = Field(default=None, description="A table with a header: `{out}/log.csv`.")
    jsonl: Text | None = Field(default=None, description="A JSON object in each line: `{out}/log.jsonl`.")
    epoch: Text = Field(default="epoch", description="The column with the epoch; other numbers are curves.")

    @model_validator(mode="after")
    def _is_one_file(self) -> Self:
        if (self.csv is None) == (self.jsonl is None):
            raise ValueError(
                "a log is one file, csv or jsonl, found " + ("none" if self.csv is None else "both")
            )
        return self

    @property
    def path(self) -> str:
        return self.csv or self.jsonl or ""


class ProgramSpec(BaseModel):
    """A training program: its files, its commands and its settings."""

    model_config = _STRICT
    method: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")] = Field(
        default="program", description="Its name in tables; default: that of the file."
    )
    files: tuple[Text, ...] = Field(
        min_length=1, description="Files of the program, beside this one; `conf/*.yaml`."
    )
    python: Text | None = Field(default=None, description="An interpreter of its own; default: assay's.")
    train: Text = Field(description="The command that trains.")
    predict: Text = Field(description="The command that scores a folder of images.")
    settings: dict[Annotated[str, StringConstraints(pattern=f"^{_NAME}$")], ProgramSetting] = Field(
        default_factory=dict, description="What studies may vary."
    )
    learns_from: tuple[SupervisionKind, ...] = Field(
        default=("full", "mixed"), min_length=1, description="Labels that it can learn from."
    )
    without_mask: Literal["leave_out", "label_only"] = Field(
        default="leave_out",
        description="A defective image whose mask may not be seen: left out, or only its label.",
    )
    log: ProgramLog | None = Field(default=None, description="Where it notes its epochs.")
    resume: Text | None = Field(
        default=None, description="Arguments that name a folder which survives attempts."
    )
    keep: tuple[Text, ...] = Field(
        default=("{out}",), min_length=1, description="What is kept of what it wrote."
    )
    scores: Literal["bounded", "unbounded"] = Field(
        default="bounded", description="In [0, 1]; or any number, scaled by the validation images."
    )

    @property
    def resumes(self) -> bool:
        return "checkpoint" in placeholders(f"{self.train} {self.resume or ''}")

    def train_words(self) -> list[str]:
        """The words of the command that trains, not filled in."""
        return [*shlex.split(self.train), *shlex.split(self.resume or "")]


class ProgramConfig(TrainableConfig, frozen=True, extra="forbid"):
    """Settings that every program has; its own are added by :func:`make_config`."""

    added_later = frozenset({"images"})
    images: Literal["resized", "stored"] = Field(
        "resized",
        description="What the program is given: images at image_size with 8 bits, or as they are stored, "
        "with their bits and at their size; maps are brought to image_size.",
    )


def stored_objections(config: Any, supervision: Supervision, data: DataSpec) -> Sequence[Objection]:
    """Why images cannot be given as stored: of a config with a setting ``images``."""
    if config.images != "stored" or data.tiles is None:
        return ()
    return (
        Objection(
            "config.images",
            "images as stored are given whole, found `data.tiles`. Leave one of the two out",
        ),
    )


def make_config(spec: ProgramSpec) -> type[ProgramConfig]:
    """The settings of a program as the platform knows those of any method."""
    fields: dict[str, Any] = {name: setting.field() for name, setting in spec.settings.items()}
    return create_model(f"Config of {spec.method}", __base__=ProgramConfig, **fields)


def placeholders(text: str) -> list[str]:
    """The names in braces."""
    return _PLACEHOLDER.findall(text)


def filled(
    words: Sequence[str], values: Mapping[str, object], settings: Mapping[str, tuple[ProgramSetting, Scalar]]
) -> list[str]:
    """Words with their placeholders filled in; a value stays within its word.

    Args:
        words: Of a command that broke no rule.
        values: By placeholder.
        settings: By name: what the setting is, and its value. `{settings}` stands for all that the command
            doesn't name by itself.
    """
    # A setting that the command names by itself is not given a second time by `{settings}`.
    by_itself = {name for word in words for name in placeholders(word)}
    known = {**values, **{name: _written(value) for name, (_, value) in settings.items()}}
    result: list[str] = []
    for word in words:
        if word == f"{{{_SETTINGS}}}":
            for name, (setting, value) in settings.items():
                result += setting.words(name, value) if name not in by_itself else []
        else:
            result.append(_PLACEHOLDER.sub(lambda match: str(known[match[1]]), word))
    return result


def program_problems(
    spec: ProgramSpec, files: Sequence[str], folder: Path | None
) -> Iterator[tuple[Place, str]]:
    """Rules that the description breaks beyond its shape: the key, and a sentence.

    Args:
        spec: The description.
        files: Relative names of the program's files, as found.
        folder: Where they lie; None where they are a copy and only their names are known.
    """
    yield from _setting_problems(spec)
    if spec.python is not None and "/" in spec.python and not spec.python.startswith(("/", "~")):
        yield (
            ("python",),
            f"`python` is a whole path, `~/…` or a name, found {spec.python}. A study's folder is not "
            "the same on every machine",
        )

    # Each rule is a sentence about one key, and all of them are told at once.
    commands = {"train": spec.train, "predict": spec.predict}
    if spec.resume is not None:
        commands["resume"] = spec.resume
    for key, command in commands.items():
        try:
            words = shlex.split(command)
        except ValueError as error:
            yield (key,), f"a command is words with quotes in pairs, found {command!r}: {error}"
            continue
        yield from ((place, text) for place, text in _command_problems(spec, key, command, words))
        if key != "resume":
            yield from _file_problems(key, words, files, folder)
    for name in (n for n in spec.settings if not {n, _SETTINGS} & set(placeholders(spec.train))):
        yield (
            ("settings", name),
            (
                f"a setting reaches the program by `{{{_SETTINGS}}}` or `{{{name}}}` in `train`, found "
                "neither. Add one"
            ),
        )
    if spec.resume is not None and "checkpoint" not in placeholders(spec.resume):
        yield ("resume",), f"`resume` names the folder {{checkpoint}}, found {spec.resume!r}"
    for i, kept in enumerate(spec.keep):
        if not (kept == "{out}" or kept.startswith("{out}/")) or ".." in PurePosixPath(kept).parts:
            yield ("keep", i), f"what is kept lies in {{out}}, found {kept!r}. Write it as `{{out}}/best.pt`"
    if spec.log is not None and (
        not spec.log.path.startswith("{out}/") or ".." in PurePosixPath(spec.log.path).parts
    ):
        kind = "csv" if spec.log.csv is not None else "jsonl"
        yield (
            ("log", kind),
            f"the log lies in {{out}}, found {spec.log.path!r}. Write it as `{{out}}/log.csv`",
        )


def _setting_problems(spec: ProgramSpec) -> Iterator[tuple[Place, str]]:
    taken = {*_SHARED, "preset", *(name for names in _KNOWN.values() for name in names)}
    for name, setting in spec.settings.items():
        if name in taken:
            yield (
                ("settings", name),
                (
                    f"a setting has a name that means nothing else, found `{name}`: it is a placeholder or a "
                    "setting of every method. Rename it, or use {height}, {width} or {channels}"
                ),
            )
        if problem := setting.default_problem():
            yield ("settings", name, "default"), f"{problem}. Change the default or what the setting may be"


def _command_problems(
    spec: ProgramSpec, key: str, command: str, words: Sequence[str]
) -> Iterator[tuple[Place, str]]:
    known = (*_KNOWN[key], *(spec.settings if key != "resume" else ()))
    for name in dict.fromkeys(placeholders(command)):
        if name not in known:
            yield (key,), f"unknown placeholder `{{{name}}}` in {command!r}; {nearest(name, known)}"
    for name in _NEEDED.get(key, ()):
        if name not in placeholders(command):
            yield (
                (key,),
                f"`{key}` says where {{{name}}} is, found {command!r}. Give {{{name}}} to the program",
            )
    for word in words:
        if f"{{{_SETTINGS}}}" in word and word != f"{{{_SETTINGS}}}":
            yield (key,), f"{{{_SETTINGS}}} is a word of its own, found {word!r}"
    if not words:
        yield (key,), "a command has a program to start, found none"


def _file_problems(
    key: str, words: Sequence[str], files: Sequence[str], folder: Path | None
) -> Iterator[tuple[Place, str]]:
    """Files that a command names and that the program would not find where it runs."""
    if not words:
        return
    # Where the program runs only the named files lie; one that is merely beside the description works here
    # and fails on the worker.
    first, *others = words
    named = PurePosixPath(first).as_posix()
    if not placeholders(first):
        if "/" in first and not first.startswith("/") and named not in files:
            yield (key,), f"{first} is one of `files`, found {', '.join(files[:8])}. Add it there"
        elif "/" not in first and first in files and which(first) is None:
            yield (key,), f"a program among `files` is started as `./{first}`, found `{first}`"
        elif ("/" not in first or first.startswith("/")) and which(first) is None:
            yield (key,), f"{first} is a program of this machine, found none. Install it, or write its path"
    elif first not in ("{python}",):
        yield (key,), f"a command starts with {{python}}, a file or a program, found {first!r}"
    script = others[0] if others and first == "{python}" else ""
    for word in others:
        if placeholders(word) or word.startswith("-"):
            continue
        name = PurePosixPath(word).as_posix()
        is_there = folder is not None and (folder / name).is_file()
        if name not in files and (is_there or (word == script and word.endswith(".py"))):
            where = (
                "lies beside it and is not among `files`"
                if is_there
                else "is neither there nor among `files`"
            )
            yield (key,), f"what a command names is one of `files`: {word} {where}. Add it to `files`"


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
