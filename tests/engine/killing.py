"""What the tests that kill share: their study, whom to kill and when, and what comes out undisturbed."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.engine.toy_study import ToyStudy


def undisturbed_results(storage: Path, cache_root: Path) -> dict[str, object]:
    """Results of their study when nothing happens to it: trained without Ray, in this process."""
    study = ToyStudy.make(storage, cache_root, name="kills", seeds=(0,), pack="2", epochs=6)
    study.run(local=True, processes=0)
    return without_ids(study)


def without_ids(study: ToyStudy) -> dict[str, object]:
    """Results by cell: the pace of an epoch is part of the id, and differs between slow and quick runs."""
    records = study.records()
    return {trial.cell: records[trial.id].result for trial in study.plan.trials}


def kill_first(title: str, root: int, when: Callable[[], bool]) -> list[int]:
    """kill -9 the first process below ``root`` whose title begins with ``title``, once ``when`` holds.

    Returns:
        A list that will hold its pid.
    """
    killed: list[int] = []

    def watch() -> None:
        while not when():
            time.sleep(0.05)
        for process in psutil.Process(root).children(recursive=True):
            if " ".join(process.cmdline()).startswith(title):
                process.send_signal(signal.SIGKILL)
                killed.append(process.pid)
                return

    threading.Thread(target=watch, daemon=True).start()
    return killed


def in_the_middle(study: ToyStudy) -> Callable[[], bool]:
    """True once a trial has finished two epochs (the first is then surely kept) and not yet all."""

    def look() -> bool:
        beats = [study.store.progress(trial.id) for trial in study.plan.trials]
        return any(beat is not None and 2 <= beat.epoch <= 4 for beat in beats)

    return look
