"""A storage states its format before its first study; every command refuses those of another format."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.demo.demo import unpack_demo
from assay.storage import Lease, Store
from assay.storage.check import storage_format
from assay.storage.check.storage_format import FORMAT, FORMAT_FILE, OtherFormatError, format_bytes
from assay.storage.files.files import Files
from assay.storage.plans import write_plan
from tests.analysis.made_studies import STUDY, make_plan
from tests.cli.conftest import assay
from tests.cli.small_study import Assay
from tests.helpers.s3_server import S3Server
from trainables.errors import InputError

__all__ = ["assay"]

PLAN = make_plan()
TRIAL = PLAN.trials[0].id
COMMANDS = [
    "run {study} --local",
    "plan {study} --no-data",
    "status",
    "status additions --once",
    "status --json",
    "report additions",
    "report additions --json",
    "logs {trial}",
    "dashboard",
    "labels additions",
    "best additions",
    "predict . --trial {trial} --output predicted",
    "export --trial {trial} --to onnx --output exported",
    "stop additions",
    "check",
    "check additions",
    "check --repair",
    "check --upgrade",
    "clean",
    "clean --yes",
    "mlflow",
    "mlflow additions --sync",
]


def _states_none(root: Path) -> None:
    (root / FORMAT_FILE).unlink()


def _states(content: bytes) -> Callable[[Path], None]:
    def state(root: Path) -> None:
        (root / FORMAT_FILE).write_bytes(content)

    return state


OTHERS = {
    "none": (_states_none, "found studies and no such file in"),
    "a later one": (_states(b'{"format": 2, "since": "0.9"}'), "found format 2 in"),
    "an earlier one": (_states(b'{"format": 0}'), "found format 0 in"),
}


def content_of(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A storage with a study that was begun."""
    write_plan(Store(tmp_path / "storage"), PLAN)
    return tmp_path / "storage"


def test_the_first_file_of_a_storage_states_its_format(root: Path) -> None:
    assert (root / FORMAT_FILE).read_bytes() == format_bytes() == b'{"format": 1}\n'
    assert Store.open(root).studies() == ["additions"]


def test_a_folder_of_study_files_is_a_new_storage(tmp_path: Path) -> None:
    file = tmp_path / "studies" / "searches" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("study: mine\n")
    assert Store.open(tmp_path).studies() == []


@pytest.mark.usefixtures("credentials")
def test_so_it_is_in_an_object_store(server: S3Server) -> None:
    store = Store(server.uri("bucket/format"))
    write_plan(store, PLAN)
    assert store.read_bytes(FORMAT_FILE) == format_bytes()
    assert Store.open(store.uri).studies() == ["additions"]
    store.delete_tree(FORMAT_FILE)
    with pytest.raises(OtherFormatError, match="found studies and no such file in s3://"):
        Store.open(store.uri)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_refuses_another_format_in_a_sentence_and_writes_nothing(  # noqa: PLR0917 - fixtures
    assay: Assay, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, other: str
) -> None:
    change, found = OTHERS[other]
    change(root)
    before = content_of(root)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "additions.yaml").write_text(STUDY, encoding="utf-8")
    words = line.format(study="additions.yaml", trial=TRIAL).split()
    answer = assay(*words, "--storage", root)
    told = " ".join(answer.err.split())
    assert answer.code == 2, answer.out
    assert f"{found} {root}. Use the version of assay that wrote it, or name a new storage" in told
    assert "Traceback" not in answer.err
    assert content_of(root) == before


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("kind", ["folder", "object store"])
def test_a_lease_in_a_new_storage_states_the_format_before_it_is_taken(
    server: S3Server, tmp_path: Path, kind: str
) -> None:
    place = tmp_path / "storage" if kind == "folder" else server.uri("bucket/lease-first")
    with Lease(Store(place), "additions"):
        assert Store.open(place).read_bytes(FORMAT_FILE) == format_bytes()
        write_plan(Store(place), PLAN)
    assert Store.open(place).studies() == ["additions"]


@pytest.mark.parametrize("other", OTHERS)
def test_nothing_is_written_into_another_format(root: Path, other: str) -> None:
    OTHERS[other][0](root)
    before = content_of(root)
    with pytest.raises(OtherFormatError):
        Store(root).write_bytes("trials/x", b"1")
    assert content_of(root) == before


