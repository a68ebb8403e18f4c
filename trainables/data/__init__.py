"""Data sets: read, checked, split, cached and handed to training.

::

    manifest = open_manifest(spec, root, cache)
    split = make_split(manifest, spec, supervision, seed=0, fold=None)
    images = open_images(manifest, (128, 128), 1, cache)
    data = load_training(manifest, split, supervision, images)

A reader lists images by name; opening, checking, hashing, splitting and caching are the same for all of them.
Nothing here imports torch (``tensors.py`` does): a plan is made without it.
"""

from __future__ import annotations

from trainables.data.cache import ArrowImages, open_images
from trainables.data.inspect.check import DataReport, check_data
from trainables.data.inspect.findings import Finding
from trainables.data.load import load_evaluation, load_training, load_truth
from trainables.data.manifest import Manifest, open_manifest
from trainables.data.readers import READERS, Reader
from trainables.data.samples import EvaluationData, ImageSet, ImageSource, MaskedSample, Sample, TrainingData
from trainables.data.seeds import seed_for
from trainables.data.spec import DataSpec, HoldOut, Supervision
from trainables.data.splits import Split, make_split, split_warnings

__all__ = [
    "READERS",
    "ArrowImages",
    "DataReport",
    "DataSpec",
    "EvaluationData",
    "Finding",
    "HoldOut",
    "ImageSet",
    "ImageSource",
    "Manifest",
    "MaskedSample",
    "Reader",
    "Sample",
    "Split",
    "Supervision",
    "TrainingData",
    "check_data",
    "load_evaluation",
    "load_training",
    "load_truth",
    "make_split",
    "open_images",
    "open_manifest",
    "seed_for",
    "split_warnings",
]
