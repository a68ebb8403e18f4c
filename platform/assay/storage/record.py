"""Record that a trial leaves behind: the source of truth for every table and page.

A record has two parts. ``result`` is what must be identical after a resume: metrics, thresholds, weights'
hash. The rest (times, machine, attempts) says how it came about. Keys are sorted and floats written as they
are, so equal results are equal bytes.

A record carries its own checksum: its file opens with a checksum of its content
(:mod:`assay.storage.files.checksum`), its scores lie in the ranges of their metrics, and its trial is the one
that was planned. One that does not is a :class:`DamagedRecord`: named, and never used.

A record holds no environment values, and credentials inside URIs are blotted out when it is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from assay.storage.files.checksum import with_checksum, without_checksum
from assay.storage.files.files import json_bytes
from assay.study import Trial
from trainables.errors import InputError
from trainables.evaluation.evaluate import ChosenThresholds
from trainables.evaluation.metrics import LABEL_FREE_METRICS, METRICS
from trainables.evaluation.metrics.base import ROUNDING
from trainables.evaluation.metrics.regions import DefectScore
from trainables.evaluation.stage_maps import StageScores

__all__ = [
    "DamagedRecord",
    "Environment",
    "Record",
    "Result",
    "StageUse",
    "Status",
    "Worker",
    "differences",
    "read_record",
]

Status = Literal["finished", "diverged", "pruned", "failed"]


class Worker(BaseModel, frozen=True, extra="forbid"):
    """One Train worker of a trial."""

    rank: int
    pid: int
    node: str
    shard_hash: str | None = Field(
        default=None, description="sha256 over the sample ids this worker trained on."
    )
    samples: int = Field(default=0, description="Images this worker saw, over all epochs.")
    weights_hash: str | None = Field(
        default=None, description="sha256 over the final weights of this worker."
    )


class Environment(BaseModel, frozen=True, extra="forbid"):
    """Machine and software with which a trial ran."""

    node: str = Field(default="", description="Ray's node id.")
    host: str = ""
    pid: int = 0
    driver_pid: int = 0
    world_size: int = 1
    workers: tuple[Worker, ...] = ()
    earlier_world_sizes: tuple[int, ...] = Field(
        default=(), description="Of the attempts before; empty where all had as many workers."
    )
    threads: int = Field(
        default=0, description="Of torch within one operation; a result's last bits depend on it."
    )
    instructions: str = Field(
        default="",
        description="Instruction set of the CPU that torch used, `AVX512`: last bits depend on it. "
        "Empty where nothing was trained.",
    )
    device: str = "cpu"
    gpu_share: float | None = Field(
        default=None,
        description="Of its memory that each worker could fill; 1 where a trial that shares one was tried "
        "again alone. None: on a CPU.",
    )
    versions: dict[str, str] = Field(default_factory=dict)
    imports: dict[str, str] = Field(
        default_factory=dict,
        description="Versions of what the method's own files import beside these, by distribution.",
    )
    program_packages: dict[str, str] = Field(
        default_factory=dict,
        description="Versions in the interpreter of a program's own, and `python` its version.",
    )
    source_hash: str = Field(default="", description="sha256 over the source files of the program.")
    commit: str = Field(default="", description="Commit of the checkout; empty when there is none.")
    peak_memory_mb: float | None = Field(default=None, description="Of the process that trained.")
    confined_by: str = Field(
        default="", description="What kept test images and other files from training: `landlock 7`."
    )

    @property
    def device_kind(self) -> str:
        """``cpu`` or ``cuda``, whichever of a machine's it was; empty where nothing was trained."""
        return self.device.partition(":")[0] if self.instructions else ""


class StageUse(BaseModel, frozen=True, extra="forbid"):
    """A stage that a trial used. Its price counts for each trial that did."""

    name: str
    key: str
    seconds: float = Field(description="That making it took, whoever made it.")
    reused: bool = Field(description="Whether it was there when the trial asked for it.")


class Result(BaseModel, frozen=True, extra="forbid"):
    """Findings of a trial: the same bytes however often it was interrupted."""

    metrics: dict[str, FiniteFloat] = Field(description="Test; an undefined metric is absent.")
    undefined: dict[str, str] = Field(default_factory=dict, description="Why a metric is absent.")
    validation: dict[str, FiniteFloat] = Field(default_factory=dict)
    stages: tuple[StageScores, ...] = Field(default=(), description="Of a model that shows them, in order.")
    defects: tuple[DefectScore, ...] = Field(
        default=(), description="By class and by size; empty without known test masks."
    )
    thresholds: ChosenThresholds | None = None
    notes: tuple[str, ...] = ()
    epochs: int
    weights_hash: str
    n_train: int = Field(description="Images, as the five that follow.")
    n_positives: int
    n_masks: int
    n_validation: int
    n_calibration: int = Field(default=0, description="Read by nothing but the image threshold.")
    n_test: int
    white: FiniteFloat = Field(default=255, description="Pixel value that training read as white.")


