"""Studies as jobs of KubeRay: ``assay kuberay STUDY``."""

from assay.extras import Extra

EXTRA = Extra(
    name="kuberay",
    summary="Studies as manifests for KubeRay on Kubernetes.",
    commands={
        "assay kuberay quickstart --image registry/assay:1 --storage s3://bucket/assay --output job.yaml": (
            "assay.extras.kuberay.command:kuberay"
        )
    },
)
