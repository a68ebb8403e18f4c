"""Studies as jobs of a Ray cluster: shipped, started and followed over the cluster's HTTP address.

The job is ``assay run`` of the shipped code with the Python that is named, on the cluster's head. It goes on
when its submitter leaves; its answer is on the storage, its exit code that of ``assay run``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assay.engine.cluster.ray_connect import environment_with, last_line
from assay.engine.cluster.ray_watch import refuse_silent_address
from assay.engine.cluster.shipping import runtime_env, stage
from assay.faults import Interrupted
from assay.storage.redaction import holds_credentials, redact
from assay.study.file.schema import Study
from assay.study.settings.methods import method_files
from trainables.errors import InputError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

__all__ = ["Job", "submit"]

_ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
# They talk to stderr, and two of them set a level of their own.
_TALKERS = ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk")
_POLL_SECONDS = 0.5
_ARRIVAL_SECONDS = 2.0
_SUBMITTED = "submitted"  # folder of the study, beside the packages: no file of its own can replace theirs
_NO_PROGRAM = (126, 127)  # exit codes of a shell that could not start the program


@dataclass(frozen=True)
class Job:
    """A study that was handed to a cluster."""

    id: str
    python: str
    client: JobSubmissionClient

    @property
    def log_command(self) -> str:
        """The command that shows what the job prints."""
        return f"ray job logs {self.id} --follow --address {redact(self.client.get_address())}"

    @property
    def stop_command(self) -> str:
        """The command that takes the job from the cluster, whatever it does."""
        return f"ray job stop {self.id} --address {redact(self.client.get_address())}"

    def follow(self, say: Callable[[str], None]) -> int:
        """Pass on what the job prints until it ends; leaving early leaves it running.

        Returns:
            The exit code of its ``assay run``; 130 if the job was stopped.

        Raises:
            InputError: If the job could not be started on the cluster.
            ConnectionError: If the cluster no longer answers.
        """
        import aiohttp

        try:
            asyncio.run(self._tail(say))
        except (RuntimeError, aiohttp.ClientError) as error:  # of the stream: the job's status tells its end
            say(f"(the log breaks off here: {last_line(error)})\n")

        # The end of the log is not the end of the job: the stream may have broken off. Its status alone
        # decides.
        info = self._poll()
        while not info.status.is_terminal():
            time.sleep(_POLL_SECONDS)
            info = self._poll()
        if info.status == "SUCCEEDED":
            return 0
        if info.status == "STOPPED":
            return Interrupted.exit_code

        # Without an exit code the program never started, and two codes are the shell's own: it found no such
        # Python.
        code = info.driver_exit_code
        if code is None:
            raise InputError(f"the cluster could not start the job {self.id}: {info.message or ''}")
        if code in _NO_PROGRAM:
            raise InputError(
                f"the job starts with the Python of the cluster's nodes, found none at {self.python} there. "
                "Name theirs with --python."
            )
        return code if code >= 0 else 128 - code  # a signal, as shells count it

    def _poll(self) -> JobDetails:
        try:
            return self.client.get_job_info(self.id)
        except RuntimeError as error:
            raise ConnectionError(
                f"the cluster says nothing of the job {self.id}: {last_line(error)}"
            ) from None

    async def _tail(self, say: Callable[[str], None]) -> None:
        async for text in self.client.tail_job_logs(self.id):
            say(text)


def submit(
    path: Path,
    study: Study,
    arguments: Sequence[str],
    *,
    address: str | None,
    python: str,
    say: Callable[[str], None],
) -> Job:
    """Hand ``assay run STUDY ARGUMENTS`` to a cluster, with the code of this process.

    Args:
        path: The study file; it is shipped with the code.
        study: What it says: its name is part of the job's id, and methods in files are shipped too.
        arguments: Options of ``assay run``, as the nodes understand them.
        address: ``http://host:8265`` of the head's dashboard; default: what the environment names.
        python: Path of the Python on the nodes that has the packages installed.
        say: Is told what became of the job where the submission is interrupted.

    Raises:
        InputError: If no cluster is named, nobody answers there, or it refuses the token.
        KeyboardInterrupt: On an interrupt, after a job that was there already is stopped.
    """
    client = _client(address)
    command = shlex.join([python, "-m", "assay", "run", f"{_SUBMITTED}/{path.name}", *arguments])
    with tempfile.TemporaryDirectory(prefix="assay-") as staged:
        files = {path.name: path.read_bytes(), **method_files(study)}
        stage(Path(staged), {f"{_SUBMITTED}/{name}": data for name, data in files.items()})
        job = Job(f"assay-{study.study}-{secrets.token_hex(4)}", python, client)
        try:
            # An interrupt may come when the request has left already. The job would then train with nobody
            # who knows of it, so it is withdrawn.
            client.submit_job(entrypoint=command, submission_id=job.id, runtime_env=runtime_env(Path(staged)))
        except RuntimeError as error:
            raise InputError(f"the cluster refuses the job: {last_line(error)}.") from None
        except KeyboardInterrupt:
            _withdraw(job, say)
            raise
    return job


def _withdraw(job: Job, say: Callable[[str], None]) -> None:
    """Stop a job whose submission was interrupted, should it have come to be: only the cluster knows."""
    say(f"asking the cluster whether job {job.id} is there. Without an answer, stop it:  {job.stop_command}")
    until = time.monotonic() + _ARRIVAL_SECONDS  # a request that was sent may still be on its way
    while True:
        try:
            job.client.stop_job(job.id)
        except (RuntimeError, OSError) as error:
            if "does not exist" not in str(error):
                say(f"the cluster does not say whether it is: {redact(last_line(error))}")
                return
        else:
            say("it was, and was stopped")
            return
        if time.monotonic() > until:
            say("nothing was submitted")
            return
        time.sleep(_POLL_SECONDS)


def _client(address: str | None) -> JobSubmissionClient:
    named = address or next((os.environ[name] for name in _ADDRESS_VARIABLES if os.environ.get(name)), None)
    if not named:
        raise InputError(
            "a study is submitted to a Ray cluster, and none is named. Give the address of its dashboard "
            "(--address http://head:8265, or RAY_API_SERVER_ADDRESS)."
        )
    if address and holds_credentials(address):  # it could be read on the command line
        raise InputError(
            f"the address of a cluster holds no credentials, found {address}. Give them in "
            "RAY_API_SERVER_ADDRESS, or a token in RAY_AUTH_TOKEN."
        )
    variables = {_ADDRESS_VARIABLES[0]: named}  # Ray prefers its variables to what it is given
    if _has_token():  # a cluster without tokens ignores it
        variables["RAY_AUTH_MODE"] = os.environ.get("RAY_AUTH_MODE", "token")
    with environment_with(variables):
        return _connect(named)


def _has_token() -> bool:
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or (Path.home() / ".ray" / "auth_token").exists()


def _connect(named: str) -> JobSubmissionClient:
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    for name in _TALKERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        if "://" not in named and named != "auto":  # the head's own address: Ray asks it for its dashboard's
            refuse_silent_address(named)
        return JobSubmissionClient()
    except AuthenticationError as error:
        raise InputError(
            f"the cluster at {named} asks for a token, and refuses this one or found none "
            f"({_first_line(error)}). Set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's token; on "
            "its head `ray get-auth-token` prints it."
        ) from None
    except (OSError, RuntimeError, ValueError) as error:
        why = "" if holds_credentials(named) else f" ({last_line(error)})"  # which may quote half a password
        raise InputError(
            f"a study is submitted to the dashboard of a Ray cluster, and {named} does not answer "
            f"like one{why}. Check the address (--address http://head:8265)."
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
