"""A real Slurm on this machine: Debian's slurmctld, and a slurmd for each of two nodes with one core.

Both nodes are this machine, under other names and ports. The daemons run in the foreground, and end with the
test.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.helpers.ports import free_port
from tests.helpers.waiting import wait_for

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
_CONFIGURATION = """\
ClusterName=tests
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
NodeName=n1 NodeAddr=127.0.0.1 NodeHostname=localhost Port={ports[1]} CPUs=1
NodeName=n2 NodeAddr=127.0.0.1 NodeHostname=localhost Port={ports[2]} CPUs=1
PartitionName=all Nodes=n1,n2 Default=YES State=UP
"""


class Slurm:
    """Two nodes that wait for jobs."""

    def __init__(self) -> None:
        path = f"{os.environ['PATH']}:/usr/sbin"  # where Debian's daemons lie
        if os.geteuid() or not all(shutil.which(program, path=path) for program in _PROGRAMS):
            pytest.skip("needs root and Debian's munge and slurm-wlm, which .ci/run installs")
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.environment = {**os.environ, "PATH": path, "SLURM_CONF": str(self.folder / "slurm.conf")}
        self._daemons: list[subprocess.Popen[bytes]] = []
        (self.folder / "state").mkdir()
        ports = [free_port() for _ in range(3)]
        (self.folder / "slurm.conf").write_text(_CONFIGURATION.format(folder=self.folder, ports=ports))
        key = self.folder / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        files = [f"--{name}-file={self.folder}/munge-{name}" for name in ("pid", "log", "seed")]
        self._start(
            "munged", "--foreground", "--force", f"--key-file={key}", *files, f"--socket={self.folder}/munge"
        )
        wait_for((self.folder / "munge").exists, said=self._said)
        self._start("slurmctld", "-D")
        for node in ("n1", "n2"):
            (self.folder / f"spool-{node}").mkdir()
            self._start("slurmd", "-D", "-N", node)
        wait_for(lambda: self.ask("sinfo", "--noheader", "-o", "%D %t") == "2 idle", said=self._said)

    def ask(self, *command: str) -> str:
        """Answer of a command of Slurm."""
        answer = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return answer.stdout.strip()

    def close(self) -> None:
        """End all jobs and daemons."""
        self.ask("scancel", "--user=root")
        wait_for(lambda: not self.ask("squeue", "--noheader"), said=self._said)
        for daemon in reversed(self._daemons):
            family = psutil.Process(daemon.pid).children(recursive=True) if daemon.poll() is None else []
            daemon.terminate()
            daemon.wait(30)
            for process in family:
                if process.is_running():
                    process.kill()
        shutil.rmtree(self.folder)

    def _start(self, *command: str) -> None:
        log = self.folder / f"{command[0]}{len(self._daemons)}.log"
        with log.open("wb") as output:
            self._daemons.append(
                subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=self.environment)
            )

    def _said(self) -> str:
        return "".join(log.read_text(errors="replace") for log in sorted(self.folder.glob("*.log")))