class Record(BaseModel, frozen=True, extra="forbid"):
    """One trial that came to an end: finished, diverged, pruned, or failed after its attempts."""

    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    status: Status
    reason: str | None = Field(default=None, description="Why it is not finished: `NaN loss at epoch 3`.")
    result: Result | None = None
    trial: dict[str, Any] = Field(description="The plan's trial: levels, seed, fold, config, data, diff.")
    study: str = Field(description="The study that trained it; others may share it.")
    timings: dict[str, float] = Field(default_factory=dict, description="Seconds by part.")
    stages: tuple[StageUse, ...] = ()
    model_mb: float | None = Field(default=None, description="Size of the model's files, 10⁶ bytes.")
    environment: Environment = Environment()
    files: dict[str, str] = Field(
        default_factory=dict, description="sha256 by path, relative to the trial's folder."
    )
    removed: tuple[str, ...] = Field(
        default=(), description="Files that `keep` had removed after the trial was recorded."
    )
    attempt: str = Field(default="", description="Prefix below the trial's folder that holds its files.")
    attempts: int = Field(default=1, description="Attempts that were started, this one included.")
    error: str | None = Field(default=None, description="End of the traceback.")
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def seconds(self) -> float:
        """Cost of the trial, from loading to the last file, and of the stages that were there already."""
        itself = sum(self.timings.get(part, 0.0) for part in ("data", "train", "finish"))
        return itself + self._stages_before

    def cost(self, name: str) -> float | None:
        """One of the ``COSTS`` of a search; None where it was not measured."""
        single, reference = self.timings.get("predict_one"), self.timings.get("reference_one")
        match name:
            case "latency_ms":
                return None if single is None else 1000 * single
            case "latency_ratio":
                return None if single is None or not reference else single / reference
            case "train_seconds":
                return self.timings["train"] + self._stages_before if "train" in self.timings else None
            case "memory_mb":
                return self.environment.peak_memory_mb
            case "size_mb":
                return self.model_mb
            case _:
                raise ValueError(f"a cost is one of those that a search may lower, found {name}")

    @property
    def _stages_before(self) -> float:
        """Seconds of the stages that were there already."""
        return sum(stage.seconds for stage in self.stages if stage.reused)

    def to_bytes(self) -> bytes:
        """Canonical JSON of the whole record, without a checksum."""
        return json_bytes(self.model_dump(mode="json"))

    def file_bytes(self) -> bytes:
        """The content of ``record.json``: the record with its checksum."""
        return with_checksum(self.to_bytes())


@dataclass(frozen=True)
class DamagedRecord:
    """A record that cannot be read or believed: named and left out, while the rest is shown."""

    trial: str
    path: str
    text: str

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.text}. `assay check --repair` sets it aside, and `assay run` trains the "
            "trial anew."
        )


def read_record(data: bytes, trial_id: str, path: str) -> Record | DamagedRecord:
    """Parse a record and hold it against itself.

    Args:
        data: The file.
        trial_id: The trial in whose folder it lies.
        path: Where that is, for messages.

    Returns:
        A problem where it is cut short, of another shape or another trial, where its checksum is gone or not
        that of its content, or a score lies outside its metric's range.
    """
    content, checksum = without_checksum(data)
    try:
        record = Record.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        what = ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
        return DamagedRecord(trial_id, path, f"not a record ({what})")

    # The checks go from the general to the special: a file that is no record has no checksum worth a word,
    # and a record that somebody edited may hold anything.
    if checksum == "wrong":
        return DamagedRecord(trial_id, path, "changed since it was written (its checksum is another)")
    if record.id != trial_id:
        return DamagedRecord(
            trial_id, path, f"the record of trial {record.id} lies in the folder of {trial_id}"
        )
    out_of_range = next(_out_of_range(record.result), None) if record.result is not None else None
    return record if out_of_range is None else DamagedRecord(trial_id, path, out_of_range)


def differences(record: Record, trial: Trial) -> str | None:
    """Say in what a record's trial differs from the planned one of the same id; None where it does not.

    Names of cells and levels are the study's own, and where weights lie is no part of an id.
    """
    recorded = record.trial
    for name in ("seed", "fold", "manifest", "split", "trainable", "revision"):
        planned = getattr(trial, name)
        if recorded.get(name) != planned:
            return f"not the planned trial ({name} is {recorded.get(name)!r}, planned is {planned!r})"
    return None


def _out_of_range(result: Result) -> Iterator[str]:
    """Say which scores lie outside their metrics' ranges."""
    for defects in result.defects:
        if not defects.outlined <= defects.detected <= defects.regions:
            counts = f"{defects.outlined} outlined, {defects.detected} found, {defects.regions} in all"
            yield f"the regions of {defects.of} {defects.name} contradict each other ({counts})"
    of_stages = {f"{stage.of} {stage.stage}": stage.metrics for stage in result.stages}
    for part, metrics in {"test": result.metrics, "validation": result.validation, **of_stages}.items():
        for name, value in metrics.items():
            highest = _highest(name)
            if not -ROUNDING <= value <= highest:
                most = "up" if math.isinf(highest) else f"to {highest - ROUNDING:g}"
                yield f"{name} of {part} is {value:g}, its range is from 0 {most}"


@cache
def _highest(name: str) -> float:
    """Highest value of a metric, with rounding; no bound where its plug-in cannot be loaded here."""
    try:
        metric = LABEL_FREE_METRICS.get(name) or METRICS[name]
    except (KeyError, InputError):
        return math.inf
    return metric.highest + ROUNDING
