"""The answers of `assay data check`, `settings` and `doctor` with --json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from assay.report.answers.base import Answer, schema_name

if TYPE_CHECKING:
    from assay.study.setting_table import Setting
    from assay.study.settings import AnyTrainable
    from trainables.data import DataReport

__all__ = [
    "DataAnswer",
    "DoctorAnswer",
    "FindingRow",
    "MethodRow",
    "PortRow",
    "SettingRow",
    "SettingsAnswer",
    "data_answer",
    "method_row",
    "setting_rows",
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


class SettingRow(BaseModel):
    """A setting of a method or of a block of the study file."""

    setting: str = Field(description="As a study writes it.")
    default: str
    may_be: str
    meaning: str
    preset: str | None = Field(description="Its value in the preset that was named.")
    presets: dict[str, tuple[str, ...]] = Field(
        description="Value → presets that set it; of one setting alone."
    )


class SettingsAnswer(Answer):
    """Methods and blocks of the study file, or the settings of one of them."""

    schema_: Literal["assay/settings/1"] = schema_name("assay/settings/1")
    of: str | None = Field(description="Method or block; null: all are listed.")
    methods: tuple[MethodRow, ...] = ()
    blocks: dict[str, str] = Field(default={}, description="Block of the study file → what it is about.")
    settings: tuple[SettingRow, ...] = ()


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


def setting_rows(
    settings: Iterable[Setting],
    preset: Mapping[str, str] | None = None,
    presets: Mapping[str, Iterable[str]] | None = None,
) -> tuple[SettingRow, ...]:
    """A row for each; ``preset``: path → value there, ``presets``: value → presets, of a single setting."""
    by_value = {value: tuple(names) for value, names in (presets or {}).items()}
    return tuple(
        SettingRow(
            setting=setting.path,
            default=setting.default,
            may_be=setting.values,
            meaning=setting.meaning,
            preset=None if preset is None else preset.get(setting.path),
            presets=by_value,
        )
        for setting in settings
    )
