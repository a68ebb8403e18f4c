"""`assay submit`: hand a study to a Ray cluster or to Slurm, or write it down for Kubernetes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.files import check_output, replace_file
from assay.cli.mlflow import Tracking
from assay.cli.options import Data, StudyFile, as_path, in_use, not_empty
from assay.cli.run import RetryOption
from assay.faults import Interrupted
from assay.planning import read_plan
from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.engine.jobs import Job
    from assay.engine.slurm import SlurmJob
    from assay.study.schema import Study

__all__ = ["LeftRunning", "submit"]


class LeftRunning(Interrupted):
    """Ctrl-C ended the following of a job, which was said: the job itself was not interrupted."""

    @property
    def line(self) -> str:
        return ""


SharedStorage = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="ASSAY_STORAGE",
        parser=not_empty,
        metavar="URI",
        help="Where results lie: a URI (s3://bucket/assay), or the path of a folder that all nodes share.",
        show_default=False,
    ),
]
NodeCache = Annotated[
    str | None,
    typer.Option(
        "--cache",
        metavar="FOLDER",
        parser=not_empty,
        help="Of each node.",
        show_default="~/.cache/assay there",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="The cluster's dashboard, http://head:8265.",
        show_default="RAY_API_SERVER_ADDRESS or RAY_ADDRESS",
    ),
]
Python = Annotated[
    str | None,
    typer.Option(
        "--python",
        metavar="PATH",
        parser=not_empty,
        help="The Python on the cluster's nodes.",
        show_default="the path of the one that runs here; with --kuberay `python`",
    ),
]
Follow = Annotated[
    bool | None,
    typer.Option(
        "--follow/--no-follow", help="Show what the job prints until it ends.", show_default="follow"
    ),
]

Slurm = Annotated[
    bool, typer.Option("--slurm", help="Run it as a job of Slurm, which starts Ray on its nodes.")
]
Sbatch = Annotated[
    str | None,
    typer.Option(
        "--sbatch", metavar="OPTIONS", help='With --slurm: "--nodes=2 --gpus-per-node=4 --time=8:00:00".'
    ),
]
Script = Annotated[
    Path | None,
    typer.Option(
        "--script",
        metavar="FILE",
        parser=as_path,
        help="With --slurm: write the batch script, submit nothing.",
    ),
]
Kuberay = Annotated[
    Path | None,
    typer.Option(
        "--kuberay",
        metavar="FILE",
        parser=as_path,
        help="Write a RayJob of KubeRay as YAML, submit nothing.",
    ),
]
Image = Annotated[
    str | None,
    typer.Option("--image", metavar="NAME", help="With --kuberay: the image of its pods, with assay in it."),
]


def submit(
    study: StudyFile,
    *,
    storage: SharedStorage,
    address: Address = None,
    data: Data = None,
    retry: RetryOption = None,
    cache: NodeCache = None,
    tracking_uri: Tracking = None,
    python: Python = None,
    follow: Follow = None,
    slurm: Slurm = False,
    sbatch: Sbatch = None,
    script: Script = None,
    kuberay: Kuberay = None,
    image: Image = None,
) -> None:
    """Run a study as a job of a Ray cluster: `assay run` there, with the code and the study of this machine.

    With --slurm as a job of Slurm, which starts Ray on its nodes. --kuberay writes it down for Kubernetes.
    The job goes on when this command ends. Storage and data are named as the nodes see them. Exit code: that
    of `assay run`. 130 if the job was stopped, or is no longer followed; with --no-follow 0 once it is there.
    """
    _refuse_mixed(
        {"--address": address, "--slurm": slurm or None, "--kuberay": kuberay},
        {"--slurm": {"--sbatch": sbatch, "--script": script}, "--kuberay": {"--image": image}},
    )
    if follow is not None and (script is not None or kuberay is not None):
        word = "--follow" if follow else "--no-follow"
        raise typer.BadParameter(
            f"{word} is for a job, found a file that is written and no job. Leave it out."
        )

    for file in (script, kuberay):
        check_output(file, study)
    arguments = ["--storage", _seen_by_all(storage)]
    if data is not None:
        arguments += ["--data", _absolute("data", str(data))]
    if cache is not None:
        arguments += ["--cache", _absolute("cache", cache)]
    if tracking_uri is not None:
        arguments += ["--tracking-uri", _without_password(tracking_uri)]
    if retry is not None:
        arguments += ["--retry", retry]
    # A study that breaks a rule is refused here; the data are looked at on the cluster.
    plan = read_plan(study, data=None, cache=Path(), with_data=False, say=lambda message: None)
    name = plan.study.study
    if kuberay is not None:
        _write_manifest(plan.study, study, arguments, python=python or "python", image=image, file=kuberay)
        return
    python = _absolute("python", python or sys.executable)
    if slurm:
        from assay.engine.slurm import slurm_script, submit_script

        text = slurm_script(name, study.resolve(), arguments, python=python, options=sbatch or "")
        if script is not None:
            replace_file(script, text.encode())
            typer.echo(f"wrote {script}; on the cluster:  sbatch {shlex.quote(str(script))}")
            return
        job = submit_script(text, _on_stderr)
    else:
        from assay.engine.jobs import submit as submit_job

        job = submit_job(study, plan.study, arguments, address=address, python=python, say=_on_stderr)
    _accompany(job, name, storage, follow=follow is not False)


def _refuse_mixed(ways: Mapping[str, object], options: Mapping[str, Mapping[str, object]]) -> None:
    """Refuse several ways to a cluster at once, and options of a way that is not taken."""
    taken = [name for name, value in ways.items() if value is not None]
    if len(taken) > 1:
        raise typer.BadParameter(f"a study goes one way to its cluster, found {' and '.join(taken)}.")
    for way, needs in options.items():
        given = [name for name, value in needs.items() if value is not None]
        if given and way not in taken:
            raise typer.BadParameter(f"{', '.join(given)} goes with {way}, found without it.")


def _write_manifest(
    study: Study, source: Path, arguments: Sequence[str], *, python: str, image: str | None, file: Path
) -> None:
    from assay.engine.kuberay import ray_job

    if image is None:
        raise typer.BadParameter("pods start from an image with assay in it, found no --image.")
    manifest = ray_job(study, source, arguments, image=image, python=python)
    replace_file(file, manifest.encode())
    typer.echo(f"wrote {file}; look at its resources, then:  kubectl apply -f {shlex.quote(str(file))}")


def _on_stderr(text: str) -> None:
    typer.echo(text, err=True)


def _accompany(job: Job | SlurmJob, name: str, storage: str, *, follow: bool) -> None:
    """Follow a job to its end, or say how to."""
    try:
        typer.echo(f"job {job.id}")
        if not follow:
            _print_next_commands(job, name, storage)
            return
        code = job.follow(lambda text: typer.echo(text, nl=False))
    except KeyboardInterrupt:
        typer.echo("\nthe job runs on")
        _print_next_commands(job, name, storage)
        raise LeftRunning from None
    raise typer.Exit(code)


def _print_next_commands(job: Job | SlurmJob, name: str, storage: str) -> None:
    typer.echo(f"see how far it is:  {in_use(f'assay status {name}', storage=storage)}")
    typer.echo(f"see what it prints: {job.log_command}")
    typer.echo(f"stop it:            {in_use(f'assay stop {name}', storage=storage)}")
    typer.echo(f"before it begins:   {job.stop_command}")  # the storage knows of nobody until then


def _seen_by_all(storage: str) -> str:
    from assay.storage import Store

    if "://" not in storage and not Path(storage).is_absolute():
        raise InputError(
            "the storage of a submitted study is a URI, or the absolute path of a folder that all nodes "
            f"share; found {storage}."
        )
    Store(storage)  # refuses schemes that nobody can open, and passwords
    return storage


def _absolute(option: str, path: str) -> str:
    if not Path(path).is_absolute():
        raise InputError(f"--{option} of a submitted study is an absolute path on the nodes, found {path}.")
    return path


def _without_password(uri: str) -> str:
    from assay.storage.redaction import holds_credentials

    if holds_credentials(uri):
        raise InputError(
            f"a job's command can be read by all who see the cluster, and {uri} holds a password. "
            "Set MLFLOW_TRACKING_URI on the nodes instead, and leave --tracking-uri out."
        )
    return uri
