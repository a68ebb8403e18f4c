"""One side of a gate, in a process of its own: trains a study with the code of a checked-out revision.

Run as a file, with that revision first on Python's path, so nothing else of this package is imported here:
in assay's own repository the revision has another one.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import assay
from trainables.errors import InputError
from trainables.plugins.catalogue import TRAINABLES
from trainables.plugins.method_files import is_file_method


def train(study: str, code: str, options: dict[str, Any]) -> None:
    """Train what is missing of a study.

    Raises:
        InputError: If it cannot be trained, or its methods are not those in the folder ``code``.
    """
    for name in assay.plan(study, with_data=False).trainables:
        if is_file_method(name):
            continue  # the study names its file, which is read there
        plugin = TRAINABLES.plugin(name)
        spec = find_spec(f"trainables.{name}" if plugin is None else plugin.module)
        origin = "" if spec is None else str(spec.origin)

        # If Python finds the method elsewhere, both sides train the same code, and no change would ever be
        # seen.
        if not Path(origin).is_relative_to(code):
            raise InputError(
                f"a gate trains with the code of the repository, found the method {name} in {origin}. Name "
                "the folder of the repository that Python imports it from: --path FOLDER."
            )
    assay.run(study, local=True, **options)


if __name__ == "__main__":
    try:
        train(**json.loads(sys.argv[1]))
    except (InputError, OSError) as error:
        sys.exit(str(error))
