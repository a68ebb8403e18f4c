"""What the tests that kill share: their study, whom to kill and when, and what comes out undisturbed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

from tests.engine.toy_study import ToyStudy

EPOCHS = 40  # so many that a study whose epochs take their time is surely met in the middle
KILLS: Final[dict[str, Any]] = {
    "name": "kills",
    "seeds": (0,),
    "seconds": 0.8,
    "held": True,
    "pack": "2",
    "epochs": EPOCHS,
}


def undisturbed_results(storage: Path, cache_root: Path) -> dict[str, object]:
    """Results of their study when nothing happens to it: trained without Ray, in this process."""
    study = ToyStudy.make(storage, cache_root, **KILLS)
    study.release()
    study.run(local=True, processes=0)
    return without_ids(study)


def without_ids(study: ToyStudy) -> dict[str, object]:
    """Results by cell: the pace of an epoch is part of the id, and differs between slow and quick runs."""
    records = study.records()
    return {trial.cell: records[trial.id].result for trial in study.plan.trials}


def kill_first(mark: str, study: ToyStudy, when: Callable[[], bool], *, release: bool = True) -> list[int]:
    """kill -9 the first process below this one whose title has ``mark``, once ``when`` holds.

    The study is ``held``, so that a busy machine does not miss the moment; with ``release`` epochs take no
    time afterwards.

    Returns:
        A list that will hold its pid.
    """
    killed: list[int] = []

    def watch() -> None:
        while not killed:
            time.sleep(0.05)
            process = find_process(os.getpid(), mark) if when() else None
            if process is not None:
                process.kill()
                killed.append(process.pid)
        if release:
            study.release()

    threading.Thread(target=watch, daemon=True).start()
    return killed


def find_process(root: int, mark: str) -> psutil.Process | None:
    """The first process below ``root`` whose title, or command without options, has ``mark``."""
    for process in psutil.Process(root).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # another one, which ended meanwhile
            # A raylet's own command holds those of its agents.
            if mark in " ".join(process.cmdline()[:3]):
                return process
    return None


def in_the_middle(study: ToyStudy, stage: str = "") -> Callable[[], bool]:
    """True once a trial, or its ``stage``, has finished two epochs (the first is kept) and not yet all."""

    def look() -> bool:
        beats = [study.store.progress(trial.id) for trial in study.plan.trials]
        return any(
            beat is not None and beat.stage == stage and 2 <= beat.epoch < EPOCHS - 1 for beat in beats
        )

    return look
