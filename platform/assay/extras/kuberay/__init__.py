"""Studies as jobs of KubeRay: ``assay kuberay STUDY``."""
