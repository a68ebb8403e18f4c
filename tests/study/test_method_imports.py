"""What a method's own files import is found before anything trains, and stands with what was trained."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

from assay.study import plan_study, read_study
from trainables.errors import InputError
from trainables.plugins.method_files import MethodSource
from trainables.plugins.method_imports import (
    UNKNOWN_VERSION,
    Import,
    imports_of_file,
    imports_of_module,
    package_versions,
    refuse_missing,
)
from trainables.program.method import pack_program
from trainables.program.spec import ProgramSpec

STUDY = """\
study: own
trainable: ./mine:TRAINABLE
data: {reader: synthetic}
supervision: weak
repeats: {seeds: [0, 1]}
"""
DECLARES = """
from dataclasses import replace
from assay_toy import method
from .fit import fit
TRAINABLE = replace(method.TRAINABLE, name="mine")
"""


def source(files: Mapping[str, str]) -> MethodSource:
    """A method ``mine`` of files by their path without ``.py``; ``fit`` is imported first."""
    texts = {"__init__": "from . import fit", **files}
    return MethodSource({f"mine/{name}.py": text.encode() for name, text in texts.items()})


def needed(code: str) -> list[str]:
    return [each.package for each in imports_of_file(source({"fit": textwrap.dedent(code)})) if each.needed]


@pytest.mark.parametrize(
    "code",
    [
        "import kornia",
        "import kornia.losses as losses",
        "from kornia.losses import dice",
        "def fit():\n    import kornia",
        "class Net:\n    def forward(self):\n        from kornia import blur",
        "for _ in range(2):\n    import kornia",
        "with open('a') as file:\n    import kornia",
        "try:\n    import kornia\nexcept OSError:\n    pass",
        "async def fit():\n    import kornia",
    ],
)
def test_an_import_is_needed_wherever_it_stands(code: str) -> None:
    assert needed(code) == ["kornia"]


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    import kornia\nexcept ImportError:\n    kornia = None",
        "try:\n    import kornia\nexcept (OSError, ModuleNotFoundError):\n    kornia = None",
        "try:\n    import tomllib\nexcept ImportError:\n    import kornia",
        "from contextlib import suppress\nwith suppress(ImportError):\n    import kornia",
        "def fit(config):\n    if config.loss == 'kornia':\n        import kornia",
        "match 1:\n    case 1:\n        import kornia",
    ],
)
def test_an_import_that_a_method_can_do_without_may_be_missing(code: str) -> None:
    imports = imports_of_file(source({"fit": code}))
    assert [each.needed for each in imports if each.package == "kornia"] == [False]
    refuse_missing(imports)


@pytest.mark.parametrize(
    "code",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import kornia",
        "import typing\nif typing.TYPE_CHECKING:\n    import kornia",
        "import os, json.decoder\nfrom trainables.contract import Run\nfrom assay import api",
        "text = 'import kornia'  # import kornia",
    ],
)
def test_what_is_not_imported_or_comes_with_assay_is_no_package_of_a_method(code: str) -> None:
    assert not imports_of_file(source({"fit": code}))


@pytest.mark.parametrize(
    "way", ["from . import losses", "from .losses import dice", "import json\nfrom .deep.er import x"]
)
def test_files_are_followed_as_they_import_each_other(way: str) -> None:
    files = {"losses": "import kornia", "deep/__init__": "", "deep/er": "from ..losses import dice"}
    (found,) = imports_of_file(source({"fit": way, **files}))
    assert (found.package, found.place) == ("kornia", "mine/losses.py:1")


def test_files_that_no_other_imports_are_no_part_of_the_method() -> None:
    assert not imports_of_file(source({"fit": "", "plot": "import kornia", "tests/test_it": "import kornia"}))


def test_a_file_is_needed_where_one_of_its_importers_needs_it() -> None:
    optional = "try:\n    from . import losses\nexcept ImportError:\n    pass"
    assert [i.needed for i in imports_of_file(source({"fit": optional, "losses": "import kornia"}))] == [
        False
    ]
    both = source(
        {"fit": f"{optional}\nfrom .net import Net", "net": "from . import losses", "losses": "import kornia"}
    )
    assert [i.needed for i in imports_of_file(both)] == [True]


def test_files_that_import_each_other_in_a_circle_are_read_once() -> None:
    (found,) = imports_of_file(
        source({"fit": "from . import net", "net": "from . import fit\nimport kornia"})
    )
    assert found.package == "kornia"


def test_a_missing_package_is_refused_with_the_line_that_imports_it() -> None:
    imports = imports_of_file(source({"fit": "import torch\n\ndef fit():\n    import no_such_package"}))
    with pytest.raises(InputError, match=r"none for `no_such_package` \(mine/fit\.py:4\)\. Install what is"):
        refuse_missing(imports)


def test_a_plan_finds_what_only_the_first_trial_would_have_missed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/__init__.py").write_text(DECLARES)
    (tmp_path / "mine/fit.py").write_text("def fit(config, data, run):\n    import no_such_package\n")
    (tmp_path / "own.yaml").write_text(STUDY)
    with pytest.raises(InputError, match=r"`no_such_package` \(mine/fit\.py:2\)"):
        plan_study(read_study(tmp_path / "own.yaml"), None, "cpu")


def program(files: Mapping[str, str], train: str = "{python} train.py", python: str = "") -> MethodSource:
    """A program of files by their path, its ``predict.py`` among them."""
    spec = ProgramSpec(files=("train.py",), train=train, predict="{python} predict.py", python=python or None)
    texts = {"predict.py": "", **files}
    return MethodSource(pack_program(spec, {name: text.encode() for name, text in texts.items()}, None))


@pytest.mark.parametrize(
    ("train", "files", "place"),
    [
        ("{python} train.py", {"train.py": "import kornia"}, "train.py:1"),
        ("{python} train.py", {"train.py": "import nets", "nets.py": "\nimport kornia"}, "nets.py:2"),
        (
            "{python} train.py",
            {"train.py": "from nets.deep import unet", "nets/deep/unet.py": "import kornia"},
            "nets/deep/unet.py:1",
        ),
        (
            "{python} -u src/train.py",
            {"src/train.py": "import nets", "src/nets.py": "import kornia"},
            "src/nets.py:1",
        ),
        (
            "{python} train.py",
            {"train.py": "import sys\nsys.path.append('src')\nimport nets", "src/nets.py": "import kornia"},
            "src/nets.py:1",
        ),
        (
            "{python} -m my.train",
            {"my/__init__.py": "", "my/train.py": "from .net import x", "my/net.py": "import kornia"},
            "my/net.py:1",
        ),
        ("{python} -m torch.distributed.run train.py", {"train.py": "import kornia"}, "train.py:1"),
        ("{python} main.py conf.py", {"main.py": "", "conf.py": "import kornia"}, "conf.py:1"),
    ],
)
def test_a_programs_scripts_are_followed_from_its_commands(
    train: str, files: Mapping[str, str], place: str
) -> None:
    (found,) = imports_of_file(program(files, train))
    assert found == Import("kornia", place, needed=True)


@pytest.mark.parametrize(
    ("train", "files"),
    [
        ("./train.sh", {"train.sh": "python other.py", "other.py": "import kornia"}),
        ("{python} train.py", {"train.py": "import json, nets", "nets.so": "", "old.py": "import kornia"}),
        ("{python} train.py", {"train.py": "import queue", "queue.py": ""}),
    ],
)
def test_what_a_programs_interpreter_does_not_read_is_no_import(train: str, files: Mapping[str, str]) -> None:
    assert not imports_of_file(program(files, train))


@pytest.mark.parametrize(
    "code", ["def plot():\n    import kornia", "try:\n    import kornia\nexcept ImportError:\n    pass"]
)
def test_a_program_may_do_without_what_a_function_or_a_try_imports(code: str) -> None:
    assert [each.needed for each in imports_of_file(program({"train.py": code}))] == [False]


def test_packages_of_another_interpreter_are_not_looked_up_here() -> None:
    assert not imports_of_file(program({"train.py": "import kornia"}, python="/other/python"))


def test_versions_are_told_by_the_names_of_distributions() -> None:
    imports = imports_of_file(source({"fit": "import cv2, psutil, assay_toy, no_such_package"}))
    here = package_versions(imports)
    assert here["psutil"] == version("psutil")
    assert any(name.startswith("opencv") for name in here)
    assert "no_such_package" not in here


def test_a_module_that_belongs_to_no_distribution_has_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loose_module.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    imports = imports_of_file(source({"fit": "import loose_module"}))
    assert package_versions(imports) == {"loose_module": UNKNOWN_VERSION}


def test_a_plug_ins_files_are_followed_by_its_own_name_and_by_names_in_strings() -> None:
    packages = {each.package: each.place for each in imports_of_module("assay_toy.method")}
    assert packages["torch"].startswith(
        "assay_toy/training.py:"
    )  # named by LazyFunction("assay_toy.training:fit")
    assert "assay_toy" not in packages
