"""Studies as jobs of Slurm: a script that starts Ray on the job's nodes, handed to ``sbatch`` and followed.

The job runs the Python and reads the study file of the machine that submits, which the nodes see too. It
answers as ``assay run`` does. A job that was preempted, or ran out of time, goes on from what is finished.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.faults import Interrupted
from trainables.errors import InputError

__all__ = ["SlurmJob", "slurm_script", "submit_script"]

_BODY = Path(__file__).with_name("job.sh")
_POLL_SECONDS = 2.0
_ANSWER_SECONDS = 5.0  # of sbatch, after Ctrl-C
_WARNING_SECONDS = 120  # before the time limit the study is told to end
_UNENDED = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED"}
_BY_ITSELF = {"COMPLETED", "FAILED"}


def slurm_script(study: str, file: Path, arguments: Sequence[str], *, python: str, options: str) -> str:
    """A batch script that runs ``assay run FILE ARGUMENTS`` on the nodes of its job.

    Args:
        study: Its name, also of the job.
        file: The study file, absolute, as the nodes see it.
        arguments: Options of ``assay run``.
        python: Path of the Python on the nodes.
        options: Of sbatch, ``--nodes=2 --time=8:00:00``; they come last, and so replace those of the script.

    Raises:
        InputError: If the options hold a line break.
    """
    if "\n" in options:
        raise InputError("options of sbatch stand on one line, found a line break in --sbatch.")
    directives = [
        f"--job-name=assay-{study}",
        f"--output=assay-{study}-%j.log --open-mode=append",
        f"--requeue --signal=B:TERM@{_WARNING_SECONDS}",
        *([options.strip()] if options.strip() else []),
    ]
    head = ["#!/bin/bash", *(f"#SBATCH {line}" for line in directives), f"python={shlex.quote(python)}"]
    command = shlex.join(["run", str(file), *arguments])
    return "\n".join([*head, f"run=({command})", "", _BODY.read_text(encoding="utf-8")])


def submit_script(script: str, say: Callable[[str], None]) -> SlurmJob:
    """Hand a script to Slurm.

    Args:
        script: Of :func:`slurm_script`.
        say: Is told what became of the job where the submission is interrupted.

    Raises:
        InputError: If there is no Slurm here, or it refuses the job.
        KeyboardInterrupt: On an interrupt, after a job that was there already is cancelled.
    """
    if shutil.which("sbatch") is None:
        raise InputError(
            "a study is submitted to Slurm by its command sbatch, found none on this machine. Submit on a "
            "login node of the cluster, or write the script with --script FILE and take it there."
        )
    # In a session of its own, where Ctrl-C does not reach it: its answer says whether there is a job.
    pipe = subprocess.PIPE
    with subprocess.Popen(
        ["sbatch", "--parsable"], stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as sbatch:
        try:
            answer, refusal = sbatch.communicate(script)
        except KeyboardInterrupt:
            _withdraw(sbatch, say)
            raise
    if sbatch.returncode:
        raise InputError(f"Slurm refuses the job: {_sentence(refusal)}")
    return SlurmJob(_job_id(answer))


def _withdraw(sbatch: subprocess.Popen[str], say: Callable[[str], None]) -> None:
    """Cancel the job whose submission was interrupted, should it have come to be."""
    try:
        # sbatch may have handed the job over by now: only its answer tells.
        answer, _ = sbatch.communicate(timeout=_ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        sbatch.kill()
        say("Slurm does not say whether there is a job. See, and cancel it:  squeue --me")
        return
    if sbatch.returncode:
        say("nothing was submitted")
        return
    job = SlurmJob(_job_id(answer))
    cancelled = _ask("scancel", job.id).returncode == 0
    say(
        f"job {job.id} was there, and was cancelled"
        if cancelled
        else f"job {job.id} is there. Cancel it:  {job.stop_command}"
    )


def _job_id(answer: str) -> str:
    return answer.strip().partition(";")[0]


@dataclass(frozen=True)
class _JobState:
    """State of a job, as Slurm tells it."""

    state: str
    reason: str = ""
    code: int = 0
    log: Path | None = None


@dataclass(frozen=True)
class SlurmJob:
    """A study that was handed to Slurm."""

    id: str

    def follow(self, say: Callable[[str], None]) -> int:
        """Pass on the job's states and its log until it ends; leaving early leaves it running.

        Returns:
            The exit code of its ``assay run``; 130 if Slurm ended the job.

        Raises:
            ConnectionError: If Slurm knows nothing of the job any more.
        """
        shown, read = "", 0
        while True:
            # The state is asked before the log is read, so that the log is whole when the job has ended.
            job = self._state()
            read = _pass_on(job.log, read, say)
            state = job.state.lower() + (f" ({job.reason})" if job.state == "PENDING" else "")
            if state != shown and job.state not in _BY_ITSELF:
                say(f"job {self.id}: {state}\n")
                shown = state
            if job.state not in _UNENDED:
                return job.code if job.state in _BY_ITSELF else Interrupted.exit_code
            time.sleep(_POLL_SECONDS)

    @property
    def log_command(self) -> str:
        """The command that shows what the job prints."""
        return f"tail -F {shlex.quote(str(self._state().log))}"

    @property
    def stop_command(self) -> str:
        """The command that takes the job from Slurm, whatever it does."""
        return f"scancel {self.id}"

    def _state(self) -> _JobState:
        """Ask the controller, and the accounting for a job that ended too long ago for it."""
        answer = _ask("scontrol", "show", "job", "--oneliner", self.id)
        if answer.returncode == 0:
            fields = dict(re.findall(r"(\S+?)=(.*?)(?= \S+?=|$)", answer.stdout))
            log = Path(fields["StdOut"]) if fields.get("StdOut") else None
            return _JobState(fields["JobState"], fields.get("Reason", ""), _code(fields["ExitCode"]), log)
        if "Invalid job id" not in answer.stderr:  # the controller is away: it will come back
            return _JobState("PENDING", f"Slurm does not answer: {_sentence(answer.stderr)}")
        answer = _ask("sacct", "--jobs", self.id, "-X", "--noheader", "--parsable2", "-o", "State,ExitCode")
        if answer.returncode or not answer.stdout.strip():
            raise ConnectionError(f"Slurm knows nothing of the job {self.id} any more.")
        state, code = answer.stdout.splitlines()[-1].split("|")
        return _JobState(state.split()[0], code=_code(code))


def _pass_on(log: Path | None, read: int, say: Callable[[str], None]) -> int:
    """Say what a log holds beyond its first ``read`` bytes; returns how many were read by now."""
    if log is None:
        return read
    try:
        with log.open("rb") as lines:
            lines.seek(read)
            data = lines.read()
    except OSError:  # the job has not begun, or the folder is seen by its nodes alone
        return read
    if data:
        say(data.decode(errors="replace"))
    return read + len(data)


def _code(text: str) -> int:
    """``code:signal``, as shells count it."""
    code, _, number = text.partition(":")
    return 128 + int(number) if int(number or 0) else int(code)


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _sentence(text: str) -> str:
    return " ".join(text.split())
