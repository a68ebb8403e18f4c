"""A worker whose storage or cache fails, in a process that may mount: see ``test_broken_places.py``.

``python -m tests.engine.process.broken_storage FOLDER SCENARIO…`` mounts a small file system below FOLDER for
each scenario, lets a toy study run into the trouble, mends it, goes on, and prints what a test looks at, as
JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from assay.storage import Store
from tests.engine.toy_study import ToyStudy
from tests.engine.worker.worker_alone import train_here
from tests.helpers.results import result_bytes
from trainables.errors import StorageError

Act = Callable[[], object]


def main(folder: Path, scenarios: list[str]) -> None:
    """Run the scenarios."""
    torch.set_num_threads(1)
    cache = folder / "calm-cache"
    study = ToyStudy.make(folder / "calm", cache, seeds=(0,))
    train_here(study.plan, study.store, cache)
    sys.stdout.write(json.dumps({name: _scenario(name, folder, cache, study) for name in scenarios}))


def _scenario(scenario: str, folder: Path, cache: Path, study: ToyStudy) -> dict[str, object]:
    place = folder / scenario.replace(":", "-")
    place.mkdir()
    name, _, number = scenario.partition(":")
    if name == "cache":
        _mount(place, "100k")

        def grow() -> None:
            _shell("mount", "-o", "remount,size=64m", place)

        return _run(study, Store(folder / "other"), place, grow)
    if name != "permission":
        _mount(place, "8m")
    store = Store(place)
    store.probe()
    trouble, mend = {
        "full": (lambda: _fill(place, int(number)), (place / "ballast").unlink),
        "read-only": (
            lambda: _shell("mount", "-o", "remount,ro", place),
            lambda: _shell("mount", "-o", "remount,rw", place),
        ),
        "unmounted": (lambda: _shell("umount", place), lambda: _mount(place, "8m")),
        "permission": (lambda: place.chmod(0o555), lambda: place.chmod(0o755)),
    }[name]
    trouble()
    return _run(study, store, cache, mend)


def _run(study: ToyStudy, store: Store, cache: Path, mend: Act) -> dict[str, object]:
    """Into the trouble, mended, and to the end."""
    try:
        train_here(study.plan, store, cache)
        said = ""
    except StorageError as error:
        said = str(error)
    between = store.records(trial.id for trial in study.plan.trials)
    left = [path.name for path in Path(store.uri).rglob("*") if path.is_file()]
    mend()
    again = Store(store.uri)
    train_here(study.plan, again, cache)
    records = again.records(trial.id for trial in study.plan.trials)
    return {
        "said": said,
        "recorded": sorted(record.status for record in between.values()),
        "half": [name for name in left if name.endswith(".partial")],
        "left": sorted(left),
        "same": {id_: result_bytes(record) for id_, record in records.items()} == study.results(),
        "attempts": [record.attempts for record in records.values()],
    }


def _fill(place: Path, free: int) -> None:
    """Leave so many bytes."""
    with (place / "ballast").open("wb") as file:
        while (left := os.statvfs(place).f_bavail * 4096) > free:
            file.write(bytes(min(left - free, 1 << 16)))
            file.flush()


def _mount(place: Path, size: str) -> None:
    _shell("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place)


def _shell(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
