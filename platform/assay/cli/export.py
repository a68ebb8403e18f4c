"""`assay export`: the model of a trial for other programs, as ONNX, MLflow model or a format of a plug-in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.files import writing
from assay.cli.lookup import trial_id
from assay.cli.options import DEFAULT_CACHE, DEFAULT_STORAGE, Cache, Data, Storage, as_path
from assay.cli.output import console
from trainables.errors import InputError

__all__ = ["export"]


TrialId = Annotated[
    str, typer.Option("--trial", metavar="TRIAL", help="The id of a trained trial, or its unique start.")
]
To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="FORMAT",
        help="`onnx`: an ONNX file. `mlflow`: an MLflow model (pyfunc, without pickle). Packages add others.",
    ),
]
Output = Annotated[
    Path, typer.Option("--output", metavar="DIR", parser=as_path, help="New folder for model and card.")
]


def export(
    context: typer.Context,
    *,
    trial: TrialId,
    to: To,
    output: Output,
    data: Data = None,
    cache: Cache = DEFAULT_CACHE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Write a trial's model with preprocessing and thresholds inside, and check it.

    It is compared with the trial's own model on the study's test images where its data are at hand, else on
    the photos that the trial kept. Data that --data names have to be the trial's. A difference above 0.001 is
    refused with exit code 2.
    """
    from assay.cli.live import LiveView
    from assay.storage import Store

    store = Store.open(storage)
    id_ = trial_id(store, trial, with_model=True)
    with LiveView(console(stderr=True)) as view:
        view.message(f"loading the model of trial {id_}")
        from assay.exports import EXPORTS
        from assay.production.check import check_photos
        from assay.production.export import export_model
        from assay.production.folder import refuse_used_folder
        from assay.production.model import trained_record

        refuse_used_folder(output)
        export_format = EXPORTS.find(to)
        record = trained_record(store, id_)
        try:
            photos = check_photos(store, record, data, cache)
        except InputError as error:
            # A root that serves all studies need not have this one's data.
            source = context.get_parameter_source("data")
            if source is None or source.name != "ENVIRONMENT":
                raise
            view.message(f"ASSAY_DATA does not have the data of trial {id_}: {error}")
            photos = check_photos(store, record, None, cache)
        view.message(f"writing {to} and checking it")
        with writing(output):
            check = export_model(store, record, export_format, output, photos)
    typer.echo(f"{output}: {to} of trial {record.id}")
    typer.echo(f"checked on {check}")
