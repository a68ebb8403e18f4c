"""The part of KubeRay's RayJob and of Kubernetes' ConfigMap that manifests use, as a JSON Schema.

After the types of ``ray.io/v1`` (rayjob_types.go, raycluster_types.go) and core/v1: names, types and what is
required. A field that is not named here is refused, as the server refuses one that it does not know.
"""

from __future__ import annotations

from typing import Any

__all__ = ["SCHEMAS"]

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}  # a number would be refused: "num-cpus": "0"
_QUANTITIES = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [
            {"type": "integer"},
            {"type": "string", "pattern": r"^([0-9]+(\.[0-9]*)?)(([KMGTPE]i)|[numkMGTPE])?$"},
        ]
    },
}


def _object(required: tuple[str, ...] = (), /, **fields: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": list(required),
        "additionalProperties": False,
    }


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


_NAME = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}
_METADATA = _object(("name",), name={**_NAME, "maxLength": 47})
_POD = _object(
    ("spec",),
    spec=_object(
        ("containers",),
        containers=_list(
            _object(
                ("name", "image"),
                name=_NAME,
                image=_TEXT,
                env=_list(_object(("name",), name=_TEXT, value=_TEXT)),
                resources=_object(requests=_QUANTITIES, limits=_QUANTITIES),
                volumeMounts=_list(_object(("name", "mountPath"), name=_NAME, mountPath=_TEXT)),
            )
        ),
        volumes=_list(_object(("name",), name=_NAME, configMap=_object(("name",), name=_NAME))),
    ),
)
_CLUSTER = _object(
    ("headGroupSpec",),
    rayVersion=_TEXT,
    authOptions=_object(mode={"enum": ["disabled", "token"]}),
    headGroupSpec=_object(("template", "rayStartParams"), template=_POD, rayStartParams=_TEXTS),
    workerGroupSpecs=_list(
        _object(
            ("groupName", "minReplicas", "maxReplicas", "template", "rayStartParams"),
            groupName=_NAME,
            replicas=_COUNT,
            minReplicas=_COUNT,
            maxReplicas=_COUNT,
            template=_POD,
            rayStartParams=_TEXTS,
        )
    ),
)
SCHEMAS = {
    "ConfigMap": _object(
        ("apiVersion", "kind", "metadata", "data"),
        apiVersion={"const": "v1"},
        kind={"const": "ConfigMap"},
        metadata=_METADATA,
        data={**_TEXTS, "propertyNames": {"pattern": "^[-._a-zA-Z0-9]+$"}},
    ),
    "RayJob": _object(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": "ray.io/v1"},
        kind={"const": "RayJob"},
        metadata=_METADATA,
        spec=_object(
            entrypoint=_TEXT,
            backoffLimit=_COUNT,
            shutdownAfterJobFinishes={"type": "boolean"},
            ttlSecondsAfterFinished=_COUNT,
            rayClusterSpec=_CLUSTER,
        ),
    ),
}