@pytest.mark.parametrize(
    "content", [b"", b"1", b"[]", b"{}", b'{"format": "1"}', b'{"format": true}', b'{"format": 1.5}', b"\xff"]
)
def test_a_damaged_statement_is_told_as_such(root: Path, content: bytes) -> None:
    _states(content)(root)
    with pytest.raises(InputError, match="cannot be read"):
        Store.open(root)


def test_a_folder_in_its_place_is_told_as_such(root: Path) -> None:
    _states_none(root)
    (root / FORMAT_FILE).mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        Store.open(root)


@pytest.mark.parametrize("line", ["status", "check", "clean --yes", "check --upgrade", "doctor --quick"])
@pytest.mark.parametrize("there", [True, False])
def test_a_look_at_a_new_storage_writes_nothing(assay: Assay, tmp_path: Path, line: str, there: bool) -> None:
    root = tmp_path / "storage"
    if there:
        root.mkdir()
    assay(*line.split(), "--storage", root)
    assert not content_of(root)
    assert root.exists() == there


def test_a_place_where_no_storage_can_be_has_no_format(tmp_path: Path) -> None:
    assert Store.open(tmp_path / ("x" * 300)).local_path is not None


def test_the_trials_of_a_storage_without_studies_need_no_format(tmp_path: Path) -> None:
    (tmp_path / "trials" / TRIAL).mkdir(parents=True)
    assert Store.open(tmp_path).trials() == [TRIAL]


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("kind", ["folder", "object store"])
def test_runs_that_begin_a_storage_at_the_same_time_all_do(
    server: S3Server, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    place = tmp_path / "storage" if kind == "folder" else server.uri("bucket/at-the-same-time")
    plans = [make_plan(STUDY.replace("study: additions", f"study: additions_{n}")) for n in range(8)]
    barrier, errors = threading.Barrier(len(plans)), list[BaseException]()

    def begin(number: int) -> None:
        store = Store(place)
        barrier.wait()
        try:
            write_plan(store, plans[number])
        except BaseException as error:  # noqa: BLE001 - a thread's, to be raised here
            errors.append(error)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(len(plans))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert Store.open(place).studies() == [plan.study.study for plan in plans]


class _BesideAnother(Store):
    """A storage that another run begins while this one looks for studies."""

    def list(self, path: str = "") -> list[str]:
        if not self.exists(FORMAT_FILE):
            write_plan(Store(self.uri), PLAN)
        return super().list(path)


def test_a_run_that_begins_meanwhile_is_not_taken_for_one_of_another_format(tmp_path: Path) -> None:
    store = _BesideAnother(tmp_path)
    write_plan(store, make_plan(STUDY.replace("study: additions", "study: second")))
    assert Store.open(tmp_path).studies() == ["additions", "second"]


def test_the_demo_has_the_current_format(tmp_path: Path) -> None:
    unpack_demo(tmp_path)
    assert Store.open(tmp_path).studies() == ["quickstart"]


def test_check_says_that_there_is_nothing_to_upgrade(assay: Assay, root: Path) -> None:
    before = content_of(root)
    answer = assay("check", "--upgrade", "--storage", root)
    assert (answer.code, " ".join(answer.out.split())) == (0, f"{root} has format 1, the current one")
    assert content_of(root) == before


@pytest.mark.parametrize("words", [("additions",), ("--repair",)])
def test_an_upgrade_is_of_the_whole_storage(assay: Assay, root: Path, words: tuple[str, ...]) -> None:
    answer = assay("check", *words, "--upgrade", "--storage", root)
    assert answer.code == 2
    assert "--upgrade is of the whole storage, and goes alone" in " ".join(answer.err.split())


def test_a_later_format_is_reached_by_a_step_that_check_takes(
    assay: Assay, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(files: Files) -> None:
        files.write_bytes("studies/additions/new", b"")
        files.write_bytes(FORMAT_FILE, b'{"format": 2}\n')

    monkeypatch.setattr(storage_format, "FORMAT", FORMAT + 1)
    monkeypatch.setattr(storage_format, "UPGRADES", {FORMAT: step})
    refused = assay("status", "--storage", root)
    assert refused.code == 2
    assert "`assay check --upgrade` takes it to the format of this version" in " ".join(refused.err.split())
    assert assay("check", "--upgrade", "--storage", root).code == 0
    assert (root / "studies" / "additions" / "new").exists()
    assert assay("status", "--storage", root).code == 0
