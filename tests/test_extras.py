"""Extras: those of other distributions are found, what they need is asked for, and the core goes without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay.extras import EXTRAS, Extra
from tests.cli.test_run_json import command
from trainables.errors import InputError

_GREETING = '''\
"""An extra of another distribution, with a command."""

from assay.extras import Extra

EXTRA = Extra(
    name="greeting",
    summary="Greets.",
    commands={"assay greet Ada": "greeting.command:greet"},
    needs=(NEEDS,),
)
'''
_COMMAND = '''\
"""`assay greet`."""

from greeting import EXTRA


def greet(name: str) -> None:
    """Greet somebody."""
    EXTRA.require()
    print(f"good morning, {name}")
'''


def _install(folder: Path, package: str, needs: str = "") -> None:
    """A distribution with the extra in its package, as an installer leaves it."""
    (folder / "greeting").mkdir(parents=True)
    (folder / "greeting" / "__init__.py").write_text(package.replace("NEEDS,", needs))
    (folder / "greeting" / "command.py").write_text(_COMMAND)
    metadata = folder / "greeting-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[assay.extras]\ngreeting = greeting:EXTRA\n")


def _assay(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), *sys.path])
    return subprocess.run(
        [sys.executable, "-m", "assay", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )


def test_an_extra_of_another_distribution_is_found_and_its_command_runs(tmp_path: Path) -> None:
    _install(tmp_path, _GREETING)
    done = _assay(tmp_path, "greet", "Ada")
    assert (done.returncode, done.stdout, done.stderr) == (0, "good morning, Ada\n", "")
    assert "Example: assay greet Ada" in _assay(tmp_path, "greet", "--help").stdout


def test_a_package_that_an_extra_lacks_is_asked_for_in_a_sentence(tmp_path: Path) -> None:
    _install(tmp_path, _GREETING, needs='"no_such_package",')
    refused = _assay(tmp_path, "greet", "Ada")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "error: greeting is an extra of assay that needs no_such_package, which this environment does not "
        "have. Install it: pip install 'assay[greeting]'\n"
    )
    assert _assay(tmp_path, "--version").returncode == 0


@pytest.mark.parametrize(
    ("package", "refusal"),
    [
        (
            "import no_such_package\n",
            "the extra 'greeting' cannot be loaded from greeting:EXTRA of greeting 1.0: ModuleNotFoundError: "
            "No module named 'no_such_package'. Repair or uninstall that distribution.",
        ),
        (
            _GREETING.replace("NEEDS,", "").replace("command:greet", "command:greets"),
            "an extra names its parts as module:name, and greeting.command:greets cannot be loaded: "
            "module 'greeting.command' has no attribute 'greets'. Repair or uninstall its distribution.",
        ),
    ],
    ids=["the extra", "its command"],
)
def test_what_cannot_be_loaded_is_a_sentence(tmp_path: Path, package: str, refusal: str) -> None:
    _install(tmp_path, package)
    refused = _assay(tmp_path, "--version")
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", f"error: {refusal}\n")
    answer = json.loads(_assay(tmp_path, "plan", "quickstart", "--json").stdout)
    assert (answer["error"], answer["exit_code"]) == (refusal, 2)


_LISTENER = '''\
"""Writes down what it hears of a run."""

from assay.extras import Extra

EXTRA = Extra(name="greeting", summary="Listens.", listener="greeting:listener")


def listener(store):
    return Diary() if store.uri.endswith("storage") else None


class Diary:
    trouble = "the diary is full"

    def __enter__(self):
        print("diary opened")
        return self

    def __exit__(self, *error):
        print(f"diary closed after {self.done} of {self.total}")

    def see(self, state):
        self.done, self.total = state.snapshot.done, state.snapshot.total

    def interrupt(self):
        print("diary torn")
'''


def test_a_listener_of_an_extra_sees_the_run_to_its_end_and_says_its_trouble_there(
    tmp_path: Path, cache_root: Path
) -> None:
    _install(tmp_path, _LISTENER)
    words = command(tmp_path, cache_root)[3:]  # after python -m assay
    done = _assay(tmp_path, *words)
    lines = done.stdout.splitlines()
    assert done.returncode == 1, "of the trial that fails"
    assert lines.count("diary opened") == 1
    assert lines.count("diary closed after 2 of 2") == 1
    assert lines.count("the diary is full") == 1
    assert "diary torn" not in lines

    elsewhere = _assay(tmp_path, *words, "--storage", str(tmp_path / "another"))
    assert "diary" not in elsewhere.stdout, "it returned no listener for that storage"


@pytest.mark.parametrize("needs", [(), ("json",)], ids=str)
def test_an_extra_that_has_what_it_needs_asks_for_nothing(needs: tuple[str, ...]) -> None:
    Extra(name="whole", summary="", needs=needs).require()


def test_every_package_that_is_missing_is_named() -> None:
    extra = Extra(name="torn", summary="", needs=("json", "no_such_a", "no_such_b"))
    with pytest.raises(InputError, match=r"needs no_such_a and no_such_b.*pip install 'assay\[torn\]'"):
        extra.require()


@pytest.mark.parametrize("name", EXTRAS)
def test_an_extra_says_what_it_is_and_has_its_page_and_its_tests_beside_its_code(name: str) -> None:
    folder = Path(__file__).parents[1] / "platform" / "assay" / "extras" / name
    assert EXTRAS[name].summary.endswith(".")
    assert (folder / "README.md").is_file()
    assert list((folder / "tests").glob("test_*.py"))


def test_the_core_works_without_any_extra(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "import assay.extras\n"
        "assay.extras.EXTRAS.package = 'assay.demo'\n"  # that declares none
        "from assay.cli import main\n"
        "sys.argv[0] = 'assay'\n"
        "main()\n"
    )

    def assay(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", code, *arguments]
        return subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)

    shown = assay("--help")
    assert shown.returncode == 0, shown.stderr
    words = [example.split()[1:] for extra in EXTRAS.values() for example in extra.commands]
    lost = {first for first, *_ in words if first not in ("data", "studies")}
    assert {word for word in lost if f" {word} " in shown.stdout} == set()
    planned = assay("plan", "quickstart", "--no-data")
    assert planned.returncode == 0, planned.stderr
