"""Data of a trial as MLflow shows it: the manifest's hash is the digest of the data set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from assay.study import Plan, Trial

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

__all__ = ["dataset_inputs"]

_DIGEST_CHARACTERS = 36  # MLflow refuses longer ones; the source holds the hash in full


def dataset_inputs(plan: Plan, trial: Trial) -> list[DatasetInput]:
    """The data that a trial reads; empty in a plan that was made without data."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    manifest = plan.manifests.get(trial.manifest)
    if manifest is None:
        return []
    facts = {"images": manifest.images, "defective": manifest.defective, "with_mask": manifest.with_mask}
    dataset = Dataset(
        name=manifest.reader,
        digest=manifest.hash[:_DIGEST_CHARACTERS],
        source_type="assay",
        source=json.dumps({"reader": manifest.reader, "manifest": manifest.hash}),
        profile=json.dumps(facts),
    )
    return [DatasetInput(dataset, [InputTag("mlflow.data.context", "training and test")])]
