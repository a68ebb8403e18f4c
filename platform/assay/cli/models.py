"""`assay predict` and `assay export`: a trained model on image files, and for other programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from assay.cli.options import (
    DEFAULT_CACHE,
    DEFAULT_STORAGE,
    Cache,
    Data,
    Storage,
    as_path,
    not_empty,
    trial_id,
)
from assay.cli.output import console, duration, writing
from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.cli.live import LiveView
    from assay.production.onnx_file import OnnxModel
    from assay.production.photos import Photo
    from assay.production.predict import PredictionProgress
    from trainables.data.inspect.unread import Unread
    from trainables.runtime.deployed import DeployedModel

__all__ = ["export", "predict"]


# Predict -----------------------------------------------------------------------------------------------


_BROKEN_SHOWN = 20

TrialId = Annotated[
    str | None,
    typer.Option("--trial", metavar="TRIAL", help="The id of a trained trial, or its unique start."),
]
Exported = Annotated[
    Path | None,
    typer.Option(
        "--model", metavar="DIR", parser=as_path, help="Instead: what `assay export --to onnx` wrote."
    ),
]
Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATHS…", parser=not_empty, help="Images: files, folders, patterns.", show_default=False
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output", metavar="DIR", parser=as_path, help="New folder for the table and the pictures."
    ),
]
TableFormat = Annotated[Literal["csv", "parquet"], typer.Option("--format", help="Format of the table.")]
Overlays = Annotated[
    bool, typer.Option("--overlays/--no-overlays", help="Draw each decision over its photo (PNG).")
]
Masks = Annotated[
    bool, typer.Option("--masks/--no-masks", help="Write each mask at its photo's size (PNG, 255: defect).")
]
White = Annotated[
    float | None,
    typer.Option(
        "--white",
        metavar="VALUE",
        min=1e-6,
        help="Pixel value that is white in images of more than 8 bits; default: that of the training.",
    ),
]

Outlines = Annotated[
    Literal["labelme", "coco"] | None,
    typer.Option("--annotations", help="Write outlines of the masks too, for a labelling tool."),
]


def predict(
    paths: Paths,
    *,
    trial: TrialId = None,
    exported: Exported = None,
    output: Output = Path("predictions"),
    form: TableFormat = "csv",
    overlays: Overlays = True,
    masks: Masks = False,
    annotations: Outlines = None,
    white: White = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Predict defects in images: a table of scores, decisions and defect pixels, with pictures beside it.

    Thresholds are those that the trial chose on its validation images. Ctrl-C keeps what is done.
    Where the study made parts of file names (data.item), there is a table of decisions on parts too.
    Exit code 1: some images could not be read, or pictures were passed over (another format, behind a link,
    in a folder that cannot be listed). They are named, and the others are done.
    """
    from assay.cli.live import LiveView
    from trainables.runtime.device import keep_freed_memory

    keep_freed_memory()
    with LiveView(console(stderr=True)) as view:
        view.message("looking for images")
        from assay.production.folder import refuse_used_folder

        refuse_used_folder(output)
        load = _loader(trial, exported, storage)
        photos, unread = _find_photos(paths, output)
        if annotations is not None:
            from assay.production.annotation_files import refuse_names

            refuse_names(annotations, photos)
        view.message("loading the model")
        from assay.production.annotation_files import annotation_writer
        from assay.production.predict import Pictures
        from assay.production.predict import predict as predict_photos
        from assay.production.rows import PartRows, RowWriter
        from assay.study.names import counted

        model = load()
        if white is not None:
            model = replace(model, card=model.card.model_copy(update={"white": white}))
        table = output / f"predictions.{form}"
        with writing(output), ExitStack() as stack:
            output.mkdir(parents=True, exist_ok=True)
            parts = None if model.card.item is None else PartRows(model.card.item, photos)
            rows = stack.enter_context(RowWriter(table, form, parts))
            outlines = None
            if annotations is not None:
                outlines = stack.enter_context(annotation_writer(annotations, output))
            if parts is not None:
                stack.callback(parts.write, output / f"parts.{form}", form)
            progress = predict_photos(
                model,
                photos,
                rows,
                Pictures(output, masks, overlays, outlines),
                _shown(view, console(stderr=True).is_terminal),
            )
    predicted = counted(progress.done - len(progress.broken), "image")
    typer.echo(f"{predicted} predicted, {progress.defective} defective: {table}")
    if parts is not None:
        total = counted(parts.total, "part")
        typer.echo(f"{total}, {parts.defective} defective: {output / f'parts.{form}'}")
        if parts.others:
            typer.echo(
                f"warning: not named like {model.card.item}, and so parts of their own: "
                f"{counted(len(parts.others), 'image')}, such as {parts.others[0]}",
                err=True,
            )
    _warn(progress, model.card.white, unread)
    if progress.broken or unread:
        raise typer.Exit(1)


