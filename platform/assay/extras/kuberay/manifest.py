"""Studies as jobs of KubeRay: a manifest that a user reads, changes and hands to ``kubectl apply``.

Two objects of Kubernetes. A ConfigMap holds the study file and the methods beside it. A RayJob starts a head,
which trains nothing, and as many workers as one trial takes, runs ``assay run`` on the head, and ends them.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from assay.study.file.schema import Study
from assay.study.settings.methods import method_files
from trainables.errors import InputError

__all__ = ["ray_job"]

_FOLDER = "/etc/assay"  # of the study file, on the head
_KEY = re.compile(r"[-._a-zA-Z0-9]+")  # of a ConfigMap: no folders
_LONGEST_NAME = 47  # characters of a RayJob's name, which those of its pods begin with
_CLEAN_UP_SECONDS = 600  # after the end, in which logs can still be read
_NEW_CLUSTERS = 3  # when the head is lost: each goes on from what is finished


def ray_job(study: Study, file: Path, arguments: Sequence[str], *, image: str, python: str) -> str:
    """The manifest, as YAML.

    Args:
        study: Says what a worker takes.
        file: The study file.
        arguments: Options of ``assay run``, as the pods understand them.
        image: With Ray, assay and what they need.
        python: The Python in it.

    Raises:
        InputError: If a file has a name that no ConfigMap takes: it knows no folders, and no blanks.
    """
    from io import StringIO

    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import LiteralScalarString

    name = f"assay-{study.study.replace('_', '-')}"[:_LONGEST_NAME].rstrip("-")
    files = {file.name: file.read_bytes(), **method_files(study)}
    for path in files:
        if not _KEY.fullmatch(path):
            of_method = "Move it, or install the method in the image as a plug-in."
            raise InputError(
                "files of a study for Kubernetes lie beside it, with letters, digits and - . _ in their "
                f"names, found {path}. {'Rename it.' if path == file.name else of_method}"
            )
    texts = {path: LiteralScalarString(data.decode("utf-8")) for path, data in files.items()}

    # The study travels in a ConfigMap beside the job, so that one image serves all studies.
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": texts}
    command = shlex.join([python, "-m", "assay", "run", f"{_FOLDER}/{file.name}", *arguments])
    job = {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name},
        "spec": {
            "entrypoint": command,
            "backoffLimit": _NEW_CLUSTERS,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": _CLEAN_UP_SECONDS,
            "rayClusterSpec": _cluster(study, name, image),
        },
    }
    written = StringIO()
    YAML().dump_all([config, job], written)
    return written.getvalue()


def _cluster(study: Study, files: str, image: str) -> dict[str, Any]:
    resources = study.resources
    takes: dict[str, Any] = {"cpu": resources.cpus, "memory": f"{4 * resources.cpus}Gi"}
    if resources.gpus:
        takes["nvidia.com/gpu"] = math.ceil(resources.gpus)

    # The head offers no core, so that all trials train on the workers.
    head = _pod("head", image, {"cpu": 2, "memory": "8Gi"})
    head["spec"]["containers"][0]["volumeMounts"] = [{"name": "study", "mountPath": _FOLDER}]
    head["spec"]["volumes"] = [{"name": "study", "configMap": {"name": files}}]
    return {
        "rayVersion": version("ray"),  # of the image, too
        "authOptions": {"mode": "token"},  # KubeRay makes the token, and gives it to all pods
        "headGroupSpec": {"rayStartParams": {"num-cpus": "0", "num-gpus": "0"}, "template": head},
        "workerGroupSpecs": [
            {
                "groupName": "workers",
                "replicas": resources.workers,
                "minReplicas": resources.workers,
                "maxReplicas": resources.workers,
                "rayStartParams": {},
                "template": _pod("worker", image, takes),
            }
        ],
    }


def _pod(role: str, image: str, takes: dict[str, Any]) -> dict[str, Any]:
    container = {
        "name": f"ray-{role}",
        "image": image,
        "env": [{"name": "RAY_USAGE_STATS_ENABLED", "value": "0"}],
        "resources": {"requests": takes, "limits": dict(takes)},
    }
    return {"spec": {"containers": [container]}}
