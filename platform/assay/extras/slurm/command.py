"""`assay slurm`: a study as a job of Slurm, followed as a job of Ray is."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import Data, RetryOption, StudyFile, Tracking, as_path
from assay.cli.output import check_output, replace_file
from assay.cli.submit import (
    NodeCache,
    NodePython,
    SharedStorage,
    absolute_path,
    follow_job,
    read_study,
    run_options,
)
from assay.extras.slurm.job import slurm_script, submit_script

__all__ = ["slurm"]

Sbatch = Annotated[
    str,
    typer.Option(
        "--sbatch",
        metavar="OPTIONS",
        help='Of sbatch: "--nodes=2 --gpus-per-node=4 --time=8:00:00".',
        show_default=False,
    ),
]
Script = Annotated[
    Path | None,
    typer.Option(
        "--script", metavar="FILE", parser=as_path, help="Write the batch script here, submit nothing."
    ),
]
Follow = Annotated[
    bool | None,
    typer.Option(
        "--follow/--no-follow", help="Show what the job prints until it ends.", show_default="follow"
    ),
]


def slurm(
    study: StudyFile,
    *,
    storage: SharedStorage,
    sbatch: Sbatch = "",
    script: Script = None,
    data: Data = None,
    retry: RetryOption = None,
    cache: NodeCache = None,
    tracking_uri: Tracking = None,
    python: NodePython = sys.executable,
    follow: Follow = None,
) -> None:
    """Run a study as a job of Slurm, which starts Ray on its nodes: `assay run` there, with this Python.

    The job goes on when this command ends. Study, storage, data and Python lie where the nodes see them.
    Exit code: that of `assay run`. 130 if Slurm ended the job, or it is no longer followed; with --no-follow
    0 once it is there.
    """
    if script is not None and follow is not None:
        word = "--follow" if follow else "--no-follow"
        raise typer.BadParameter(
            f"{word} is for a job, found a file that is written and no job. Leave it out."
        )
    check_output(script, study)
    arguments = run_options(storage, data=data, cache=cache, tracking_uri=tracking_uri, retry=retry)
    name = read_study(study).study
    absolute_path("python", python)
    text = slurm_script(name, study.resolve(), arguments, python=python, options=sbatch)
    if script is not None:
        replace_file(script, text.encode())
        typer.echo(f"wrote {script}; on the cluster:  sbatch {shlex.quote(str(script))}")
        return
    job = submit_script(text, partial(typer.echo, err=True))
    follow_job(job, name, storage, follow=follow is not False)
