"""Cost of a study before it is paid: hours and memory, per trial and in total.

Trials of one *shape* cost the same: they differ in seed, fold, and numbers such as a learning rate.
:mod:`assay.storage.timing` times them; a forecast that is kept is read without it, and without torch.
"""

from __future__ import annotations

import heapq
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from assay.storage.store import Store
from assay.study import Study

__all__ = ["Forecast", "Shape", "StageCost", "read_forecast", "write_forecast"]


class Shape(BaseModel, frozen=True, extra="forbid"):
    """Trials that cost the same."""

    cells: tuple[str, ...]
    trials: int = Field(description="Of the whole study.")
    missing: int = Field(description="Of these, still to be trained.")
    seconds: float = Field(
        description="Of one trial: images, training, judgement of all images; its stages too."
    )
    memory_mb: float = Field(description="Peak of one worker, MiB; of a GPU's memory where it has one.")
    source: Literal["first steps", "finished trials"]
    seen: int = Field(description="Steps that were timed, or trials that had finished.")
    stage_seconds: float = Field(0.0, description="Of `seconds`, those of stages that are made beside.")


class StageCost(BaseModel, frozen=True, extra="forbid"):
    """A stage that trials share: it is made once for all of them."""

    name: str
    missing: int = Field(description="Still to be made.")
    seconds: float = Field(description="Of one.")


class Forecast(BaseModel, frozen=True, extra="forbid"):
    """Remaining time of a study, on a machine like this one."""

    shapes: tuple[Shape, ...]
    at_once: int = Field(description="Places for trials beside each other.")
    stages: tuple[StageCost, ...] = ()
    untimed: tuple[str, ...] = Field((), description="Why stages could not be timed: they come on top.")
    one_thread: float | None = Field(
        None,
        description="Seconds of a trial with one thread over those with the threads it asks for; null where "
        "it asks for one, or for a GPU.",
    )
    content_hash: str = Field(description="Of the study that it was made for.")

    @property
    def trial_hours(self) -> float:
        """Hours of all missing trials and shared stages, one after the other."""
        return sum(seconds * count for seconds, count in self._jobs()) / 3600

    @property
    def places(self) -> int:
        """Places that are used: trials that are missing use no more than one each."""
        return max(1, min(self.at_once, sum(shape.missing for shape in self.shapes)))

    @property
    def hours(self) -> float:
        """Until the last missing trial has ended, if those that run beside each other do not slow down.

        The longest start first, each where a place is free. One trial takes as long on many cores.
        """
        ends = [0.0] * self.places
        for seconds, count in sorted(self._jobs(), reverse=True):
            for _ in range(count):
                heapq.heapreplace(ends, ends[0] + seconds)
        return max(ends) / 3600

    def with_one_thread(self, threads: int) -> Forecast | None:
        """The same trials with a thread each, as many more at once; None where that was not timed."""
        if self.one_thread is None:
            return None
        shapes = (
            shape.model_copy(
                update={
                    "seconds": shape.seconds * self.one_thread,
                    "stage_seconds": shape.stage_seconds * self.one_thread,
                }
            )
            for shape in self.shapes
        )
        stages = (
            stage.model_copy(update={"seconds": stage.seconds * self.one_thread}) for stage in self.stages
        )
        alone = {"shapes": tuple(shapes), "stages": tuple(stages), "at_once": self.at_once * threads}
        return self.model_copy(update={**alone, "one_thread": None})

    def step_seconds(self) -> tuple[dict[str, float], dict[str, float]]:
        """Cell → seconds of a trial without its stages, and name of a stage → seconds to make it."""
        alone = {cell: shape.seconds - shape.stage_seconds for shape in self.shapes for cell in shape.cells}
        return alone, {stage.name: stage.seconds for stage in self.stages}

    def _jobs(self) -> list[tuple[float, int]]:
        """Seconds and number of what is to be done: trials without their stages, and each stage once."""
        trials = [(shape.seconds - shape.stage_seconds, shape.missing) for shape in self.shapes]
        return [*trials, *((stage.seconds, stage.missing) for stage in self.stages)]


def write_forecast(store: Store, study: str, forecast: Forecast) -> None:
    """Keep a forecast beside the study's results, to be compared with what they took."""
    store.write_json(f"{store.study(study)}/forecast.json", forecast.model_dump(mode="json"))


def read_forecast(store: Store, study: Study) -> Forecast | None:
    """The last forecast of a study.

    None if none was made, it cannot be read, or the study asked something else by then: with other epochs
    its trials take another time.
    """
    try:
        content = store.read_bytes(f"{store.study(study.study)}/forecast.json")
        forecast = Forecast.model_validate_json(content)
    except (FileNotFoundError, ValidationError):
        return None
    return forecast if forecast.content_hash == study.content_hash else None
