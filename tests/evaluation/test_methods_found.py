"""Methods are found by folder and plug-ins by entry point; one that is broken is named with its place."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trainables.errors import InputError
from trainables.plugins.catalogue import TRAINABLES, find_trainable, plugin_requirement

PLUGIN = """
from trainables.contract import Trainable, TrainableConfig
TRAINABLE = Trainable("mine", 1, "Mine", TrainableConfig, {}, frozenset({"weak"}), None, None)
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution on the path: one entry point and, if any, its module."""

    def write(name: str, value: str, source: str, *, distribution: str = "mine") -> None:
        folder = tmp_path / distribution
        info = folder / f"{distribution}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[assay.trainables]\n{name} = {value}\n")
        module = value.partition(":")[0]
        (folder / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, module, raising=False)

    return write


def test_a_folder_with_a_trainable_is_a_method() -> None:
    assert find_trainable("segdec").name == "segdec"
    assert "segdec" in TRAINABLES
    assert TRAINABLES.plugin("segdec") is None


@pytest.mark.parametrize("name", ["segdek", "data", "evaluate", "../segdec", ""])
def test_an_unknown_name_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(InputError, match=r"no trainable .*segdec"):
        find_trainable(name)


def test_a_plugin_is_found_by_its_entry_point(install: Install) -> None:
    install("mine", "catalogue_plugin:TRAINABLE", PLUGIN)
    assert find_trainable("mine").title == "Mine"
    assert "mine" in TRAINABLES
    assert plugin_requirement("mine") == "mine==1.0"


def test_a_plugin_with_the_name_of_a_folder_is_refused_with_both_places(install: Install) -> None:
    install("segdec", "catalogue_plugin:TRAINABLE", PLUGIN)
    with pytest.raises(
        InputError, match=r"'segdec'.*trainables\.segdec and catalogue_plugin:TRAINABLE of mine 1\.0"
    ):
        find_trainable("segdec")
    assert find_trainable("supervised").name == "supervised", "others are found as before"


def test_two_plugins_of_one_name_are_refused_with_both_places(install: Install) -> None:
    install("mine", "catalogue_plugin:TRAINABLE", PLUGIN)
    install("mine", "catalogue_plugin_too:TRAINABLE", PLUGIN, distribution="theirs")
    with pytest.raises(
        InputError, match=r"catalogue_plugin_too:TRAINABLE of theirs 1\.0 and .* of mine 1\.0"
    ):
        find_trainable("mine")


@pytest.mark.parametrize(
    ("name", "value", "source", "message"),
    [
        ("mine", "catalogue_plugin:MISSING", PLUGIN, "cannot be loaded from .* of mine 1.0: AttributeError"),
        ("mine", "catalogue_plugin:TRAINABLE", "1 / 0", "cannot be loaded .*: ZeroDivisionError: division"),
        (
            "mine",
            "catalogue_plugin:TRAINABLE",
            "raise SystemExit('no licence')",
            "of mine 1.0: SystemExit: no l",
        ),
        ("mine", "catalogue_plugin:__name__", PLUGIN, "is a str, expected a trainables.contract.Trainable"),
        ("other", "catalogue_plugin:TRAINABLE", PLUGIN, "'other' and calls itself 'mine': .* of mine 1.0"),
    ],
)
def test_a_broken_plugin_is_refused_with_its_distribution(
    install: Install, name: str, value: str, source: str, message: str
) -> None:
    install(name, value, source)
    with pytest.raises(InputError, match=message):
        find_trainable(name)
