"""`assay studies`, `settings` and `schema`: the studies that come with assay, and what a study may say."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.options import NewFile, as_path
from assay.cli.output import AsJson, answers, check_output, console, replace_file, text_table
from assay.extras import EXTRAS
from trainables.errors import InputError, nearest

if TYPE_CHECKING:
    from rich.console import Console

    from assay.report.answers.checks import SettingsAnswer
    from assay.study import Study
    from assay.study.settings.setting_table import Setting
    from assay.study.settings.settings import AnyTrainable

__all__ = ["answer_of_settings", "group", "schema", "settings"]


# Studies that come with assay, and a copy of one to change ---------------------------------------------


_METHODS = 2  # a study with more says how many

Reader = Annotated[
    str | None, typer.Option("--reader", metavar="READER", help="Only studies on this data set.")
]
OfMethod = Annotated[
    str | None, typer.Option("--method", metavar="METHOD", help="Only studies that train this method.")
]
StudyName = Annotated[str, typer.Argument(metavar="NAME", help="Name of a study that `assay studies` lists.")]
Folder = Annotated[
    Path,
    typer.Argument(metavar="[FOLDER]", parser=as_path, help="Where to put it.", show_default="this folder"),
]

group = typer.Typer()


@group.callback(invoke_without_command=True, epilog="Example: assay studies --reader mtd")
def studies(context: typer.Context, *, reader: Reader = None, method: OfMethod = None) -> None:
    """List the studies that come with assay: what each asks, what it trains on, and how many trials.

    `assay run NAME` trains one in any folder. `assay studies copy NAME` makes a copy to change.
    """
    if context.invoked_subcommand is not None:
        return
    from rich.padding import Padding
    from rich.text import Text

    from assay.study import read_study
    from assay.study.file.shipped import shipped_studies
    from assay.study.settings.methods import method_names

    shipped = [read_study(path) for path in shipped_studies().values()]

    # An unknown name is refused with the nearest one: an empty list would tell nobody what was mistyped.
    _refuse_unknown("--reader", reader, {study.data.reader for study in shipped})
    _refuse_unknown("--method", method, {name for study in shipped for name in method_names(study)})
    chosen = [
        study
        for study in shipped
        if reader in (None, study.data.reader) and (method is None or method in method_names(study))
    ]
    out = console()
    # What can be run at once comes first, then what a package brings the images for.
    for study in sorted(chosen, key=lambda each: (_needs_data(each), _package(each) or "", each.study)):
        out.print(Text.assemble((study.study, "bold"), f"  {_facts(study)}"))
        out.print(Padding(Text(study.question.strip()), (0, 0, 0, 4), expand=False))
    out.print(
        "\nTrain one: `assay run NAME`, with --data ROOT where it needs data. `assay plan NAME --forecast` "
        "says how long that takes here.\nChange one: `assay studies copy NAME`."
    )


@group.command(epilog="Example: assay studies copy quickstart")
def copy(name: StudyName, folder: Folder = Path()) -> None:
    """Copy a study that comes with assay into a folder, to change it there."""
    from assay.study import read_study
    from assay.study.file.shipped import copy_study

    path = copy_study(name, folder)
    data = " --data ROOT" if _needs_data(read_study(path)) else ""
    typer.echo(f"wrote {path}")
    typer.echo(f"next: assay run {shlex.quote(str(path))}{data}")


def _facts(study: Study) -> str:
    """``segdec · ksdd · 24 trials · needs data, GPU``: the question stands below, as wide as the terminal."""
    from assay.study import plan_study
    from assay.study.settings.methods import method_names

    methods = method_names(study)
    named = ", ".join(methods) if len(methods) <= _METHODS else f"{len(methods)} methods"
    package = _package(study)
    needs = [*(["data"] if _needs_data(study) else []), *([package] if package is not None else [])]
    needs += ["GPU"] if study.resources.gpus else []
    try:
        plan = plan_study(study, None, "cuda" if study.resources.gpus else "cpu")
        trials = f"{'≤ ' if plan.size > len(plan.trials) else ''}{plan.size} trials"
    except InputError:  # it is confounded on purpose
        trials = "refused"
    return f"{named} · {study.data.reader} · {trials} · needs {', '.join(needs) or 'nothing'}"


def _refuse_unknown(option: str, value: str | None, known: set[str]) -> None:
    if value is not None and value not in known:
        raise InputError(f"no study that comes with assay has {option} {value}; {nearest(value, known)}")


def _package(study: Study) -> str | None:
    """The distribution that has the images of a study's data set, if one has them."""
    from trainables.data.readers import READERS

    return READERS[study.data.reader].package


