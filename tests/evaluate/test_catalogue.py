"""The catalogue finds methods by folder and plugins by entry point."""

import sys
from pathlib import Path

import pytest

from trainables.catalogue import all_trainables, find_trainable
from trainables.errors import InputError

PLUGIN = """
from trainables.contract import Trainable, TrainableConfig
TRAINABLE = Trainable("mine", 1, "Mine", TrainableConfig, {}, frozenset({"weak"}), None, None)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A distribution on the path with one entry point and, if any, its module."""

    def write(name: str, value: str, source: str) -> None:
        info = tmp_path / "mine-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[assay.trainables]\n{name} = {value}\n")
        (tmp_path / "catalogue_plugin.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "catalogue_plugin", raising=False)

    return write


def test_a_folder_with_a_trainable_is_a_method() -> None:
    assert find_trainable("segdec").name == "segdec"
    assert "segdec" in all_trainables()


@pytest.mark.parametrize("name", ["segdek", "data", "../segdec", ""])
def test_an_unknown_name_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(InputError, match=r"no trainable .*segdec"):
        find_trainable(name)


def test_a_plugin_is_found_by_its_entry_point(install) -> None:
    install("mine", "catalogue_plugin:TRAINABLE", PLUGIN)
    assert find_trainable("mine").title == "Mine"
    assert "mine" in all_trainables()


def test_a_plugin_cannot_take_the_name_of_a_folder(install) -> None:
    install("segdec", "catalogue_plugin:TRAINABLE", PLUGIN)
    assert find_trainable("segdec").title != "Mine"


@pytest.mark.parametrize(
    ("value", "message"),
    [("catalogue_plugin:MISSING", "cannot be loaded"), ("catalogue_plugin:__name__", "leads to a str")],
)
def test_a_broken_plugin_is_named(install, value: str, message: str) -> None:
    install("mine", value, PLUGIN)
    with pytest.raises(InputError, match=f"'mine'.*{message}|{message}"):
        find_trainable("mine")
