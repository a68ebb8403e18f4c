"""A method's own Config: what it may hold that a plan cannot keep, and a worker cannot read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.study import Plan, plan_study, read_study
from trainables.errors import InputError

CODE = """\
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy
import torch
from assay_toy import method
from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, computed_field
from trainables.contract import TrainableConfig

ROUNDED = PlainSerializer(lambda share: round(share, 1))


def known(x):
    return {{1: 2}}[x]


def words(x):
    return x.split()


class Plain:
    def __init__(self, x):
        self.x = x.x if isinstance(x, Plain) else x


class Inner(BaseModel, frozen=True):
    share: Annotated[float, ROUNDED]


class Doubled(BaseModel, frozen=True):
    share: Annotated[float, BeforeValidator(lambda x: 2 * x)]


@dataclass(frozen=True)
class Sizes:
    sides: Sequence[int]
    share: Annotated[float, ROUNDED] = 0.5


class Config(TrainableConfig, frozen=True, extra="forbid", arbitrary_types_allowed=True):
    epochs: int = 1
    {line}


TRAINABLE = replace(method.TRAINABLE, name="own", Config=Config, presets={{}}, parameters=None)
"""
STUDY = """\
study: own
trainable: ./own.py:TRAINABLE
data: {reader: synthetic}
supervision: weak
config: {image_size: [32, 32]}
repeats: {seeds: [0]}
"""
JSON = "is kept as JSON .*; found"


def plan(folder: Path, line: str, settings: str = "") -> Plan:
    (folder / "own.py").write_text(CODE.format(line=line))
    (folder / "own.yaml").write_text(STUDY.replace("[32, 32]", f"[32, 32]{settings}"))
    return plan_study(read_study(folder / "own.yaml"), None, "cpu")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("own: float = float('inf')", f"own: a setting {JSON} inf"),
        ("own: float = float('nan')", f"own: a setting {JSON} nan"),
        ("own: dict[str, float] = {'a': float('inf')}", f"own: a setting {JSON} {{'a': inf}}"),
        ("own: Callable = max", f"own: a setting {JSON} <built-in function max>"),
        ("own: Any = object()", f"own: a setting {JSON} <object"),
        ("own: torch.dtype = torch.float32", f"own: a setting {JSON} torch.float32"),
        (r"own: bytes = b'\xff\xfe'", f"own: a setting {JSON} b'"),
        ("own: frozenset[str] = frozenset({'a', 'b'})", "own: a set has another order in each process"),
        ("own: list[set[str]] = [{'a', 'b'}]", "own: a set has another order in each process"),
        ("own: float = Field(3, exclude=True)", "own: .*, and `exclude` keeps it out"),
        (
            "twice = computed_field(return_type=int)(lambda self: 2)",
            "twice: .*`computed_field` makes of it: Extra",
        ),
        (
            "twice = computed_field(return_type=float)(lambda self: float('nan'))",
            ".* kept as JSON or read again: .*ValueError: Out of range",
        ),
        (
            "def resolved(self, device): raise KeyError('a')",
            "the method's code fails in `Config`, .*: own.py:44: KeyError: 'a'",
        ),
        (
            "def identity(self): raise KeyError('a')",
            "the method's code fails in `Config`, .*: own.py:44: KeyError: 'a'",
        ),
        (
            "def identity(self): return {'a': object()}",
            "the method's code fails in `Config`, .*: own.py: TypeError: Object of type object",
        ),
        ("def resolved(self, device): return None", "`Config.resolved` returns a Config, found None"),
    ],
)
def test_what_a_plan_cannot_keep_is_refused_at_its_setting(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"own.yaml:5:1: config(: |\.){message}"):
        plan(tmp_path, line)


def test_a_setting_that_is_read_by_another_name_than_it_is_kept_by_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config.own: a worker .*would refuse what .*`alias`"):
        plan(tmp_path, "own: float = Field(3, alias='theirs')", ", theirs: 4")


@pytest.mark.parametrize(
    ("line", "setting", "message"),
    [
        ("own: Annotated[float, ROUNDED] = 0.5", "0.52", "found 0.52, kept as 0.5, read as 0.5"),
        ("own: Annotated[int, BeforeValidator(lambda x: 2 * x)] = 1", "2", "found 4, kept as 4, read as 8"),
        ("own: list[Doubled] = []", "[{share: 2}]", r"found \[.*4.0\)\], kept as .*4.0}\], read as .*8.0"),
    ],
)
def test_a_setting_that_comes_back_as_another_value_is_refused(
    line: str, setting: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf"config.own: a worker .*come back the same: {message}"):
        plan(tmp_path, line, f", own: {setting}")


@pytest.mark.parametrize(
    ("validator", "setting", "message"),
    [
        ("known", "5", "`Config`: own.py:16: KeyError: 5"),
        ("words", "a b", "`Config`, .* read again: own.py:20: AttributeError: 'list'"),
    ],
)
def test_a_validator_that_fails_is_named_with_its_line(
    validator: str, setting: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf"own.yaml:5:1: config: the method's code fails in {message}"):
        plan(tmp_path, f"own: Annotated[Any, BeforeValidator({validator})] = None", f", own: {setting}")


@pytest.mark.parametrize(
    "line",
    [
        "own: frozenset[str] = frozenset({'a'})",
        "own: tuple[str, ...] = ('a', 'b')",
        "own: Sequence[Inner] = (Inner(share=0.5),)",
        "own: dict[int, tuple[int, ...]] = {1: (2, 3)}",
        "own: bytes = b'ab'",
        "own: float = 3",
        "own: Path = 'weights.pt'",
        "own: Sizes = Sizes((1, 2))",
        "own: Annotated[Plain, BeforeValidator(Plain), PlainSerializer(lambda plain: plain.x)] = Plain(1)",
        "own: Annotated[numpy.ndarray, BeforeValidator(numpy.array), PlainSerializer(list)] = numpy.ones(2)",
    ],
)
def test_what_makes_the_same_config_again_is_planned(line: str, tmp_path: Path) -> None:
    assert plan(tmp_path, line).trials == plan(tmp_path, line).trials


@pytest.mark.parametrize(("kind", "value"), [("Path | None", "'a/b'"), ("tuple[Path, ...] | None", "('a',)")])
@pytest.mark.parametrize("settings", ["", ", own: null"])
def test_what_resolved_sets_is_checked_as_a_worker_does(
    kind: str, value: str, settings: str, tmp_path: Path
) -> None:
    resolved = f"def resolved(self, device): return self.model_copy(update={{'own': {value}}})"
    assert plan(tmp_path, f"own: {kind} = None\n    {resolved}", settings).trials


def test_what_resolved_sets_and_a_worker_reads_as_another_value_is_refused(tmp_path: Path) -> None:
    resolved = "def resolved(self, device): return self.model_copy(update={'own': 0.52})"
    with pytest.raises(InputError, match=r"config.own: a worker .*: found 0.52, kept as 0.5, read as 0.5"):
        plan(tmp_path, f"own: Annotated[float, ROUNDED] = 0.5\n    {resolved}")
