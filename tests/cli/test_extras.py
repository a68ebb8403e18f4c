"""Extras add commands and answers by their registry, and the program works without them."""

from __future__ import annotations

import json
import subprocess
import sys

import jsonschema
import pytest

from assay.extras import EXTRAS
from tests.cli.small_study import Assay

ANSWERS = [name for extra in EXTRAS.values() for name in extra.answers]
COMMANDS = [command.split()[1] for extra in EXTRAS.values() for command in extra.commands]


@pytest.mark.parametrize("name", ANSWERS)
def test_the_schema_of_an_extras_answer_is_printed(assay: Assay, name: str) -> None:
    printed = json.loads(assay("schema", "--of", name).out)
    jsonschema.Draft202012Validator.check_schema(printed)
    assert f'"assay/{name}/1"' in json.dumps(printed)


def test_without_extras_the_program_has_its_other_commands_and_loads_none_of_them() -> None:
    code = (
        "import sys, assay.extras; assay.extras.EXTRAS = {}; sys.argv = ['assay', '--help']\n"
        "import assay.cli\n"
        "try: assay.cli.main()\nexcept SystemExit as end: assert not end.code, end.code\n"
        "print('loaded', *(name for name in sys.modules if name.startswith('assay.extras.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *page, loaded = done.stdout.splitlines()
    listed = {line.strip("│ ").split(" ")[0] for line in page}
    assert {"run", "status", "report"} <= listed
    assert not listed & set(COMMANDS)
    assert loaded == "loaded"
