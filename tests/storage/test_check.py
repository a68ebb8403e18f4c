"""`assay check` finds planted damage, names it, and sets aside what can be made again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from assay.storage import Record, Store
from assay.storage.check.check import Damage, check_storage, quarantine
from assay.storage.lease import Lease
from assay.storage.plans import stored_plan
from tests.cli.conftest import assay
from tests.cli.small_study import Assay
from tests.engine.staged_study import StagedStudy
from tests.helpers.results import result_bytes
from tests.storage.planted_damage import (
    OWN,
    PLANTED,
    STAGED,
    Planted,
    cut,
    deleted,
    emptied,
    flipped,
)
from tests.storage.whole_storage import UNTRAINED_SEED, make_storage
from trainables.errors import InputError

__all__ = ["assay"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> Path:
    """A storage in which nothing is damaged; each test has a copy."""
    folder = tmp_path_factory.mktemp("whole")
    make_storage(folder / "storage", cache_root, folder / "sources")
    return folder / "storage"


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "storage")
    return tmp_path / "storage"


def _place(root: Path, pattern: str) -> Path:
    """The file of a pattern; `[own]` is the first trial of that study."""
    store = Store(root)
    names = {
        "[staged]": stored_plan(store, "staged").trials[0].id,
        "[own]": stored_plan(store, "own").trials[0].id,
    }
    for name, trial in names.items():
        pattern = pattern.replace(name, trial)
    return sorted(root.glob(pattern))[0]


def test_a_sound_storage_is_sound(assay: Assay, root: Path) -> None:
    output = assay("check", "--storage", root)
    assert output.code == 0, output.out
    assert "3 studies read: all sound" in output.out


def test_a_loose_file_among_the_studies_is_none(assay: Assay, root: Path) -> None:
    (root / "studies" / ".DS_Store").touch()
    output = assay("check", "--storage", root)
    assert output.code == 0, output.out


@pytest.mark.parametrize("planted", PLANTED, ids=lambda p: f"{Path(p.file).name} {p.text}")
def test_a_planted_damage_is_found_named_and_quarantined(assay: Assay, root: Path, planted: Planted) -> None:
    path = _place(root, planted.file)
    planted.damage(path)
    before = {file.read_bytes() for file in root.rglob("*") if file.is_file()}
    output = assay("check", "--storage", root)
    assert output.code == 1
    folder, text = path.relative_to(root).parts[:2], " ".join(output.out.split())
    assert planted.text in text
    assert "/".join(folder[:1]) in text
    assert "costs: " in text
    repaired = assay("check", "--repair", "--storage", root)
    assert repaired.code == int(planted.stays)
    assert {file.read_bytes() for file in root.rglob("*") if file.is_file()} == before, "nothing is deleted"
    assert assay("check", "--storage", root).code == int(planted.stays or planted.missed)


def test_damaged_trials_are_named_by_their_ids_with_their_cells(assay: Assay, root: Path) -> None:
    path = _place(root, f"{STAGED}/record.json")
    cut(path)
    trial = stored_plan(Store(root), "staged").trials[0]
    output = assay("check", "staged", "--storage", root)
    assert f"damaged trials: {trial.id}" in output.out
    assert f"1 of 2 repeats of `{trial.cell}` in staged is left out" in output.out
    assert assay("check", "own", "--storage", root).code == 0, "another study is another study"


def test_a_repair_says_how_it_is_made_again(assay: Assay, root: Path) -> None:
    emptied(_place(root, f"{OWN}/record.json"))
    text = " ".join(assay("check", "--repair", "--storage", root).out.split())
    assert f"`assay run STUDY --storage {root}` makes again what a study lacks" in text


def test_one_trial_at_two_damages_goes_aside_once(root: Path) -> None:
    store = Store(root)
    for name in ("curve", "maps"):
        deleted(_place(root, f"{STAGED}/*/{name}.parquet"))
    damages = check_storage(store).damages
    trial = stored_plan(store, "staged").trials[0].id
    assert [damage.trial for damage in damages] == [trial, trial]
    moved = quarantine(store, damages)
    assert list(moved) == [f"trials/{trial}"]
    assert store.exists(f"{moved[f'trials/{trial}']}/record.json")


def test_what_was_quarantined_is_made_again_with_the_same_results(root: Path, cache_root: Path) -> None:
    store = Store(root)
    study = StagedStudy.of(root, cache_root, seeds=(0, UNTRAINED_SEED))
    trial = study.plan.trials[0]
    before = store.record(trial.id)
    assert isinstance(before, Record)
    flipped(_place(root, f"{STAGED}/*/maps.parquet"))
    for done in sorted(root.glob("stages/*/done.json")):
        cut(done)
    moved = quarantine(store, check_storage(store).damages)
    assert f"trials/{trial.id}" in moved
    assert {path for path in moved if path.startswith("stages/")} >= {
        f"stages/{u.key}" for u in before.stages
    }
    study.train([trial])
    again = store.record(trial.id)
    assert isinstance(again, Record)
    assert result_bytes(again) == result_bytes(before)
    assert {p.rpartition("/")[2]: d for p, d in again.files.items() if "curve" not in p} == {
        p.rpartition("/")[2]: d for p, d in before.files.items() if "curve" not in p
    }, "predictions and maps are the same bytes; a curve has times"
    assert check_storage(store).damages == []


@pytest.mark.parametrize(
    "pattern",
    [
        STAGED,
        f"{STAGED}/*/maps.parquet",
        "stages/*",
        "stages/*/done.json",
        "methods/*",
        "studies/own",
    ],
)
def test_what_leads_out_of_the_storage_is_named_and_all_else_is_read(
    assay: Assay, root: Path, pattern: str
) -> None:
    path = _place(root, pattern)
    other = _place(root, f"{OWN}/*/curve.parquet")
    path.rename(root.parent / "elsewhere")
    path.symlink_to(root.parent / "elsewhere")
    cut(other)
    output = assay("check", "--repair", "--storage", root)
    assert output.code == 1
    assert path.relative_to(root).as_posix() in output.out
    assert "symbolic link" in output.out
    assert path.is_symlink(), "who moved it knows why"
    assert "quarantined: trials/" in output.out


def test_what_lies_behind_a_link_is_not_quarantined(root: Path) -> None:
    store, study = Store(root), root / "studies" / "staged"
    study.rename(root / "mine")
    study.symlink_to("../mine")
    damage = Damage("studies/staged/plan.parquet", "is empty", "", ("studies/staged/plan.parquet",))
    assert not quarantine(store, [damage])
    assert (root / "mine" / "plan.parquet").exists()


@pytest.mark.parametrize("command", [("check", "--repair"), ("status", "staged", "--once")])
@pytest.mark.parametrize("pattern", [f"{STAGED}/record.json", "studies"])
def test_what_may_not_be_read_is_no_damage(root: Path, pattern: str, command: tuple[str, ...]) -> None:
    path = _place(root, pattern)
    answer = _without_rights(path, *command, "--storage", str(root))
    assert answer.returncode == 2
    assert f"may not be read by user {os.getuid()} (Permission denied: {path})" in answer.stderr
    assert not (root / "damaged").exists()


@pytest.mark.parametrize("folder", ["studies", "trials", "stages", "methods"])
def test_a_file_in_the_place_of_a_folder_of_the_storage_is_named(
    assay: Assay, root: Path, folder: str
) -> None:
    (root / folder).rename(root.parent / folder)
    (root / folder).write_bytes(b"x")
    output = assay("check", "--storage", root)
    assert output.code == 2
    assert f"{folder} of a storage is a folder, found a file" in " ".join(output.err.split())


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_record_that_may_not_be_read_stands_in_the_line_of_its_study_alone(
    root: Path, form: tuple[str, ...]
) -> None:
    path = _place(root, f"{STAGED}/record.json")
    answer = _without_rights(path, "status", *form, "--storage", str(root))
    assert answer.returncode == 0, answer.stderr
    said = " ".join(answer.stdout.split())
    assert said.count("may not be read by user") == 1
    assert "own" in said


def _without_rights(path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """What a command ends with while its user may not read ``path``."""
    rights = path.stat().st_mode
    path.chmod(0)
    # root may read everything, unless it gives that up
    user = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
    program = [*user, sys.executable, "-m", "assay", *command]
    answer = subprocess.run(program, check=False, capture_output=True, text=True)
    path.chmod(rights)
    return answer


def test_while_somebody_trains_nothing_is_quarantined(root: Path) -> None:
    store = Store(root)
    cut(_place(root, f"{STAGED}/record.json"))
    with Lease(store, "own"), pytest.raises(InputError, match="repaired while nobody trains, and process"):
        quarantine(store, check_storage(store).damages)
    assert not store.exists("damaged")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(("stagedd",), "Did you mean staged?"), (("--storage", "s4://x/y"), "s4://x/y")],
)
def test_bad_input_ends_with_2(assay: Assay, root: Path, arguments: tuple[str, ...], text: str) -> None:
    output = assay("check", *([] if "--storage" in arguments else ["--storage", root]), *arguments)
    assert output.code == 2
    assert text in output.err


@pytest.mark.parametrize(
    "pattern", ["studies/own/summary.parquet", "studies/own/registered.json", "stages/*/done.json"]
)
def test_a_folder_in_the_place_of_a_file_is_named(root: Path, pattern: str) -> None:
    place = _place(root, pattern)
    place.unlink()
    place.mkdir()
    damages = [str(damage) for damage in check_storage(Store(root)).damages]
    assert f"{place.relative_to(root)} is a folder, and a file belongs there" in damages
