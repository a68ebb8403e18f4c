"""The `assay` program: its commands, its exit codes and its ways with errors and signals.

Exit codes are those of ``faults.py``. An error is a line on stderr, never a traceback; with --json it is a
JSON object on standard output, too.
"""

from __future__ import annotations

import codecs
import io
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer
from typer.core import TyperGroup

from assay import __version__
from assay.cli import data, streams, studies
from assay.cli.data import init
from assay.cli.judge import scores
from assay.cli.models import export, predict
from assay.cli.output import FLAG, json_alone
from assay.cli.pages import dashboard, demo, mlflow
from assay.cli.plan import plan
from assay.cli.results import best, labels, logs, report
from assay.cli.run import run
from assay.cli.status import status, stop
from assay.cli.storage import check, clean, doctor
from assay.cli.studies import schema, settings
from assay.cli.submit import submit
from assay.extras import EXTRAS, load
from assay.faults import Fault, Interrupted, exit_code_of
from assay.removed import what_to_type_instead
from trainables.errors import InputError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["app", "main"]


class _PlainWords(TyperGroup):
    """The commands, whose mistakes are refused in the words of a study file.

    Wrong values are not told in pydantic's words, and removed options have a sentence of their own.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            from pydantic import ValidationError

            if isinstance(error.__cause__, ValidationError):
                error.message = " ".join(map(_plainly, error.__cause__.errors(include_url=False)))
            raise
        except _Misuse as error:
            option, command = getattr(error, "option_name", None), error.ctx and error.ctx.info_name
            if option and command and (sentence := what_to_type_instead(command, option)):
                raise _Misuse(f"{option} was removed: {sentence}.", ctx=error.ctx) from None
            raise


def _plainly(problem: ErrorDetails) -> str:
    from trainables.errors import validation_message

    if problem["type"] == "value_error":  # of typer, which shows the value itself
        return validation_message(problem)
    return f"{validation_message(problem)}, found {problem['input']!r}."


app = typer.Typer(
    name="assay",
    cls=_PlainWords,
    help="Ablations and searches in surface-defect segmentation: one YAML file asks, a table answers.",
    epilog="Example: assay run quickstart",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"assay {__version__}")
        raise typer.Exit


_Version = Annotated[
    bool,
    typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version of assay."),
]


@app.callback()
def _options(*, version: _Version = False) -> None:  # of the program itself, before any command
    pass


# In the order of `--help`: an example of each command, and its function.
_COMMANDS: dict[str, Callable[..., None]] = {
    "assay demo --port 8600": demo,
    "assay plan ksdd_smoke --data ~/surfaces": plan,
    "assay run ksdd_smoke --data ~/surfaces": run,
    "assay submit quickstart --address http://127.0.0.1:8265 --storage s3://bucket/assay": submit,
    "assay status quickstart --once": status,
    "assay report quickstart --output report.html": report,
    "assay logs 3f9c --lines 40": logs,
    "assay judge scores.csv --against baseline --resolve 0.01": scores,
    "assay dashboard --storage ./assay-storage --port 8501": dashboard,
    "assay labels segdec_masks_severstal --hours 0.5 --from 'images=p750 masks=n50'": labels,
    "assay best my_search --as my_best --output studies/my_best.yaml": best,
    "assay predict --trial 3f9c photos/ more/*.jpg --output found": predict,
    "assay export --trial 3f9c --to onnx --output model": export,
    "assay stop quickstart": stop,
    "assay check quickstart --repair": check,
    "assay clean --storage ./assay-storage --yes": clean,
    "assay mlflow --storage ./assay-storage --port 5000": mlflow,
    "assay init --images ~/surfaces --output surfaces.yaml": init,
    "assay schema --output study.schema.json": schema,
    "assay settings segdec delta": settings,
    "assay doctor --storage s3://bucket/assay": doctor,
}
_unloadable: InputError | None = None
try:
    for extra in EXTRAS.values():
        _COMMANDS.update({example: load(place) for example, place in extra.commands.items()})
except InputError as error:  # of another distribution; refused as any input is, when a command is run
    _unloadable = error
_GROUPS = {"studies": studies.group, "data": data.group}
for _example, _command in _COMMANDS.items():
    _, _first, _second, *_ = _example.split()
    _place, _name = (_GROUPS[_first], _second) if _first in _GROUPS else (app, _first)
    _place.command(_name, epilog=f"Example: {_example}")(_command)
for _name, _group in _GROUPS.items():
    app.add_typer(_group, name=_name)

_MESSAGE_CHARACTERS = 500
_LAST_SECONDS = 8.0  # from a signal until a command that has not ended is ended
# Codes after which nobody waits for threads: they may wait for what is gone.
_AT_ONCE = {fault.exit_code for fault in Fault.__subclasses__() if fault.leaves_at_once}
# Every wrong use of the command line: typer names one kind of it alone.
_Misuse = cast("type[typer.BadParameter]", typer.BadParameter.__base__)

# Nothing that assay starts reports to anybody. Set before any of the libraries is imported.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    "DO_NOT_TRACK": "1",
}


def main() -> None:
    """Run the command that was typed, and exit with its code."""
    # What the output's encoding has no sign for is printed as `?`: an error would end the command.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
            stream.reconfigure(errors="replace")
    os.environ.update(_QUIET)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # its news of tables made are none of the user's
    signal.signal(signal.SIGTERM, _as_interrupt)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # by a script's &: `assay stop` would be unheard
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # which nohup sets
        signal.signal(signal.SIGHUP, _without_terminal)
    _end_after_signals()

    # With `--json` a program reads standard output: it gets one answer and nothing else, and an error is an
    # answer, too.
    words = set(sys.argv[1:])
    if FLAG not in words or words & {"-h", "--help"}:
        _run(lambda text, code: None, standalone=True)
        return
    with json_alone() as answers:

        def answer_error(text: str, code: int) -> None:
            from assay.report.answers import ErrorAnswer

            if not answers.given:
                answers.give_line(ErrorAnswer(error=text, exit_code=code))

        _run(answer_error, standalone=False)


def _run(answer_error: Callable[[str, int], None], *, standalone: bool) -> NoReturn:
    """Run the command that was typed; ``answer_error`` is told why it failed, as the user is."""
    code: object = 0
    try:
        if _unloadable is not None:
            raise _unloadable
        code = app(prog_name="assay", standalone_mode=standalone)
    except InputError as error:
        _end(error, str(error), answer_error)
    except OSError as error:  # Ray's ConnectionError among them
        _end(error, _in_a_line(error), answer_error)
    except Fault as fault:
        if fault.line:
            typer.echo(fault.line, err=True)
            answer_error(str(fault) or fault.line, fault.exit_code)
        code = fault.exit_code
    except _Misuse as error:
        error.show()
        answer_error(error.format_message(), error.exit_code)
        sys.exit(error.exit_code)
    except SystemExit as end:  # typer, too, ends in one, also after Ctrl-C
        code = _with_word(end.code, answer_error)
    else:
        code = _with_word(code, answer_error)

    # After an interrupt or the loss of Ray, threads may be waiting for what is gone, and Python would wait
    # for them.
    if isinstance(code, int) and code in _AT_ONCE:
        _leave(code)
    sys.exit(code if isinstance(code, int | str) else 0)


def _with_word(code: object, answer_error: Callable[[str, int], None]) -> object:
    """``code`` of a command that typer ended, after the word that goes with an interrupt."""
    if code == Interrupted.exit_code:
        line = Interrupted().line
        typer.echo(line, err=True)
        answer_error(line, Interrupted.exit_code)
    return code


def _end(error: Exception, text: str, answer_error: Callable[[str, int], None]) -> NoReturn:
    """Print and answer why the command failed, which may repeat what was typed, and exit with its code."""
    from assay.report.page.inline import visible
    from assay.storage.redaction import redact

    text = redact(text)[:_MESSAGE_CHARACTERS] if isinstance(error, OSError) else redact(text)
    typer.echo(visible(f"error: {text}"), err=True)
    code = exit_code_of(error)
    answer_error(text, code)
    sys.exit(code)


def _in_a_line(error: OSError) -> str:
    """The refusal of the system with its file."""
    text = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    printing = frame.f_globals["__name__"] == streams.__name__  # the system names no file then
    if not error.filename and error.strerror and printing:
        text = (
            f"the output cannot be written: {error.strerror}. Make room, or send what is printed elsewhere."
        )
    return " ".join(text.split()) or type(error).__name__


def _leave(code: int) -> NoReturn:
    """End now: threads that wait for a server or a Ray that is gone would be waited for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _without_terminal(signum: int, frame: FrameType | None) -> None:
    """Handle SIGHUP: the terminal is gone, any word to it would be an error, and the study ends in order."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        if os.isatty(descriptor):
            os.dup2(nowhere, descriptor)
    _as_interrupt(signum, frame)


def _as_interrupt(signum: int, frame: FrameType | None) -> None:
    """Handle SIGTERM like Ctrl-C: what is finished stays, and Ray is shut down in order."""
    os.kill(os.getpid(), signal.SIGINT)


def _end_after_signals() -> None:
    """End the process some seconds after a signal, should it wait in C++, where no handler of Python's runs.

    The kernel's handler writes to the wakeup descriptor even then. A run that trains watches it itself
    (``engine/interrupts.py``) and gives it back.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # a child's signals are not ours

    def watch() -> None:
        with writer:  # held open for as long as this thread reads
            while reader.recv(1)[0] not in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                pass
            time.sleep(_LAST_SECONDS)
            with suppress(OSError):
                os.write(2, f"{Interrupted().line}\n".encode())
            os._exit(Interrupted.exit_code)

    threading.Thread(target=watch, name="assay-end", daemon=True).start()