def _find_photos(paths: list[str], output: Path) -> tuple[list[Photo], Sequence[Unread]]:
    """Photos that ``paths`` name, and what is passed over; of those that may be masks there is a warning."""
    from assay.production.photos import find_photos, in_mask_folders, refuse_output_below, unread_photos

    photos, unread = find_photos(paths), unread_photos(paths)
    refuse_output_below(paths, output)
    if masks := in_mask_folders(photos):
        typer.echo(
            f"warning: {len(masks)} of {len(photos)} images may be masks, by the names of their folders, "
            f"such as {masks[0].name}. Name the folders of photos alone",
            err=True,
        )
    return photos, unread


def _loader(
    trial: str | None, exported: Path | None, storage: str
) -> Callable[[], DeployedModel | OnnxModel]:
    """Find the one model that is named; loading it may take a while."""
    if (trial is None) == (exported is None):
        number = "none" if trial is None else "both"
        raise InputError(f"a prediction takes one model, --trial ID or --model DIR, found {number}")
    if exported is not None:

        def load_exported() -> OnnxModel:
            import torch

            from assay.production.onnx_file import load_onnx

            threads = max(1, torch.get_num_threads() // 2)  # two batches at once
            model = load_onnx(exported / "model.onnx", threads)
            if model.card.tiles is not None:
                raise InputError(
                    f"an exported model is given whole photos, and {exported} knows tiles. Name its trial: "
                    f"--trial {model.card.trial}"
                )
            return model

        return load_exported
    from assay.storage import Store

    store = Store.open(storage)
    id_ = trial_id(store, trial or "", with_model=True)

    def load_trained() -> DeployedModel:
        from assay.production.model import load_model, revision_warning, trained_record

        model = load_model(store, trained_record(store, id_))
        if warning := revision_warning(model.card):
            typer.echo(f"warning: {warning}", err=True)
        return model

    return load_trained


def _warn(progress: PredictionProgress, white: float, unread: Iterable[Unread]) -> None:
    """Name the photos without a score and what was passed over, and say how many are dark under ``white``."""
    if progress.dark:
        typer.echo(
            f"warning: {progress.dark} of {progress.total} photos have at most 16 of 256 grey levels, read "
            f"with white {white:g}. If their camera has fewer bits, name its white point (--white "
            "4095: 12 bits)",
            err=True,
        )
    for text in progress.broken[:_BROKEN_SHOWN]:
        typer.echo(f"not predicted: {text}", err=True)
    if len(progress.broken) > _BROKEN_SHOWN:
        typer.echo(f"and {len(progress.broken) - _BROKEN_SHOWN} more, see the table", err=True)
    for files in unread:
        typer.echo(f"not predicted: {files}", err=True)


def _shown(view: LiveView, terminal: bool) -> Callable[[PredictionProgress], None]:
    """Shows in ``view`` how far it is, several times a second on a terminal, every few seconds elsewhere."""
    start = time.monotonic()
    every, shown = (0.25 if terminal else 5.0), start

    def show(progress: PredictionProgress) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < every:
            return
        shown = now
        rate = progress.done / (now - start)
        text = f"{progress.done}/{progress.total} images · {progress.defective} defective"
        if progress.broken:
            text += f" · {len(progress.broken)} unreadable"
        left = duration((progress.total - progress.done) / rate)
        view.message(f"{text} · {rate:.1f} images/s · about {left} left")

    return show


# Export: as ONNX, MLflow model or a format of a plug-in ------------------------------------------------


ExportedTrial = Annotated[
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
ModelFolder = Annotated[
    Path, typer.Option("--output", metavar="DIR", parser=as_path, help="New folder for model and card.")
]


def export(
    context: typer.Context,
    *,
    trial: ExportedTrial,
    to: To,
    output: ModelFolder,
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
