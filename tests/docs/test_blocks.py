"""Code in the documents works: studies can be planned, commands and options exist, Python compiles."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from assay.cli.app import app
from assay.study import parse_study, plan_study, study_schema
from tests.docs.pages import PAGES, ROOT, Block, assay_calls, blocks

STUDIES = [block for block in blocks("yaml") if re.search(r"^study:", block.text, re.MULTILINE)]
FRAGMENTS = [block for block in blocks("yaml") if block not in STUDIES]
SHELL = blocks("sh", "bash", "console")


@pytest.mark.parametrize("block", STUDIES, ids=str)
def test_a_study_in_the_documents_can_be_planned(block: Block) -> None:
    plan = plan_study(parse_study(block.text, str(block)), None, "cpu")
    assert plan.size


@pytest.mark.parametrize("block", FRAGMENTS, ids=str)
def test_a_part_of_a_study_in_the_documents_has_keys_of_the_schema(block: Block) -> None:
    keys = set(YAML(typ="safe").load(block.text))
    assert keys <= set(study_schema()["properties"])


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_and_options_in_the_documents_exist(block: Block) -> None:
    unknown = [" ".join(words) for words in assay_calls(block.text) if not _exists(words)]
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_named_in_a_sentence_exist(page: Path) -> None:
    named = set(re.findall(r"`assay ([a-z]+)", page.read_text(encoding="utf-8")))
    unknown = [command for command in named if not _exists([command])]
    assert not unknown


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_targets_of_make_in_the_documents_exist(block: Block) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z-]+)", block.text, re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_that_the_documents_run_exist(page: Path) -> None:
    modules = set(re.findall(r"python -m ((?:benchmarks|tests)[\w.]*)", page.read_text(encoding="utf-8")))
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    assert not missing


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name
)  # it is of other times
def test_study_files_that_the_documents_name_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("studies/x.yaml", "")  # that is any study
    named = set(re.findall(r"\bstudies/(?:\w+/)*\w+\.yaml", text))
    assert not [name for name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_in_the_documents_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


def _exists(words: list[str]) -> bool:
    """Tell whether a call names a command and options that the program has."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words:
        name, *words = words
        if name not in command.commands:
            return False
        command = command.commands[name]
    options = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    return {word.partition("=")[0] for word in words if word.startswith("--")} <= {*options, "--help"}
