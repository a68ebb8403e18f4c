"""`assay kuberay` writes what Kubernetes takes; no Kubernetes was at hand to take it."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from assay.extras.kuberay.tests.rayjob_schema import SCHEMAS
from tests.cli.small_study import STUDY, Assay
from tests.conftest import ROOT

_STUDY = STUDY.replace("0.125}", "0.125, batch_size: 2}")
_OPTIONS = ("--storage", "/shared/assay", "--data", "/data", "--image", "registry/assay:1")


@pytest.fixture
def manifest(assay: Assay, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The objects of a manifest by kind, of a study with a part of its text replaced."""
    file = tmp_path / "small.yaml"
    file.write_text(_STUDY.replace(*getattr(request, "param", ("", ""))), encoding="utf-8")
    answer = assay("kuberay", file, *_OPTIONS, "--output", tmp_path / "job.yaml")
    assert answer.code == 0, answer.err
    return {part["kind"]: part for part in YAML(typ="safe").load_all(tmp_path / "job.yaml")}


_RESOURCES = "resources: {workers: 1, cpus: 1}"


@pytest.mark.parametrize(
    "manifest",
    [
        ("", ""),
        (_RESOURCES, "resources: {workers: 2, cpus: 8, gpus: 1}"),
        ("study: small", f"study: a_{'long_' * 10}name"),
    ],
    indirect=True,
    ids=["small", "two workers with a GPU", "long name"],
)
def test_a_manifest_fits_the_types_of_kuberay(manifest: dict[str, Any]) -> None:
    assert set(manifest) == set(SCHEMAS)
    for kind, part in manifest.items():
        jsonschema.Draft202012Validator(SCHEMAS[kind]).validate(part)


@pytest.mark.skipif(".venv-next" in sys.prefix, reason="there Ray is newer than the pinned one")
def test_a_manifest_names_the_ray_that_the_recipe_of_its_image_installs(manifest: dict[str, Any]) -> None:
    recipe = (ROOT / "Containerfile").read_text(encoding="utf-8")
    (installed,) = re.findall(r"^ARG RAY=(\S+)$", recipe, re.MULTILINE)
    assert manifest["RayJob"]["spec"]["rayClusterSpec"]["rayVersion"] == installed


def test_the_study_reaches_the_head_as_it_is(manifest: dict[str, Any]) -> None:
    head = manifest["RayJob"]["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (mount,) = head["containers"][0]["volumeMounts"]
    (volume,) = head["volumes"]
    assert mount["name"] == volume["name"]
    assert volume["configMap"]["name"] == manifest["ConfigMap"]["metadata"]["name"]
    assert manifest["ConfigMap"]["data"] == {"small.yaml": _STUDY}
    command = ["python", "-m", "assay", "run", f"{mount['mountPath']}/small.yaml"]
    assert shlex.split(manifest["RayJob"]["spec"]["entrypoint"]) == [*command, *_OPTIONS[:4]]


def test_a_file_whose_name_kubernetes_does_not_take_is_to_be_renamed(assay: Assay, tmp_path: Path) -> None:
    file = tmp_path / "my study.yaml"
    file.write_text(_STUDY, encoding="utf-8")
    answer = assay("kuberay", file, *_OPTIONS, "--output", tmp_path / "job.yaml")
    assert answer.code == 2
    assert "letters, digits and - . _ in their names, found my study.yaml. Rename it." in answer.err


@pytest.mark.parametrize(
    "manifest", [(_RESOURCES, "resources: {workers: 2, cpus: 8, gpus: 0.5}")], indirect=True
)
def test_workers_are_those_of_one_trial_and_the_head_trains_none(manifest: dict[str, Any]) -> None:
    cluster = manifest["RayJob"]["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0", "num-gpus": "0"}
    (group,) = cluster["workerGroupSpecs"]
    assert group["replicas"] == 2
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert (limits["cpu"], limits["nvidia.com/gpu"]) == (8, 1)


def test_a_storage_that_the_pods_alone_reach_is_not_asked(
    assay: Assay, study_file: Path, tmp_path: Path
) -> None:
    storage = "s3://bucket/assay?endpoint_override=127.0.0.1:9&scheme=http"
    options = ("--storage", storage, "--image", "registry/assay:1", "--output", tmp_path / "job.yaml")
    answer = assay("kuberay", study_file, *options)
    assert (answer.code, storage in (tmp_path / "job.yaml").read_text()) == (0, True), answer.err


def test_all_pods_ask_for_a_token_and_report_nothing(manifest: dict[str, Any]) -> None:
    cluster = manifest["RayJob"]["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for container in (container for group in groups for container in group["template"]["spec"]["containers"]):
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (("--storage", "shared"), "found shared"),
        (("--storage", "/shared", "--data", "surfaces"), "--data of a submitted study is an absolute"),
        (("--storage", "/shared", "--tracking-uri", "http://me:hunter2@mlflow"), "holds no credentials"),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_what_the_pods_could_not_use_is_refused(
    assay: Assay, study_file: Path, tmp_path: Path, options: tuple[str, ...], refusal: str
) -> None:
    manifest = tmp_path / "job.yaml"
    answer = assay("kuberay", study_file, *options, "--image", "registry/assay:1", "--output", manifest)
    assert (answer.code, refusal in answer.err, manifest.exists()) == (2, True, False), answer.err


def test_a_folder_that_is_missing_is_made_with_the_manifest(
    assay: Assay, study_file: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "new" / "folder" / "job.yaml"
    assert assay("kuberay", study_file, *_OPTIONS, "--output", manifest).code == 0
    assert manifest.read_text().startswith("apiVersion: v1")


def test_the_study_is_not_written_over(assay: Assay, study_file: Path) -> None:
    before = study_file.read_text()
    answer = assay("kuberay", study_file, *_OPTIONS, "--output", study_file)
    assert (answer.code, "what is read is not written over" in answer.err) == (2, True)
    assert study_file.read_text() == before
