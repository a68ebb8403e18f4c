"""`assay kuberay`: a study written down as a RayJob; nothing is submitted."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import Data, RetryOption, StudyFile, Tracking, as_path, not_empty
from assay.cli.output import check_output, replace_file
from assay.cli.submit import NodeCache, SharedStorage, read_study, run_options

__all__ = ["kuberay"]

Manifest = Annotated[
    Path,
    typer.Option(
        "--output", metavar="FILE", parser=as_path, help="Write the manifest here.", show_default=False
    ),
]
Image = Annotated[
    str,
    typer.Option("--image", metavar="NAME", help="Of the pods, with assay in it.", show_default=False),
]
ImagePython = Annotated[
    str, typer.Option("--python", metavar="PATH", parser=not_empty, help="The Python in the image.")
]


def kuberay(
    study: StudyFile,
    *,
    storage: SharedStorage,
    image: Image,
    output: Manifest,
    data: Data = None,
    retry: RetryOption = None,
    cache: NodeCache = None,
    tracking_uri: Tracking = None,
    python: ImagePython = "python",
) -> None:
    """Write a study down as a RayJob of KubeRay, for `kubectl apply`; nothing is submitted.

    Storage and data are named as the pods see them.
    """
    check_output(output, study)
    arguments = run_options(storage, data=data, cache=cache, tracking_uri=tracking_uri, retry=retry)
    planned = read_study(study)
    from assay.extras.kuberay.manifest import ray_job

    manifest = ray_job(planned, study, arguments, image=image, python=python)
    replace_file(output, manifest.encode())
    apply = f"kubectl apply -f {shlex.quote(str(output))}"
    typer.echo(f"wrote {output}; look at its resources, then:  {apply}")
