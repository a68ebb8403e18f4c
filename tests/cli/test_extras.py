"""Answers of extras have schemas as those of the core do."""

from __future__ import annotations

import json

import jsonschema
import pytest

from assay.extras import EXTRAS
from tests.cli.small_study import Assay

ANSWERS = [name for extra in EXTRAS.values() for name in extra.answers]


@pytest.mark.parametrize("name", ANSWERS)
def test_the_schema_of_an_extras_answer_is_printed(assay: Assay, name: str) -> None:
    printed = json.loads(assay("schema", "--of", name).out)
    jsonschema.Draft202012Validator.check_schema(printed)
    assert f'"assay/{name}/{2 if name == "agent-report" else 1}"' in json.dumps(printed)
