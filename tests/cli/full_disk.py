"""Commands of `assay` on full file systems, in a process that may mount: see ``test_full_disk.py``.

``python -m tests.cli.full_disk FOLDER CASES`` runs each case (JSON: its name and the arguments of `assay`) in
a file system of 4 KB, mounted below FOLDER. It prints what each said and left, as JSON.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from assay.cli import main as assay

__all__: list[str] = []


def main(folder: Path, cases: dict[str, Sequence[str]]) -> None:
    """Run the cases."""
    answers = {name: _run(folder / name, arguments) for name, arguments in cases.items()}
    sys.stdout.write(json.dumps(answers))


def _run(place: Path, arguments: Sequence[str]) -> dict[str, object]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(place)], check=True)
    os.chdir(place)
    sys.argv = ["assay", *arguments]
    code: object = 0
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as said:
        try:
            assay()
        except SystemExit as end:
            code = end.code
    left = [str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()]
    return {"code": code, "said": said.getvalue().splitlines()[-1], "left": left}


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
