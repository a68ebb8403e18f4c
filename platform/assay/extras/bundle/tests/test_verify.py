"""`assay verify`: what is equal, what differs and is named, and what is not even opened."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from assay.extras.bundle import METADATA
from assay.extras.bundle.archive import archive_bytes, read_archive
from assay.extras.bundle.tests.forging import flipped, forged, packed, path_like, resealed
from assay.storage.files.checksum import table_with_checksum
from assay.study import Plan
from assay.study.planning.plan_table import plan_of_table, table_of_plan
from tests.cli.small_study import Assay
from trainables.errors import InputError

KINDS = {
    "the description": METADATA,
    "study": r"storage/studies/small/study\.yaml",
    "plan": r"storage/studies/small/plan\.parquet",
    "preregistration": r"storage/studies/small/registered\.json",
    "looks": r"storage/studies/small/looks\.json",
    "summary of another study": r"storage/studies/again/summary\.parquet",
    "record": r"storage/trials/\w+/record\.json",
    "predictions": r"storage/trials/\w+/[\w-]+/predictions\.parquet",
    "data set": r"manifests/\w+\.json",
    "report": r"report/report\.html",
    "numbers": r"report/report\.csv",
    "program": r"program\.json",
    "versions": r"requirements\.txt",
    "what stays out": r"left_out\.json",
    "format": r"storage/storage\.json",
}


def test_a_bundle_is_verified_without_its_storage(
    assay: Assay, bundled: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = assay("verify", packed(tmp_path, bundled))
    assert output.code == 0, output.out
    assert output.out.startswith("small: plan, preregistration and report follow from the records (")
    assert [path.name for path in tmp_path.iterdir()] == ["small.zip"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_byte_is_named(assay: Assay, bundled: dict[str, bytes], tmp_path: Path, kind: str) -> None:
    path = path_like(bundled, KINDS[kind])
    output = assay("verify", packed(tmp_path, {**bundled, path: flipped(bundled[path])}))
    assert output.code == 1, output.err
    assert path in output.out


@pytest.mark.parametrize(
    ("stated", "found"), [(None, "found none stated in"), (b'{"format": 7}\n', "found format 7 stated in")]
)
def test_a_bundle_of_another_format_is_refused_in_a_sentence(
    assay: Assay, bundled: dict[str, bytes], tmp_path: Path, stated: bytes | None, found: str
) -> None:
    path = path_like(bundled, KINDS["format"])
    if stated is None:
        files = {name: content for name, content in bundled.items() if name != path}
        crate = json.loads(files[METADATA])
        crate["@graph"] = [entity for entity in crate["@graph"] if entity.get("name") != path]
        files[METADATA] = json.dumps(crate, indent=1, ensure_ascii=False).encode()
    else:
        files = forged(bundled, path, lambda _: stated)
    output = assay("verify", archive := packed(tmp_path, files))
    assert output.code == 2, output.out
    assert f"{found} {archive}. Use the version of assay that wrote it" in " ".join(output.err.split())
    assert "Traceback" not in output.err


def test_a_file_that_cannot_be_unpacked_is_named_once(
    assay: Assay, bundled: dict[str, bytes], tmp_path: Path
) -> None:
    file, path = packed(tmp_path, bundled), path_like(bundled, KINDS["predictions"])
    with zipfile.ZipFile(file) as archive:
        member = archive.getinfo(path)
    content = bytearray(file.read_bytes())
    content[member.header_offset + 30 + len(path) + member.compress_size // 2] ^= 1
    file.write_bytes(content)
    output = assay("verify", file)
    assert output.code == 1, output.err
    assert "not there" not in output.out
    assert f"{path}: " in output.out


@pytest.mark.parametrize("change", ["missing", "added"])
def test_a_file_too_few_or_too_many_is_named(
    assay: Assay, bundled: dict[str, bytes], tmp_path: Path, change: str
) -> None:
    path = path_like(bundled, KINDS["predictions"]) if change == "missing" else "report/further.html"
    files = {**bundled, path: b"further"} if change == "added" else bundled.keys() - {path}
    output = assay("verify", packed(tmp_path, {name: {**bundled, path: b"further"}[name] for name in files}))
    assert output.code == 1, output.err
    assert f"{path}: {METADATA}" in output.out


def test_no_byte_of_an_archive_can_be_changed_unnoticed(bundled: dict[str, bytes], tmp_path: Path) -> None:
    content = archive_bytes(bundled)
    file = tmp_path / "small.zip"
    noticed = 0
    positions = [*range(0, len(content), len(content) // 40), *range(len(content) - 60, len(content))]
    for position in positions:
        file.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        try:
            noticed += not read_archive(file).as_written
        except InputError:
            noticed += 1
    assert noticed == len(positions)


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("record", resealed(b'"image_ap": 0.', b'"image_ap": 0.1'), r"report/report\.csv.*: does not follow"),
        ("preregistration", resealed(b'"resolve": 0.01', b'"resolve": 0.02'), "has another resolve than"),
        ("study", lambda text: text.replace(b"[0, 1", b"[0, 9"), "does not make the trials of plan.parquet"),
        ("study", lambda text: text.replace(b"0.01", b"0.02"), "has another resolve than plan.parquet"),
        ("study", lambda text: text.replace(b"Does", b"Why does"), "has another question than plan.parquet"),
        (
            "plan",
            lambda table: replanned(table, lambda plan: {"gigabytes": 7.0}),
            r"study\.yaml: does not make the gigabytes of plan\.parquet",
        ),
        (
            "plan",
            lambda table: replanned(table, without_difference),
            r"study\.yaml: does not make the cells of plan\.parquet",
        ),
        ("data set", lambda text: text.replace(b", true,", b", false,", 1), "which the plan does not have"),
        ("numbers", lambda text: text.replace(b"0.7", b"0.9", 1), r"report/report\.csv.*: does not follow"),
        ("report", lambda text: text.replace(b"0.7", b"0.9", 1), r"report/report\.html.*: does not follow"),
        ("plan", lambda _: b"PAR1", "is Parquet, found studies/small/plan.parquet"),
    ],
)  # fmt: skip
def test_a_forgery_whose_hashes_fit_is_named(  # noqa: PLR0917 - three fixtures and three cases
    assay: Assay,
    bundled: dict[str, bytes],
    tmp_path: Path,
    kind: str,
    change: Callable[[bytes], bytes],
    said: str,
) -> None:
    path = path_like(bundled, KINDS[kind])
    output = assay("verify", packed(tmp_path, forged(bundled, path, change)))
    assert output.code == 1, output.err
    assert re.search(said, output.out), output.out
    assert f"{path}: its sha256" not in output.out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[]", "the content: should be a mapping"),
        (b'{"a": 1}', "source_hash: is missing"),
        (b"[" * 5000, "the content: Invalid JSON: recursion limit exceeded at line 1 column 202"),
    ],
)
def test_a_program_that_tells_of_none_is_said_in_one_sentence(
    assay: Assay, bundled: dict[str, bytes], tmp_path: Path, content: bytes, said: str
) -> None:
    output = assay("verify", packed(tmp_path, forged(bundled, "program.json", lambda _: content)))
    assert output.code == 1, output.err
    text = " ".join(output.out.split())
    assert f"program.json describes no program ({said}). Fetch" in text
    assert "pydantic" not in text


def test_a_description_that_nests_too_deep_is_said_in_one_sentence(
    assay: Assay, bundled: dict[str, bytes], tmp_path: Path
) -> None:
    output = assay("verify", packed(tmp_path, {**bundled, METADATA: b"[" * 100_000}))
    assert output.code == 1, output.err
    text = " ".join(output.out.split())
    assert "ro-crate-metadata.json describes no bundle (RecursionError" in text
    assert "Fetch the bundle again." in text


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("data set", b"[" * 100_000),
        ("numbers", b"study\n" + b"a" * 200_000),  # a field that is longer than Python's csv takes
    ],
)
def test_what_cannot_be_read_is_a_difference(
    assay: Assay, bundled: dict[str, bytes], tmp_path: Path, kind: str, content: bytes
) -> None:
    files = forged(written_before(bundled), path_like(bundled, KINDS[kind]), lambda _: content)
    output = assay("verify", packed(tmp_path, files))
    assert output.code == 1, output.err
    assert "not all can be read, so no more was compared" in " ".join(output.out.split())


def replanned(table: bytes, change: Callable[[Plan], Mapping[str, object]]) -> bytes:
    """The table of a plan in which something else stands."""
    plan = plan_of_table(pq.read_table(io.BytesIO(table)))
    sink = io.BytesIO()
    pq.write_table(table_with_checksum(table_of_plan(plan.model_copy(update=change(plan)))), sink)
    return sink.getvalue()


def without_difference(plan: Plan) -> dict[str, object]:
    return {"cells": tuple(cell.model_copy(update={"diff": {}}) for cell in plan.cells)}


def as_of_an_earlier_version(plan: Plan) -> dict[str, object]:
    """With another estimate and another footnote."""
    cells = tuple(cell.model_copy(update={"footnotes": ("An earlier word.",)}) for cell in plan.cells)
    return {"cells": cells, "gigabytes": 7.0}


def written_before(bundled: dict[str, bytes]) -> dict[str, bytes]:
    """The bundle as an earlier version of assay says to have written it."""
    program = json.loads(bundled["program.json"])
    earlier = {**program, "packages": {**program["packages"], "assay": "0.0.9"}}
    written = forged(bundled, "program.json", lambda _: json.dumps(earlier).encode())
    crate = written[METADATA].replace(b'"softwareVersion": "0.1.0"', b'"softwareVersion": "0.0.9"')
    return {**written, METADATA: crate}


def test_a_plan_of_another_version_may_have_other_footnotes_and_estimates(
    assay: Assay, bundled: dict[str, bytes], tmp_path: Path
) -> None:
    path = path_like(bundled, KINDS["plan"])
    files = forged(written_before(bundled), path, lambda table: replanned(table, as_of_an_earlier_version))
    output = assay("verify", packed(tmp_path, files))
    assert output.code == 0, output.out


def test_warnings_of_files_that_no_reader_opens_may_have_changed(
    assay: Assay, bundled: dict[str, bytes], tmp_path: Path
) -> None:
    path = path_like(bundled, KINDS["plan"])
    files = forged(
        bundled, path, lambda table: replanned(table, lambda _: {"warnings": ("1 file is not read.",)})
    )
    output = assay("verify", packed(tmp_path, files))
    assert "plan.parquet" not in output.out


@pytest.mark.parametrize(
    ("path", "before", "after", "code"),
    [
        ("report/report.html", b"<title>", b"<title>An earlier ", 0),
        ("report/report.csv", b"0.7", b"0.8", 1),
        ("report/report.csv", b",,", b",0.001,", 1),
    ],
)
def test_of_another_version_numbers_are_compared(  # noqa: PLR0917 - three fixtures and four cases
    assay: Assay, bundled: dict[str, bytes], tmp_path: Path, path: str, before: bytes, after: bytes, code: int
) -> None:
    files = forged(written_before(bundled), path, lambda text: text.replace(before, after, 1))
    output = assay("verify", packed(tmp_path, files))
    assert output.code == code, output.out
    assert (
        "note: another version wrote the report, so numbers were compared and not bytes: assay 0.0.9"
        in " ".join(output.out.split())
    )


def _zip(name: str = "a", *, kind: int = zipfile.ZIP_STORED, times: int = 1) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", kind) as archive:
        for _ in range(times):
            archive.writestr(name, bytes(100_000))
    return sink.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("content", "error"),
    [
        (_zip("../outside"), "lies inside of it, found '../outside'"),
        (_zip("/etc/passwd"), "lies inside of it, found '/etc/passwd'"),
        (_zip("a/../../b"), "lies inside of it, found 'a/../../b'"),
        (_zip("C:/a"), "lies inside of it, found 'C:/a'"),
        (_zip(kind=zipfile.ZIP_DEFLATED), "neither compressed nor encrypted, found 'a'"),
        (_zip(), "describes itself in ro-crate-metadata.json, found none"),
        (b"no archive", "is no zip archive that can be read"),
    ],
)
def test_an_archive_that_no_bundle_is_stays_closed(
    assay: Assay, tmp_path: Path, content: bytes, error: str
) -> None:
    file = tmp_path / "strange.zip"
    file.write_bytes(content)
    output = assay("verify", file)
    assert output.code == 2, output.out
    assert error in output.err
    assert ("no zip archive" in output.err) == (content == b"no archive")


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "twice.zip"
    with pytest.warns(UserWarning, match="Duplicate name"):
        file.write_bytes(_zip(times=2))
    with pytest.raises(InputError, match="has each file once, found 'a' twice"):
        read_archive(file)


def test_code_that_a_study_names_is_not_run(assay: Assay, bundled: dict[str, bytes], tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w')\n".encode()
    named = forged(
        bundled,
        path_like(bundled, KINDS["study"]),
        lambda text: text.replace(b"trainable: segdec", b"trainable: ./own.py:TRAINABLE"),
    )
    output = assay("verify", packed(tmp_path, {**named, "storage/studies/small/own.py": code}))
    assert "not planned anew: ./own.py:TRAINABLE is code, and none is run here" in output.out
    assert not ran.exists()