def _needs_data(study: Study) -> bool:
    from trainables.data.readers import READERS

    return READERS[study.data.reader].needs_root


# Settings: defaults, presets, bounds and meaning -------------------------------------------------------


_PRESETS = 8  # named of a method that has more

Method = Annotated[
    str | None,
    typer.Argument(
        metavar="[METHOD]",
        help="A method, such as segdec or ./blur.py:TRAINABLE, or a block of the study file: data.",
    ),
]
Name = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="A setting, such as config.delta or delta.")
]
Preset = Annotated[
    str | None, typer.Option("--preset", metavar="PRESET", help="Also show this preset's values.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE",
        parser=as_path,
        help="Write all methods and blocks as a page (Markdown).",
    ),
]


def settings(
    method: Method = None,
    name: Name = None,
    *,
    preset: Preset = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Say what may be set: the methods and their presets, all settings of one, or everything about a setting.

    Settings are named as a study writes them. A study varies them in its factors or searches them in its
    space.
    """
    if output is not None and method is not None:
        raise InputError(
            f"--output writes the page of all methods and blocks, found it with {method}. Leave one of the "
            "two out."
        )
    check_output(output)
    if output is not None:
        from assay.study.settings.setting_table import settings_page
        from trainables.plugins.catalogue import TRAINABLES

        replace_file(output, settings_page(TRAINABLES.values()).encode())
        typer.echo(f"wrote {output}")
        if not as_json:
            return
    out, answer = console(), answer_of_settings(method, name, preset)
    if as_json:
        answers().give(answer)
    elif answer.of is None:
        _show_all(out, answer)
    elif name is None:
        _show_one(out, answer, preset)
    else:
        for row in answer.settings:
            _show_setting(out, row, answer)


def answer_of_settings(method: str | None, name: str | None, preset: str | None = None) -> SettingsAnswer:
    """Methods and blocks; the settings of one; or everything about one setting.

    Raises:
        InputError: If there is no such method, setting or preset, with the nearest one.
    """
    from assay.report.answers.checks import SettingsAnswer, method_row
    from assay.study.settings.setting_table import (
        preset_values,
        presets_by_value,
        settings_of_block,
        settings_of_method,
        study_blocks,
    )
    from trainables.plugins.catalogue import TRAINABLES

    if method is None and (name or preset):
        raise InputError(
            f"settings and presets are of a method, found {name or preset} without one. Write it behind "
            "`assay settings METHOD`."
        )
    if method is None:
        methods = tuple(map(method_row, TRAINABLES.values()))
        return SettingsAnswer(of=None, methods=methods, blocks=dict(study_blocks()))

    # A block of the study file is asked for like a method, and has no presets.
    if method in study_blocks():
        if preset is not None:
            raise InputError(
                f"presets belong to methods, and {method} is a block of the study file: found --preset "
                f"{preset}. Leave it out."
            )
        rows = settings_of_block(method)
        chosen = rows if name is None else _named(rows, name, f"block {method}")
        about = {method: study_blocks()[method]}
        return SettingsAnswer(of=method, blocks=about, settings=tuple(chosen))
    trainable = _found_method(method)
    if preset is not None and preset not in trainable.presets:
        raise InputError(f"{trainable.name} has no preset {preset}; {nearest(preset, trainable.presets)}")
    chosen = list(settings_of_method(trainable).values())
    if name is not None:
        chosen = _named(chosen, name, f"method {trainable.name}")
        by_value = presets_by_value(trainable, chosen[0].setting)
        chosen = [row.model_copy(update={"presets": by_value}) for row in chosen]
    if preset is not None:
        values = preset_values(trainable, preset)
        chosen = [row.model_copy(update={"preset": values.get(row.setting)}) for row in chosen]
    return SettingsAnswer(of=trainable.name, methods=(method_row(trainable),), settings=tuple(chosen))


def _found_method(name: str) -> AnyTrainable:
    from assay.study.settings.programs import read_program
    from assay.study.settings.setting_table import study_blocks
    from trainables.plugins.catalogue import TRAINABLES, find_trainable
    from trainables.plugins.method_files import (
        is_file_reference,
        is_program_reference,
        load_file_method,
        load_program,
    )
    from trainables.plugins.method_shape import refuse_shape

    if is_program_reference(name):
        return load_program(read_program(name, Path()))
    if is_file_reference(name):
        return load_file_method(name, Path())
    known = {*TRAINABLES, *study_blocks()}
    if name not in known:
        raise InputError(
            f"there is no method and no block of the study file called {name}; {nearest(name, known)}"
        )
    trainable = find_trainable(name)
    refuse_shape(trainable)
    return trainable


def _show_all(out: Console, answer: SettingsAnswer) -> None:
    from trainables.data.inspect.findings import summarise

    rows = [
        (m.method, m.title, ", ".join(m.supervision), summarise(m.presets, _PRESETS)) for m in answer.methods
    ]
    _print_table(out, ("method", "what it is", "supervision", "presets"), rows)
    _print_table(out, ("block of a study", "what it says"), list(answer.blocks.items()))
    out.print(
        "All settings of a method or block: `assay settings METHOD`, and --preset PRESET beside defaults."
        "\nOne setting: `assay settings METHOD NAME`."
    )


def _show_one(out: Console, answer: SettingsAnswer, preset: str | None) -> None:
    """A method or a block with all its settings."""
    for block, about in answer.blocks.items():
        out.print(f"{block}: {about}")
    for method in answer.methods:
        out.print(f"{method.method}: {method.title}")
        _print_fact(out, "source", method.source or "not named")
        _print_fact(out, "supervision", ", ".join(method.supervision))
        _print_fact(out, "presets", ", ".join(method.presets) or "none")
    if preset is None:
        table = [row.cells for row in answer.settings]
        _print_table(out, ("setting", "default", "may be", "meaning"), table)
        return
    beside = [
        (row.setting, row.default, row.preset or "", row.may_be, row.meaning) for row in answer.settings
    ]
    _print_table(out, ("setting", "default", f"preset {preset}", "may be", "meaning"), beside)


def _show_setting(out: Console, row: Setting, answer: SettingsAnswer) -> None:
    """Print everything that is known of one setting."""
    out.print(row.setting + "".join(f" of {method.method} ({method.title})" for method in answer.methods))
    _print_fact(out, "meaning", row.meaning or "none written")
    _print_fact(out, "may be", row.may_be)
    _print_fact(out, "default", row.default)
    for value, presets in row.presets.items():
        _print_fact(out, value, f"in preset {', '.join(presets)}")
    for method in answer.methods:
        _print_fact(out, "source", method.source or "not named")


def _named(rows: Iterable[Setting], name: str, owner: str) -> list[Setting]:
    """The settings of that path, or with that path below the block's own name.

    Raises:
        InputError: If there is none, with the nearest one.
    """
    by_name: dict[str, list[Setting]] = {}
    for row in rows:
        short = row.setting.partition(".")[2] or row.setting
        for key in {row.setting, short, short.rpartition(".")[2]}:
            by_name.setdefault(key, []).append(row)
    if name not in by_name:
        raise InputError(f"{owner} has no setting {name}; {nearest(name, by_name)}")
    return by_name[name]


def _print_table(out: Console, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    out.print(text_table(titles, rows, wide=("meaning", "what it says", "presets")))


def _print_fact(out: Console, label: str, text: str) -> None:
    lines = textwrap.wrap(text, max(30, out.width - 16)) or [""]
    out.print(f"  {label:<12}  {lines[0]}", soft_wrap=True)
    for line in lines[1:]:
        out.print(f"{'':16}{line}", soft_wrap=True)


# Schema: of the study file for editors, of answers in JSON for programs --------------------------------


Of = Annotated[
    str,
    typer.Option(
        "--of", metavar="WHAT", help="study (the file), or an answer: plan, status, report … (docs/json.md)."
    ),
]


def schema(of: Of = "study", output: NewFile = None) -> None:
    """Print the JSON Schema (draft 2020-12) of the study file, or of what a command answers with --json.

    With the YAML extension of an editor, start a study with the line
    `# yaml-language-server: $schema=study.schema.json`.
    """
    import json

    check_output(output)
    if of == "study":
        from assay.study import study_schema

        content = study_schema()
    else:
        from assay.report.answers import answer_schema

        of_extras = {name: place for extra in EXTRAS.values() for name, place in extra.answers.items()}
        content = answer_schema(of, of_extras)
    text = json.dumps(content, indent=2)
    if output is None:
        typer.echo(text)
    else:
        replace_file(output, f"{text}\n".encode())
