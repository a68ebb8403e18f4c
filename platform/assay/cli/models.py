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
    from trainables.data.threshold import FalseAlarms
    from trainables.runtime.deployed import Card, DeployedModel

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
    list[str] | None,
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

Recalibrate = Annotated[
    str | None,
    typer.Option(
        "--recalibrate",
        metavar="GOOD_PHOTOS",
        parser=not_empty,
        help="Of --model: set the image threshold anew by photos of good parts, and write the model to "
        "DIR/model of --output.",
    ),
]
MostFalseAlarms = Annotated[
    float | None,
    typer.Option(
        "--false-alarms", help="With --recalibrate: share of new good parts that may be alarms, such as 0.01."
    ),
]
Sure = Annotated[
    float | None,
    typer.Option("--sure", help="With --recalibrate: certainty of the promise.", show_default="0.95"),
]


def predict(
    paths: Paths = None,
    *,
    trial: TrialId = None,
    exported: Exported = None,
    output: Output = Path("predictions"),
    form: TableFormat = "csv",
    overlays: Overlays = True,
    masks: Masks = False,
    annotations: Outlines = None,
    white: White = None,
    recalibrate: Recalibrate = None,
    false_alarms: MostFalseAlarms = None,
    sure: Sure = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Predict defects in images: a table of scores, decisions and defect pixels, with pictures beside it.

    Thresholds are those that the trial chose on its validation images, or that --recalibrate sets by good
    parts of another line. Ctrl-C keeps what is done.
    Where the study made parts of file names (data.item), there is a table of decisions on parts too.
    Exit code 1: some images could not be read, or pictures were passed over (another format, behind a link,
    in a folder that cannot be listed). They are named, and the others are done.
    """
    from assay.cli.live import LiveView
    from trainables.runtime.device import keep_freed_memory

    promise = _promise(recalibrate, false_alarms, sure)
    if promise is not None and exported is None:
        raise InputError(
            "--recalibrate writes an exported model anew, found no --model. Export the trial first: `assay "
            f"export --trial {trial or 'TRIAL'} --to onnx --output model`."
        )
    if not paths and promise is None:
        raise InputError("a prediction takes images, found none. Name files, folders or patterns.")
    keep_freed_memory()
    with LiveView(console(stderr=True)) as view:
        view.message("looking for images")
        from assay.production.folder import refuse_used_folder

        # What can be refused is refused now: to load torch and the model takes seconds.
        refuse_used_folder(output)
        load = _loader(trial, exported, storage)
        photos, unread = _find_photos(paths, output) if paths else ([], ())
        if annotations is not None:
            from assay.production.annotation_files import refuse_names

            refuse_names(annotations, photos)
        if recalibrate is not None and promise is not None and exported is not None:
            exported = _recalibrated(
                exported, recalibrate, promise, white=white, output=output, say=view.message
            )
            if not photos:
                return
            load = _loader(None, exported, storage)
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
    typer.echo(_format_threshold(model.card))
    _warn(progress, model.card.white, unread)
    if progress.broken or unread:
        raise typer.Exit(1)


def _promise(recalibrate: str | None, false_alarms: float | None, sure: float | None) -> FalseAlarms | None:
    """The promise that a new threshold is to keep; None where none is asked for."""
    from trainables.data.threshold import FalseAlarms

    if recalibrate is None:
        for name, value in (("--false-alarms", false_alarms), ("--sure", sure)):
            if value is not None:
                raise InputError(
                    f"{name} says what a recalibrated threshold promises, found {value:g} and no "
                    "--recalibrate. Name photos of good parts: --recalibrate GOOD_PHOTOS."
                )
        return None
    if false_alarms is None or not 0 < false_alarms < 1:
        found = "none" if false_alarms is None else f"{false_alarms:g}"
        raise InputError(
            "--recalibrate takes the share of new good parts that may be false alarms, above 0 and below 1, "
            f"found {found}. For 1 % write --false-alarms 0.01."
        )
    sure = 0.95 if sure is None else sure
    if not 0.5 <= sure < 1:
        raise InputError(
            f"--sure is a certainty from 0.5 to below 1, found {sure:g}. For 95 % write --sure 0.95."
        )
    return FalseAlarms(false_alarms=false_alarms, sure=sure)


def _recalibrated(
    exported: Path,
    good: str,
    promise: FalseAlarms,
    *,
    white: float | None,
    output: Path,
    say: Callable[[str], None],
) -> Path:
    """Set the threshold of an exported model by good photos; returns the folder of the model with it."""
    from assay.exports import EXPORTS
    from assay.production.onnx_file import load_onnx
    from assay.production.recalibration import recalibrate

    photos, unread = _find_photos([good], output)
    if unread:
        raise InputError(
            f"a promise rests on all photos of good parts, found some that are not read: {unread[0]}. "
            "Convert them, or take them away."
        )
    say("loading the model")
    model = load_onnx(exported / "model.onnx")
    if white is not None:
        model = replace(model, card=model.card.model_copy(update={"white": white}))
    before, folder = model.card.thresholds, output / "model"
    with writing(output):
        card = recalibrate(
            model,
            photos,
            promise,
            source=exported,
            output=folder,
            export=EXPORTS.find("onnx"),
            say=say,
        )
    typer.echo(f"image threshold {before.image:.6g} → {card.thresholds.image:.6g}: {card.thresholds.promise}")
    if card.item is None:
        typer.echo("each photo was taken for a part: the model knows no pattern of names (data.item)")
    typer.echo(f"escapes at this threshold are unknown: no defective part was looked at\nwritten: {folder}")
    return folder


def _format_threshold(card: Card) -> str:
    """The image threshold of a model, what it promises, and what it decided wrongly on the study's test."""
    from trainables.evaluation.operating_point import rate_text

    thresholds = card.thresholds
    text = f"image threshold {thresholds.image:.6g} ({thresholds.image_source})"
    if thresholds.promise is not None:
        text += f", which promises {thresholds.promise}"
    if card.test_errors:
        rates = ", ".join(f"{kind} {rate_text(*errors)}" for kind, errors in card.test_errors.items())
        text += f"; on the study's test parts: {rates}"
    return text


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


def _load_exported(folder: Path) -> OnnxModel:
    """What `assay export --to onnx` wrote, or a recalibration."""
    import torch

    from assay.production.onnx_file import load_onnx

    threads = max(1, torch.get_num_threads() // 2)  # two batches at once
    model = load_onnx(folder / "model.onnx", threads)
    if model.card.tiles is not None:
        raise InputError(
            f"an exported model is given whole photos, and {folder} knows tiles. Name its trial: "
            f"--trial {model.card.trial}"
        )
    return model


def _loader(
    trial: str | None, exported: Path | None, storage: str
) -> Callable[[], DeployedModel | OnnxModel]:
    """Find the one model that is named; loading it may take a while."""
    if (trial is None) == (exported is None):
        number = "none" if trial is None else "both"
        raise InputError(f"a prediction takes one model, --trial ID or --model DIR, found {number}")
    if exported is not None:
        return lambda: _load_exported(exported)
    from assay.storage import Store

    store = Store.open(storage)

    # A wrong id is told now, before torch is loaded.
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
        help="`onnx`: an ONNX file. `mlflow`: an MLflow model (pyfunc, without pickle). `files`: those of a "
        "training program. Packages add others.",
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
