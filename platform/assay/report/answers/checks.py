"""The answers of `assay data check`, `settings` and `doctor` with --json."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from assay.report.answers.base import Answer, schema_name
from assay.study.settings.setting_table import Setting

if TYPE_CHECKING:
    from assay.study.settings.settings import AnyTrainable
    from trainables.data import DataReport

__all__ = [
    "DataAnswer",
    "DoctorAnswer",
    "FindingRow",
    "MethodRow",
    "PortRow",
    "SettingsAnswer",
    "data_answer",
    "method_row",
]


class PartRow(BaseModel):
    """A published part of a data set."""

    images: int
    defective: int


class DataAnswer(Answer):
    """All findings about a data set. With faults the exit code is 2, and this is the answer all the same."""

    schema_: Literal["assay/data-check/1"] = schema_name("assay/data-check/1")
    reader: str
    title: tuple[str, ...] = Field(description="With licence and citation.")
    root: str
    usable: bool
    images: int
    defective: int
    with_mask: int
    items: int = Field(description="Physical ones.")
    by_class: dict[str, int]
    by_split: dict[str, PartRow]
    by_size: dict[str, int] = Field(description="`width × height` → images.")
    masks: tuple[str, ...] = Field(description="Lines of a table.")
    pixels: str
    published: str
    warnings: tuple[str, ...]
    faults: tuple[str, ...]


class MethodRow(BaseModel):
    """A method."""

    method: str
    title: str
    supervision: tuple[str, ...]
    presets: tuple[str, ...]
    source: str


class SettingsAnswer(Answer):
    """Methods and blocks of the study file, or the settings of one of them."""

    schema_: Literal["assay/settings/1"] = schema_name("assay/settings/1")
    of: str | None = Field(description="Method or block; null: all are listed.")
    methods: tuple[MethodRow, ...] = ()
    blocks: dict[str, str] = Field(default={}, description="Block of the study file → what it is about.")
    settings: tuple[Setting, ...] = ()


class FindingRow(BaseModel):
    """One line of an examination."""

    ok: bool
    subject: str
    text: str


class PortRow(BaseModel):
    """A port that a process of Ray listens on."""

    process: str
    address: str
    port: int


class DoctorAnswer(Answer):
    """An examination of this machine and storage. Where something is bad the exit code is 1."""

    schema_: Literal["assay/doctor/1"] = schema_name("assay/doctor/1")
    version: str = Field(description="Of assay.")
    ok: bool
    findings: tuple[FindingRow, ...] = ()
    ports: tuple[PortRow, ...] = Field(default=(), description="Asked for by --ports.")


def data_answer(reader: str, report: DataReport) -> DataAnswer:
    """The report on a data set."""
    parts = {name: PartRow(images=images, defective=bad) for name, (images, bad) in report.by_split.items()}
    facts = {**asdict(report), "root": str(report.root), "by_split": parts, "warnings": report.findings}
    return DataAnswer.model_validate({**facts, "reader": reader, "usable": report.usable})


def method_row(method: AnyTrainable) -> MethodRow:
    """A method with its presets."""
    return MethodRow(
        method=method.name,
        title=method.title,
        supervision=tuple(sorted(method.supervisions)),
        presets=tuple(method.presets),
        source=method.source,
    )
