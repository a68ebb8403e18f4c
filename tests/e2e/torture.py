"""Kills a running study at random moments, again and again, and compares what it ends with.

``python -m tests.e2e.torture [--kills 100] [--seed 0]`` trains the small study once undisturbed. Then it
trains it again while the program itself, one of Ray's daemons, a driver or a training process is killed
with -9, each as likely, at random moments. A program that died is started again. At the end the ``result``
part of every record must equal the undisturbed one. Every part of Ray that died must have been named, with
exit code 3, and nothing may be left of a program that ended. Exits with 1 if something of that is not so, or
the study hangs.
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
from tests.helpers.results import result_bytes

_PATIENCE = 240.0  # seconds without a new record or heartbeat before the study counts as hanging
_CALM = (3.0, 18.0)  # seconds between two kills, drawn uniformly
_GONE = 10.0  # seconds after which nothing of a program may be left
# Who is killed, by a part of the command line; "" is the program itself.
_VICTIMS = {
    "the program": "",
    "gcs_server": "/gcs/gcs_server",
    "raylet": "/raylet/raylet",
    "RuntimeEnvAgent": "ray::RuntimeEnvAgent",
    "the process that keeps the others": "ray_head.py",
    "a driver": "ray::BatchDriver",
    "a training process": "assay.engine.process.fork_server",
}
_ENDS_RAY = ("gcs_server", "raylet", "RuntimeEnvAgent", "the process that keeps the others")


def main() -> int:
    """Torture a study; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and of the victims")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-torture-") as folder:
        root = Path(folder)
        calm = _study(root, "calm", 6 * max(20, arguments.kills))
        _say("training undisturbed")
        answer = calm.assay("run", str(calm.file), timeout=1200 + 60 * arguments.kills)
        if answer.returncode:
            _say(answer.stdout + answer.stderr)
            return 1
        tortured = _study(root, "tortured", 6 * max(20, arguments.kills))
        return _torture(tortured, calm, arguments.kills, random.Random(arguments.seed))


def _study(root: Path, name: str, epochs: int) -> SmallStudy:
    folder = root / name
    folder.mkdir()
    return SmallStudy(folder, root / "cache", small_text(seeds="0, 1, 2", epochs=epochs))


def _torture(study: SmallStudy, calm: SmallStudy, kills: int, chance: random.Random) -> int:
    killed, starts, faults = 0, 0, list[str]()
    victim, family = "", set[psutil.Process]()
    process: subprocess.Popen[bytes] | None = None
    next_kill, sign, seen = 0.0, "", time.monotonic()
    log = study.storage.parent / "run.log"
    while True:
        now = time.monotonic()
        if process is None or process.poll() is not None:
            if process is not None:
                faults += _faults(process.returncode, victim, family, log)
                if process.returncode == 0:
                    break
            starts, victim = starts + 1, ""
            family.clear()
            process = _start(study, log)
            next_kill, seen = now + chance.uniform(*_CALM), now
        if killed < kills and now >= next_kill:
            family |= _family(process.pid)
            struck = _kill_one(process.pid, chance, killed + 1)
            killed += struck is not None
            victim = struck or victim
            next_kill = now + chance.uniform(*_CALM)
        if (latest := _signs_of_life(study)) != sign:
            sign, seen = latest, now
        if now - seen > _PATIENCE:
            _say(f"no sign of life for {_PATIENCE:.0f} s\n{log.read_text()[-3000:]}")
            os.killpg(process.pid, signal.SIGKILL)
            return 1
        time.sleep(0.2)
    _say(f"{killed} kills, {starts} starts, {len(faults)} not named or left behind {faults}")
    return _compare(study, calm, killed, kills) or int(bool(faults))


def _start(study: SmallStudy, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            study.command("run", str(study.file), "--retry", "failed"),
            stdout=file,
            stderr=subprocess.STDOUT,
            env=study.environment,
            start_new_session=True,
        )


def _kill_one(root: int, chance: random.Random, number: int) -> str | None:
    """kill -9 one process of the family; returns who it was, None if nobody of that kind is there."""
    name = chance.choice(list(_VICTIMS))
    try:
        marked = [p for p in _family(root) if _VICTIMS[name] and _VICTIMS[name] in " ".join(p.cmdline()[:3])]
        victim = psutil.Process(root) if name == "the program" else chance.choice(marked)
        victim.kill()
    except (psutil.NoSuchProcess, IndexError):
        return None
    _say(f"kill {number}: {victim.pid} {name}")
    return name


def _family(root: int) -> set[psutil.Process]:
    try:
        return {psutil.Process(root), *psutil.Process(root).children(recursive=True)}
    except psutil.NoSuchProcess:
        return set()


def _faults(code: int, victim: str, family: set[psutil.Process], log: Path) -> list[str]:
    """What is wrong with the way a program ended."""
    faults: list[str] = []
    last = log.read_text().rstrip().rpartition("\n")[2]
    if victim in _ENDS_RAY and (code != 3 or f"error: {victim}" not in last):
        faults.append(f"{victim} died, and the program ended with {code}: {last[-200:]}")
    elif victim not in _ENDS_RAY and victim != "the program" and code != 0:
        faults.append(f"the program ended with {code}: {last[-200:]}")
    _, left = psutil.wait_procs(family, timeout=_GONE)
    alive = [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    return [*faults, *(f"{process} was left" for process in alive)]


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
    expected = {trial: result_bytes(record) for trial, record in calm.records().items()}
    found = {trial: result_bytes(record) for trial, record in study.records().items()}
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
