"""Kills a running study at random moments, again and again, and compares what it ends with.

``python -m tests.e2e.torture [--kills 20] [--seed 0]`` trains the small study once undisturbed. Then it
trains it again while a random process of its family (the program itself, Ray's daemons, drivers,
controllers, workers) is killed with -9 at random moments; a program that died is started again. At the end
the ``result`` part of every record must equal the undisturbed one. Exits with 1 if one does not, or if the
study hangs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.e2e.small_study import SmallStudy, small_text

_PATIENCE = 240.0  # seconds without a new record or heartbeat before the study counts as hanging
_CALM = (3.0, 18.0)  # seconds between two kills, drawn uniformly


def main() -> int:
    """Torture a study; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and of the victims")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-torture-") as folder:
        root = Path(folder)
        calm = _study(root, "calm")
        _say("training undisturbed")
        answer = calm.assay("run", str(calm.file), timeout=600)
        if answer.returncode:
            _say(answer.stdout + answer.stderr)
            return 1
        tortured = _study(root, "tortured")
        return _torture(tortured, calm, arguments.kills, random.Random(arguments.seed))


def _study(root: Path, name: str) -> SmallStudy:
    folder = root / name
    folder.mkdir()
    return SmallStudy(folder, root / "cache", small_text(seeds="0, 1, 2", epochs=120))


def _torture(study: SmallStudy, calm: SmallStudy, kills: int, chance: random.Random) -> int:
    killed, starts = 0, 0
    process: subprocess.Popen[bytes] | None = None
    next_kill, sign, seen = 0.0, "", time.monotonic()
    log = study.storage.parent / "run.log"
    while True:
        now = time.monotonic()
        if process is None or process.poll() is not None:
            if process is not None and process.returncode == 0:
                break
            starts += 1
            process = _start(study, log)
            next_kill, seen = now + chance.uniform(*_CALM), now
        if killed < kills and now >= next_kill:
            killed += _kill_one(process.pid, chance, killed + 1)
            next_kill = now + chance.uniform(*_CALM)
        if (latest := _signs_of_life(study)) != sign:
            sign, seen = latest, now
        if now - seen > _PATIENCE:
            _say(f"no sign of life for {_PATIENCE:.0f} s\n{log.read_text()[-3000:]}")
            os.killpg(process.pid, signal.SIGKILL)
            return 1
        time.sleep(0.2)
    _say(f"{killed} kills, {starts} starts")
    return _compare(study, calm, killed, kills)


def _start(study: SmallStudy, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            study.command("run", str(study.file), "--retry", "failed"),
            stdout=file,
            stderr=subprocess.STDOUT,
            env=study.environment,
            start_new_session=True,
        )


def _kill_one(root: int, chance: random.Random, number: int) -> int:
    """kill -9 one process of the family; the program itself is one of them."""
    try:
        family = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
        victim = chance.choice(family)
        title = " ".join(victim.cmdline())[:60].strip() or victim.name()
        victim.kill()
    except psutil.NoSuchProcess:
        return 0
    _say(f"kill {number}: {victim.pid} {title}")
    return 1


def _signs_of_life(study: SmallStudy) -> str:
    files = [*study.storage.glob("trials/*/record.json"), *study.storage.glob("trials/*/progress.json")]
    stamps: list[int] = []
    for file in files:
        try:
            stamps.append(file.stat().st_mtime_ns)
        except FileNotFoundError:
            continue  # a heartbeat goes when its record comes
    return f"{len(files)} {max(stamps, default=0)}"


def _compare(study: SmallStudy, calm: SmallStudy, killed: int, kills: int) -> int:
    expected = {trial: record.result_bytes() for trial, record in calm.records().items()}
    found = {trial: record.result_bytes() for trial, record in study.records().items()}
    wrong = [trial for trial in expected if found.get(trial) != expected[trial]]
    attempts = sum(record.attempts for record in study.records().values())
    _say(f"{len(expected)} trials, {attempts} attempts, {len(wrong)} results differ {wrong}")
    if killed < kills:
        _say(f"the study ended after {killed} of {kills} kills: too few to tell")
    return 1 if wrong or killed < kills else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')}  {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
