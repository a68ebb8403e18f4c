"""A method that trains nothing, and studies about it: the rules of planning need no network."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, Self

from pydantic import Field

from assay.study import Plan, Study, parse_study, plan_study
from trainables.contract import Trainable, TrainableConfig


class ToyConfig(TrainableConfig, frozen=True):
    """Settings with bounds, and a dial for each factor that a test needs."""

    epochs: int = Field(10, ge=1, description="Epochs.")
    lr: float = Field(0.1, gt=0, description="Learning rate.")
    a: int = Field(0, ge=0, description="First dial.")
    b: int = Field(0, ge=0, description="Second dial.")
    c: int = Field(0, ge=0, description="Third dial.")
    d: int = Field(0, ge=0, description="Fourth dial.")
    batch_size: int = Field(4, ge=1, description="Images per step.")
    warmup: int | None = Field(None, ge=0, description="Epochs of warm-up; default: half of all.")

    def resolved(self, device: Literal["cpu", "cuda"]) -> Self:
        half = self.epochs // 2 if self.warmup is None else self.warmup
        return super().resolved(device).model_copy(update={"warmup": half})


def never(*_: object) -> NoReturn:
    raise AssertionError("planning trains and loads nothing")


TOY: Trainable[Any] = Trainable(
    name="toy",
    revision=1,
    title="Toy",
    Config=ToyConfig,
    presets={"small": {"image_size": (64, 64), "epochs": 3}, "large": {"image_size": (128, 128), "lr": 0.5}},
    supervisions=frozenset({"weak", "mixed", "full"}),
    fit=never,
    load=never,
    footnotes=lambda config: (f"{config.epochs} epochs",) if config.epochs < 5 else (),
    parameters=lambda config: 1_000_000,
)

BASIC: dict[str, Any] = {
    "study": "basic",
    "trainable": "toy",
    "data": {"reader": "synthetic", "options": {"images": 40, "positives": 20, "items": 20}},
    "config": {"preset": "small"},
    "factors": {
        "a": {"off": {"config": {"a": 0}}, "on": {"config": {"a": 1}}},
        "b": {"off": {"config": {"b": 0}}, "on": {"config": {"b": 1}}},
    },
    "design": {"full": "all"},
    "repeats": {"seeds": [0, 1]},
}


def as_yaml(study: Mapping[str, Any]) -> str:
    """The text of a study file, its keys in the order given (JSON is YAML)."""
    return json.dumps(study, ensure_ascii=False)


def study_with(**changes: Any) -> Study:
    """The basic study with other top-level blocks."""
    return parse_study(as_yaml({**copy.deepcopy(BASIC), **changes}), "study.yaml")


def plan(study: Study, **settings: Any) -> Plan:
    """The study's plan without data."""
    return plan_study(study, settings.pop("open_manifest", None), "cpu", find=lambda _: TOY, **settings)


def plan_on_images(study: Study, cache: Path) -> Plan:
    """The study's plan on synthetic images."""
    from trainables.data.manifest import open_manifest

    return plan(study, open_manifest=lambda spec: open_manifest(spec, None, cache))
