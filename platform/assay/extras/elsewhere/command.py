"""`assay data split` and `assay score`: the commands, whose libraries load when they run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from assay.api.planning import read_plan
from assay.cli.options import DEFAULT_CACHE, DEFAULT_STORAGE, Cache, Data, Storage, StudyFile, as_path, in_use
from assay.cli.output import AsJson, answers, console, writing
from trainables.errors import InputError

__all__ = ["score", "split"]

_Output = Annotated[
    Path, typer.Option("--output", metavar="FOLDER", parser=as_path, help="A new folder for the images.")
]
_Split = Annotated[
    Path,
    typer.Argument(
        metavar="SPLIT", parser=as_path, help="A folder of `assay data split`, with answers in it."
    ),
]
_Unbounded = Annotated[
    bool,
    typer.Option(
        "--unbounded",
        help="Scores and maps are any numbers, higher is worse: they are brought into [0, 1], in the same "
        "order, by median and quartiles of each trial's validation images.",
    ),
]


def split(study: StudyFile, *, output: _Output, data: Data = None, cache: Cache = DEFAULT_CACHE) -> None:
    """Write the images of every repeat, and the masks that it may see, for a training loop of your own.

    The study says `trainable: elsewhere`. Test images are there without labels, under names that say nothing.
    Put the loop's scores and maps where trials.csv says, then `assay score` gives the verdicts.
    """
    from assay.cli.live import LiveView
    from assay.engine.worker.trial import TrialData
    from assay.extras.elsewhere.folders import refuse_others, write_split
    from assay.production.folder import new_folder, refuse_used_folder
    from assay.study.names import counted

    refuse_used_folder(output)
    with LiveView(console(stderr=True)) as view:
        plan = read_plan(study, data=data, cache=cache, say=view.message)
        refuse_others(plan)
        with writing(output), new_folder(output) as unfinished:
            places = write_split(
                unfinished, plan, lambda trial: TrialData.find(trial, data, cache), view.message
            )
    folders = len({place.data for place in places})
    typer.echo(f"{output}: {counted(len(places), 'trial')}, images in {counted(folders, 'folder')}")
    first = places[0]
    typer.echo(f"each line of {output / 'trials.csv'} is a training, such as the first one:")
    typer.echo(f"  learn from {output / first.data}/train and validation")
    for part in ("validation", "calibration", "test"):
        if any((output / first.data / part / "images").glob("**/*.png")):
            typer.echo(f"  predict {output / first.data}/{part}/images into {output / first.answers}/{part}")
    typer.echo("a prediction is scores.csv (id,score) and maps/ID.png or maps/ID.npy")
    place = "" if data is None else f" --data {shlex.quote(str(data))}"
    typer.echo(f"then: assay score {shlex.quote(str(output))}{place}")


def score(
    folder: _Split,
    *,
    data: Data = None,
    storage: Storage = DEFAULT_STORAGE,
    cache: Cache = DEFAULT_CACHE,
    unbounded: _Unbounded = False,
    as_json: AsJson = False,
) -> None:
    """Score the predictions of a training loop of your own: metrics, pictures and verdicts as of any study.

    Everything is read first: with a fault nothing is recorded (exit code 2). Records say that they were
    trained elsewhere, for nobody knows what such a model has seen.
    """
    from assay.cli.live import LiveView
    from assay.extras.elsewhere.folders import STUDY_FILE, read_places, refuse_others
    from assay.extras.elsewhere.scoring import score_split
    from assay.report.answers.results import report_answer
    from assay.report.page.terminal import terminal_page
    from assay.report.pages import study_page
    from assay.storage import Store

    if not (folder / STUDY_FILE).is_file():
        raise InputError(
            f"a split is a folder that `assay data split` wrote, found no {STUDY_FILE} in {folder}. "
            "Name that folder."
        )
    out = console()
    with LiveView(out, messages_alone=as_json) as view:
        plan = read_plan(folder / STUDY_FILE, data=data, cache=cache, say=view.message)
        refuse_others(plan)
        places = read_places(folder, plan)
        store = Store.open(storage)
        results = score_split(
            folder,
            plan,
            places,
            store,
            data_root=data,
            cache=cache,
            say=view.message,
            unbounded=unbounded,
        )
    if as_json:
        answers().give(report_answer(results))
        return
    out.print(terminal_page(study_page(results, brief=True)))
    report = in_use(f"assay report {results.name} --output {results.name}.md", storage=storage)
    typer.echo(f"write the whole report:   {report}")
    typer.echo(f"look at masks and more:   {in_use('assay dashboard', storage=storage)}")
