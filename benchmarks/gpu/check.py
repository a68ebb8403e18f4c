"""What a GPU makes of assay: at most ten minutes on one GPU. Writes ``docs/gpu.md``.

``python -m benchmarks.gpu.check [--only TITLE …] [--no-write]``, from the root of a checkout. Its main parts
need ``trainables/`` and what that imports. The last part needs all of assay, and says so where Ray is absent.
``--device cpu --quick`` proves the script on a machine without a GPU.

Each part runs in a process of its own, with a limit of time. An error, or a limit that is reached, is printed
in its place, and what the part has said before stays.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.runs import Bench, LeftOutError, Part
from benchmarks.shared import ROOT, parser_of, write_block

PAGE = ROOT / "docs" / "gpu.md"
BEGIN = "<!-- written by `make gpu-check` -->\n"
_ALL_SECONDS = 600.0
_PACKAGES = ("numpy", "triton", "ray")


def main() -> int:
    """Run the parts, print them as they come, and write the page."""
    given = _options()
    bench = Bench(torch.device(given.device), given.quick)
    machine = list(run_part(_machine, bench, 60.0))
    if bench.on_gpu and machine[0] == _NO_GPU:
        sys.stderr.write(f"error: {_NO_GPU}\n")
        return 2
    begin = time.monotonic()
    text: list[str] = []
    for title, (part, limit) in PARTS.items():
        if given.only and title not in given.only:
            continue
        text += ["", f"### {title}", ""]
        sys.stdout.write("\n".join(text[-3:]) + "\n")
        for line in run_part(part, bench, min(limit, _ALL_SECONDS - (time.monotonic() - begin))):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
            text.append(line)
    how = " ".join(machine) + f" The check took {time.monotonic() - begin:.0f} s."
    sys.stdout.write(f"\n{how}\n")
    if given.output is not None:
        write_block(given.output, BEGIN, "\n".join([how, *text]) + "\n")
    return 0


def run_part(part: Part, bench: Bench, seconds: float) -> Iterator[str]:
    """Lines of a part, from a process of its own that is ended after ``seconds``.

    The process is forked: this one has loaded torch and never touches a device.
    """
    context = get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_carry_out, args=(part, bench, theirs))
    process.start()
    theirs.close()
    until = time.monotonic() + seconds
    try:
        while ours.poll(max(0.0, until - time.monotonic())):
            try:
                yield ours.recv()
            except EOFError:
                process.join()
                if process.exitcode:
                    yield f"\nThe part's process ended with code {process.exitcode}."
                return
        yield f"\nCut after {seconds:.0f} s, the limit of this part."
    finally:
        if process.is_alive():
            os.killpg(process.ident or 0, signal.SIGKILL)
        process.join()


def _carry_out(part: Part, bench: Bench, lines: Connection) -> None:
    os.setsid()  # what it starts ends with it
    try:
        for line in part(bench):
            lines.send(line)
    except LeftOutError as error:
        lines.send(f"Left out: {error}")
    except ModuleNotFoundError as error:
        lines.send(f"Left out: {error.name} is not installed here.")
    except Exception as error:  # noqa: BLE001 - said in its place, and the other parts go on
        traceback.print_exc()
        lines.send(f"\nError: {type(error).__name__}: {str(error).strip()[:400]}")


_NO_GPU = (
    "torch sees no GPU here, so there is nothing to measure: run it on a machine with one, or prove the "
    "script with `--device cpu --quick`."
)


def _machine(bench: Bench) -> Iterator[str]:
    """Sentences about device and versions."""
    if bench.on_gpu and not torch.cuda.is_available():
        yield _NO_GPU
        return
    name = f"a CPU ({platform.machine()})"
    if bench.on_gpu:
        found = torch.cuda.get_device_properties(bench.device)
        name = f"{found.name}, {found.total_memory / 2**30:.0f} GiB"
    made = f"{datetime.now(UTC):%Y-%m-%d}, `make gpu-check` on {name}, {os.cpu_count()} CPU cores"
    cuda = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, " if bench.on_gpu else ""
    others = ", ".join(f"{package} {_version(package)}" for package in _PACKAGES)
    yield f"{made}; Python {platform.python_version()}, torch {torch.__version__}, {cuda}{others}."
    if bench.quick:
        yield "Quick: tiny sizes that prove the script and say nothing of the device."


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _options() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--device", default="cuda:0", help="what torch calls it (default: cuda:0)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: a smoke test")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[], help="titles of parts (default: all)")
    parser.add_argument(
        "--output", type=Path, help="page to write (default: docs/gpu.md on a GPU, else none)"
    )
    parser.add_argument("--no-write", action="store_true", help="print only")
    given = parser.parse_args()
    if given.output is None and not given.quick and given.device != "cpu":
        given.output = PAGE
    if given.no_write:
        given.output = None
    return given


if __name__ == "__main__":
    raise SystemExit(main())
