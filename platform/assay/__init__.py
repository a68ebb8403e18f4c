"""assay: ablation and hyperparameter studies of surface-defect segmentation on a Ray cluster."""

__version__ = "0.1.0"
